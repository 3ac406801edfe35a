"""A judged set through the store, the indexes and the searcher, with a model that knows letters alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from daemon import cli
from daemon.config import Config
from daemon.evaluation import search_report
from daemon.evaluation.judged_sets import JudgedSet, Part, read_judged_set
from daemon.evaluation.plain_bm25 import PlainBm25
from daemon.evaluation.search import Reports, evaluate, methods_of
from models.embedding_port import Vectors
from proto.errors import Malformed
from stores.ports import Weights
from tests.daemon.evaluation.test_judged_sets import write_set

DOCUMENTS = {
    "listen": "silent tinsel enlist",
    "night": "thing in the dark",
    "evil": "vile live veil",
    "stressed": "desserts and cakes",
    "cakes": "baking of bread and cakes",
    "rails": "liars rail at trains",
}
QUERIES = {"1": "enlist", "2": "cakes baking", "3": "snitlee", "4": "trains", "5": "no such words"}
JUDGED = [
    ("1", "listen", 1),
    ("2", "cakes", 2),
    ("2", "stressed", 1),
    ("3", "listen", 1),
    ("4", "rails", 1),
    ("5", "evil", 1),
]


class Letters:
    """Texts with the same letters are alike."""

    model_id, dims = "letters", 26

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts], np.float32)
        unit: Vectors = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        return unit

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def anagrams(tmp_path_factory: pytest.TempPathFactory) -> JudgedSet:
    folder = tmp_path_factory.mktemp("sets") / "anagrams"
    write_set(folder, DOCUMENTS, QUERIES, JUDGED)
    return read_judged_set(folder)


async def reports_of(sets: Sequence[JudgedSet], *, part: Part = Part.ALL, sweep: bool = False) -> Reports:
    ticks = iter(range(10_000))
    return await evaluate(
        sets, Letters(), Config(), part, lambda *_: None, sweep=sweep, clock=lambda: float(next(ticks))
    )


async def test_each_method_finds_what_it_can(anagrams: JudgedSet) -> None:
    reports = await reports_of([anagrams])
    (report,) = reports.sets.values()
    assert (report.documents, report.queries, report.semantic_field) == (6, 5, "yt_bio")
    assert report.keyword.mrr < 1.0, "an anagram is nothing to keywords"
    assert report.keyword.recall_100 == pytest.approx(report.plain_bm25.recall_100)
    assert report.semantic.recall_100 == pytest.approx(4 / 5), "the last query shares no letter with what it is to find"
    assert report.semantic.mrr > report.keyword.mrr
    assert report.hybrid.ndcg_10 > report.shuffled.ndcg_10
    assert list(report.fields) == ["yt_bio"], "papers have no content and no second account"
    assert report.differences["hybrid"].low <= report.differences["hybrid"].mean <= report.differences["hybrid"].high
    assert report.milliseconds_per_query == 1_000.0


async def test_json_is_of_one_set_or_of_several(anagrams: JudgedSet) -> None:
    other = msgspec.structs.replace(anagrams, name="again")
    reports = await reports_of([anagrams, other], part=Part.ODD, sweep=True)
    told = msgspec.json.decode(reports.as_json())
    assert told["sets"].keys() == {"anagrams", "again"}
    assert told["mean"]["keyword"].keys() == {"ndcg@10", "map", "recall@100", "mrr"}
    assert told["mean"]["hybrid"] == told["sets"]["again"]["hybrid"] == told["sets"]["anagrams"]["hybrid"]
    assert told["mean"]["queries"] == 6
    points = {(one.keyword, one.vector, one.quality): one.mean for one in reports.sweep}
    assert points[1.0, 0.0, 0.0] == pytest.approx(reports.mean.keyword.ndcg_10), (
        "all weight on keywords is keyword search"
    )
    assert all(sum(weights) == pytest.approx(1.0) for weights in points)
    (alone,) = (await reports_of([anagrams])).sets.values()
    first = msgspec.json.decode(
        Reports(sets={"a": alone}, mean=alone, weights=reports.weights, model="m", sweep=[]).as_json()
    )
    assert {"keyword", "semantic", "hybrid", "hybrid_rrf"} <= first.keys()
    assert "sets" not in first


async def test_pictures_show_every_set_and_the_grid(anagrams: JudgedSet, tmp_path: Path) -> None:
    reports = await reports_of([anagrams], sweep=True)
    shown = list(search_report.pictures(reports))
    assert len(shown) == 5, "a run table, two gaps, the weights, the grid"
    page = tmp_path / "page.html"
    search_report.write_page(page, reports)
    assert page.read_text().count("<rect") == 5
    with pytest.raises(Malformed, match="cannot be written"):
        search_report.write_page(tmp_path / "nowhere" / "page.html", reports)


def test_a_single_field_is_alone_in_its_method() -> None:
    weights = Weights(keyword=0.5, vector=0.4, quality=0.1, fields={"yt_bio": 1.0})
    methods = methods_of(["ig_bio"], weights)
    assert list(methods) == ["keyword", "ig_bio", "hybrid", "hybrid_rrf"]
    assert [name for name, share in methods["ig_bio"].weights.fields.items() if share] == ["ig_bio"]
    assert methods["hybrid"].weights == methods["hybrid_rrf"].weights == weights


def test_bm25_by_hand() -> None:
    """Of two documents of two words, "a" is in one: log(1 + 1.5 / 1.5) · 1 · 2.2 / 2.2 = log 2, twice where asked twice."""
    plain = PlainBm25({"x": "a b", "y": "b c", "z": "a a"})
    assert plain.ranked("a", 10) == ["z", "x"]
    assert plain.ranked("c b", 10) == ["y", "x"]
    assert plain.ranked("nothing", 10) == []


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="expected a folder in BEIR's layout"):
        CliRunner().invoke(cli.app, ["eval", "search", "--set", str(tmp_path)], catch_exceptions=False)
