"""The ONNX graph of a BERT sentence encoder: token ids → one vector of unit length. Needs the `onnx` package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

OPSET = 20
"""The first with Gelu as one operator."""
IR_VERSION = 10
ANY = -1
"""In an expected shape: whatever the file has."""
MASKED = -10_000.0
"""Added to the attention score of a padding token: its softmax is 0 in float32."""


class BertShape(msgspec.Struct, kw_only=True, frozen=True):
    """The part of ``config.json`` that the graph follows from."""

    model_type: str
    hidden_act: str
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    layer_norm_eps: float

    def __post_init__(self) -> None:
        if (self.model_type, self.hidden_act) != ("bert", "gelu"):
            raise ValueError(f"expected a bert model with gelu, not {self.model_type} with {self.hidden_act}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size is not a multiple of num_attention_heads")


class Weights:
    """Published tensors by name. Raises KeyError for an absent one, ValueError for a wrong shape."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        tensor = np.asarray(self._tensors[name], np.float32)
        expected = tuple(got if want == ANY else want for want, got in zip(shape, tensor.shape, strict=False))
        if len(shape) != tensor.ndim or expected != tensor.shape:
            raise ValueError(f"{name} has shape {tensor.shape}, expected {shape}")
        return tensor


def bert_graph(weights: Weights, shape: BertShape) -> Any:
    """An ``onnx.ModelProto``: input_ids, attention_mask [batch, tokens] int64 → embedding [batch, dims] float32."""
    graph = Graph()
    hidden = _embeddings(graph, weights, shape)
    bias = _attention_bias(graph)
    for layer in range(shape.num_hidden_layers):
        prefix = f"encoder.layer.{layer}"
        attended = _attention(graph, weights, shape, f"{prefix}.attention", hidden, bias)
        hidden = _feed_forward(graph, weights, shape, prefix, attended)
    return graph.model(_mean_of_unit_length(graph, hidden), shape.hidden_size)


class Graph:
    """Collects nodes and constants; every operation returns the name of its output."""

    def __init__(self) -> None:
        from onnx import TensorProto, helper, numpy_helper

        self._types, self._helper, self._numpy = TensorProto, helper, numpy_helper
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = self._numpy.from_array(np.array(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"float_{value}", np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def to_float(self, tensor: str) -> str:
        return self.op("Cast", tensor, to=self._types.FLOAT)

    def linear(self, tensor: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """``weight`` [out, in], as published."""
        product = self.op("MatMul", tensor, self.constant(f"{name}.weight", weight.T))
        return self.op("Add", product, self.constant(f"{name}.bias", bias))

    def layer_norm(self, tensor: str, name: str, weights: Weights, shape: BertShape) -> str:
        scale = self.constant(f"{name}.weight", weights.take(f"{name}.weight", shape.hidden_size))
        bias = self.constant(f"{name}.bias", weights.take(f"{name}.bias", shape.hidden_size))
        return self.op("LayerNormalization", tensor, scale, bias, axis=-1, epsilon=shape.layer_norm_eps)

    def model(self, output: str, dims: int, names: Sequence[str] = ("input_ids", "attention_mask")) -> Any:
        named = self._helper.make_node("Identity", [output], ["embedding"], name="embedding")
        inputs = [self._helper.make_tensor_value_info(name, self._types.INT64, ["batch", "tokens"]) for name in names]
        outputs = [self._helper.make_tensor_value_info("embedding", self._types.FLOAT, ["batch", dims])]
        graph = self._helper.make_graph(
            [*self._nodes, named], "sentence_encoder", inputs, outputs, list(self._constants.values())
        )
        opset = self._helper.make_opsetid("", OPSET)
        return self._helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _embeddings(graph: Graph, weights: Weights, shape: BertShape) -> str:
    """Word + position + type (a single text is all type 0, so that is folded into the positions)."""
    words = graph.constant("words", weights.take("embeddings.word_embeddings.weight", ANY, shape.hidden_size))
    positions = weights.take("embeddings.position_embeddings.weight", shape.max_position_embeddings, shape.hidden_size)
    types = weights.take("embeddings.token_type_embeddings.weight", ANY, shape.hidden_size)
    table = graph.constant("positions", positions + types[0])
    tokens = graph.op("Shape", "input_ids", start=1, end=2)
    first = graph.op("Slice", table, graph.integers(0), tokens, graph.integers(0))
    summed = graph.op("Add", graph.op("Gather", words, "input_ids"), first)
    return graph.layer_norm(summed, "embeddings.LayerNorm", weights, shape)


def _attention_bias(graph: Graph) -> str:
    """[batch, 1, 1, tokens]: 0 for a token, ``MASKED`` for padding."""
    mask = graph.op("Unsqueeze", graph.to_float("attention_mask"), graph.integers(1, 2))
    return graph.op("Mul", graph.op("Sub", graph.scalar(1.0), mask), graph.scalar(MASKED))


def _attention(graph: Graph, weights: Weights, shape: BertShape, prefix: str, hidden: str, bias: str) -> str:
    size, heads = shape.hidden_size, shape.num_attention_heads

    def projected(part: str, permutation: list[int], scale: float = 1.0) -> str:
        name = f"{prefix}.self.{part}"
        weight, shift = weights.take(f"{name}.weight", size, size), weights.take(f"{name}.bias", size)
        flat = graph.linear(hidden, name, weight * np.float32(scale), shift * np.float32(scale))
        split = graph.op("Reshape", flat, graph.integers(0, 0, heads, size // heads))
        return graph.op("Transpose", split, perm=permutation)

    # The usual division of the scores by sqrt(head size) is folded into the queries.
    query = projected("query", [0, 2, 1, 3], scale=(size // heads) ** -0.5)
    key = projected("key", [0, 2, 3, 1])
    value = projected("value", [0, 2, 1, 3])
    scores = graph.op("Add", graph.op("MatMul", query, key), bias)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(0, 0, size))
    name = f"{prefix}.output.dense"
    dense = graph.linear(joined, name, weights.take(f"{name}.weight", size, size), weights.take(f"{name}.bias", size))
    return graph.layer_norm(graph.op("Add", dense, hidden), f"{prefix}.output.LayerNorm", weights, shape)


def _feed_forward(graph: Graph, weights: Weights, shape: BertShape, prefix: str, hidden: str) -> str:
    size, inner = shape.hidden_size, shape.intermediate_size
    up, down = f"{prefix}.intermediate.dense", f"{prefix}.output.dense"
    wide = graph.linear(hidden, up, weights.take(f"{up}.weight", inner, size), weights.take(f"{up}.bias", inner))
    active = graph.op("Gelu", wide)
    narrow = graph.linear(active, down, weights.take(f"{down}.weight", size, inner), weights.take(f"{down}.bias", size))
    return graph.layer_norm(graph.op("Add", narrow, hidden), f"{prefix}.output.LayerNorm", weights, shape)


def _mean_of_unit_length(graph: Graph, hidden: str) -> str:
    mask = graph.to_float("attention_mask")
    visible = graph.op("Mul", hidden, graph.op("Unsqueeze", mask, graph.integers(2)))
    # The length is normalised anyway, so the sum stands for the mean.
    total = graph.op("ReduceSum", visible, graph.integers(1), keepdims=0)
    return graph.op("Div", total, graph.op("ReduceL2", total, graph.integers(1), keepdims=1))
