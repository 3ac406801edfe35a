"""Judged retrieval sets in BEIR's layout: ``corpus.jsonl`` (or ``.gz``), ``queries.jsonl``, ``qrels.tsv``."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from proto.errors import Malformed

CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")


class Part(StrEnum):
    """Of what is measured on: constants are chosen on the odd ones and reported on the even ones."""

    ODD = "odd"
    EVEN = "even"
    ALL = "all"


class Document(msgspec.Struct, kw_only=True, frozen=True):
    title: str
    text: str
    language: str


class JudgedSet(msgspec.Struct, kw_only=True, frozen=True):
    """``gains``: of each query with something relevant, document → worth (above 0). Unlisted is unjudged."""

    name: str
    documents: dict[str, Document]
    queries: dict[str, str]
    gains: dict[str, dict[str, float]]


def read_judged_set(folder: Path) -> JudgedSet:
    """Raises Malformed naming file and line, and for a folder without a corpus or without a judged query."""
    documents = {str(row["_id"]): _document(row) for row in read_rows(corpus_of(folder), ("_id",))}
    queries = {str(row["_id"]): str(row["text"]) for row in read_rows(folder / "queries.jsonl", ("_id", "text"))}
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    for query, document, worth in read_judgments(folder / "qrels.tsv"):
        if worth > 0 and query in queries and document in documents:
            gains[query][document] = worth
    if not gains:
        raise Malformed(f"{folder}: no query has a relevant document of the corpus; compare the ids in qrels.tsv")
    judged = {query: gains[query] for query in queries if query in gains}
    return JudgedSet(name=folder.resolve().name, documents=documents, queries=queries, gains=judged)


def read_judged_sets(folders: Sequence[Path]) -> list[JudgedSet]:
    """As `read_judged_set`; raises Malformed also for two sets of one name."""
    sets = [read_judged_set(folder) for folder in folders]
    if twice := [name for name, count in Counter(one.name for one in sets).items() if count > 1]:
        raise Malformed(f"several sets are named {' and '.join(twice)}; name each folder once, or rename one")
    return sets


def corpus_of(folder: Path) -> Path:
    for name in CORPUS:
        if (folder / name).is_file():
            return folder / name
    raise Malformed(f"{folder}: no {' and no '.join(CORPUS)}; expected a folder in BEIR's layout")


def part_of(judged: JudgedSet, part: Part) -> JudgedSet:
    """With those queries alone. Raises Malformed when none is left."""
    chosen = {
        query: gains for place, (query, gains) in enumerate(judged.gains.items(), 1) if _is_in(query, place, part)
    }
    if not chosen:
        raise Malformed(f"{judged.name}: no {part.value} query; choose --queries all")
    return msgspec.structs.replace(judged, gains=chosen)


def read_rows(path: Path, needed: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Raises Malformed for what is no JSON line, or lacks a ``needed`` field."""
    number, wanted = 0, set(needed)
    try:
        lines: Iterable[bytes]
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = msgspec.json.decode(line, type=dict[str, Any])
                if lacking := wanted - row.keys():
                    raise Malformed(f"{path}, line {number}: no {' and no '.join(sorted(lacking))}")
                yield row
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{path}, line {number}: {error}; mend or remove the line") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"{path}: cannot be read ({error})") from error


def read_judgments(path: Path) -> Iterator[tuple[str, str, float]]:
    """Query, document and worth of every line but the first, which names the columns. Raises Malformed."""
    number = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t"), 1):
                if number > 1:
                    yield row[0], row[1], float(row[2])
    except (OSError, UnicodeDecodeError, ValueError, IndexError, csv.Error) as error:
        raise Malformed(f"{path}, line {number}: {error}; expected query, document and score") from error


def _document(row: Mapping[str, Any]) -> Document:
    title, text, language = (str(row.get(name) or "") for name in ("title", "text", "language"))
    return Document(title=title, text=text, language=language)


def _is_in(query: str, place: int, part: Part) -> bool:
    """By the last number in the id; without one, by its place among the judged queries."""
    numbers = re.findall(r"\d+", query)
    odd = int(numbers[-1] if numbers else place) % 2 == 1
    return part is Part.ALL or odd == (part is Part.ODD)
