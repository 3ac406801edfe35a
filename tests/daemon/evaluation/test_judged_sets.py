"""Folders in BEIR's layout, as they are and damaged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from daemon.evaluation.judged_sets import Part, part_of, read_judged_set, read_judged_sets
from proto.errors import Malformed


def write_set(
    folder: Path, documents: dict[str, str], queries: dict[str, str], judged: list[tuple[str, str, int]]
) -> None:
    folder.mkdir(parents=True)
    rows = (json.dumps({"_id": name, "title": name, "text": text}) for name, text in documents.items())
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    asked = (json.dumps({"_id": name, "text": text}) for name, text in queries.items())
    (folder / "queries.jsonl").write_text("\n".join(asked) + "\n")
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t{worth}" for query, document, worth in judged)]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n")


def test_a_set_is_read_plain_or_packed(tmp_path: Path) -> None:
    folder = tmp_path / "bread"
    judged = [("q1", "a", 2), ("q1", "b", 0), ("q3", "a", 1), ("q1", "gone", 1)]
    write_set(folder, {"a": "rye", "b": "wheat"}, {"q1": "dark", "q2": "light", "q3": "sour"}, judged)
    found = read_judged_set(folder)
    assert found.gains == {"q1": {"a": 2.0}, "q3": {"a": 1.0}}, "unjudged queries and unknown documents are left out"
    assert (found.name, found.documents["b"].text) == ("bread", "wheat")
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress((folder / "corpus.jsonl").read_bytes()))
    (folder / "corpus.jsonl").unlink()
    assert read_judged_set(folder) == found


def test_odd_and_even_go_by_the_number_in_the_id(tmp_path: Path) -> None:
    queries = {"topic-033": "a", "topic-041": "b", "topic-050": "c", "plain": "d"}
    write_set(tmp_path / "s", {"a": "x"}, queries, [(name, "a", 1) for name in queries])
    judged = read_judged_set(tmp_path / "s")
    assert list(part_of(judged, Part.ODD).gains) == ["topic-033", "topic-041"]
    assert list(part_of(judged, Part.EVEN).gains) == ["topic-050", "plain"], (
        "without a number its place counts: the 4th"
    )
    assert part_of(judged, Part.ALL) == judged


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_set(folder, {"a": "x"}, {"1": "y"}, [("1", "a", 1)])
    with pytest.raises(Malformed, match="no even query"):
        part_of(read_judged_set(folder), Part.EVEN)
    with pytest.raises(Malformed, match="several sets are named s"):
        read_judged_sets([folder, folder])
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\tmuch\n")
    with pytest.raises(Malformed, match=r"qrels.tsv, line 2: .*expected query"):
        read_judged_set(folder)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tz\t1\n")
    with pytest.raises(Malformed, match="no query has a relevant document"):
        read_judged_set(folder)
    (folder / "queries.jsonl").write_text('{"_id": "1"}\n')
    with pytest.raises(Malformed, match=r"queries.jsonl, line 1: no text"):
        read_judged_set(folder)
    with pytest.raises(Malformed, match=r"no corpus\.jsonl and no corpus\.jsonl\.gz"):
        read_judged_set(tmp_path)
