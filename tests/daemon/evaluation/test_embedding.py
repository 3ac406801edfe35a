"""What belongs together, and how often a model finds it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.evaluation.embedding import EVERYWHERE, RetrievalSet, evaluate, read_sets
from models.embedding_port import Vectors
from proto.errors import Malformed
from tests.flow.processes import run_cli


class Letters:
    """Texts with the same letters are alike."""

    model_id, dims = "letters", 26

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([[text.count(chr(97 + at)) for at in range(26)] for text in texts], np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows / np.maximum(lengths, 1)
        return unit

    def close(self) -> None: ...


def test_a_model_that_knows_letters_finds_anagrams() -> None:
    words = {"1": "listen", "2": "night", "3": "evil"}
    anagrams = RetrievalSet(
        name="anagrams",
        documents=words,
        queries={"a": "silent", "b": "thing", "c": "zzz"},
        relevant={"a": frozenset("1"), "b": frozenset("2"), "c": frozenset("3")},
    )
    ticks = iter(range(9))
    report = evaluate([anagrams], Letters(), lambda *_: None, lambda: float(next(ticks)))
    found = report.sets["anagrams"]
    assert (found.documents, found.queries, report.texts_per_second) == (3, 3, 6.0)
    assert found.ndcg_10 == pytest.approx((1 + 1 + 1 / 2) / 3), "what is like nothing stands in the order of documents"
    assert report.mean.ndcg_10 == found.ndcg_10


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_sets_are_read_by_language_and_country(tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "topics"
    write(
        folder / "corpus.jsonl.gz",
        [{"_id": "1", "title": "Bread", "language": "en"}, {"_id": "2", "title": "Pão", "language": "pt"}],
    )
    write(folder / "queries.jsonl", [{"_id": "q", "text": "baking"}])
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\nq\t2\t0\n")
    rows = [
        {"channel_id": f"UC{channel}", "title": f"title {at}", "published_at": f"2020-01-0{at}", "region": "KR"}
        for channel in range(30)
        for at in (3, 1, 2)
    ]
    write(tmp_path / "youtube_videos_trending_desc.jsonl.gz", rows)
    topics, everywhere, korea = read_sets(tmp_path)
    assert (topics.name, list(topics.documents), topics.relevant) == ("topics, en", ["1"], {"q": frozenset("1")})
    assert (everywhere.name, korea.name) == (EVERYWHERE, "channels, KR")
    assert (korea.queries["UC7"], korea.documents["UC7"]) == ("title 1. title 3", "title 2")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\tmuch\n")
    with pytest.raises(Malformed, match=r"qrels.tsv, line 2: .*expected query"):
        read_sets(tmp_path)
    with pytest.raises(Malformed, match="nothing to measure on"):
        read_sets(tmp_path / "nowhere")


@pytest.mark.shared
def test_the_real_sets_are_all_read(shared_data: Path) -> None:
    sets = {one.name: one for one in read_sets(shared_data)}
    assert {"cacm", "cisi", "cranfield", "creator_topics_awesome, pt", "channels, JP", EVERYWHERE} <= sets.keys()
    assert len(sets["cranfield"].relevant) == 110
    assert all(one.relevant and one.documents for one in sets.values())


def test_the_command_says_where_there_is_nothing_to_measure(tmp_path: Path) -> None:
    done = run_cli("eval", "embed", "--world", str(tmp_path))
    assert done.returncode != 0
    assert "nothing to measure on" in done.stdout + done.stderr
