"""What the shipped weights find, in made-up worlds and in real data."""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
from pathlib import Path

import msgspec
import pytest

from actors.identity_weights import BELIEFS, PRIOR
from daemon.config import Config
from daemon.evaluation.identity import wilson
from daemon.evaluation.identity_files import Report, evaluate, read_truth
from daemon.evaluation.identity_fit import Example, fit, weighted
from daemon.evaluation.identity_made_up import evaluate_made_up
from daemon.evaluation.identity_report import pictures
from daemon.pipeline import identity_rules
from proto.errors import Malformed
from tests.flow.processes import run_cli

SEED = 1
ACCOUNTS = int(os.environ.get("POKEDEXD_TEST_IDENTITY_ACCOUNTS", "100000"))


def quiet(name: str, share: float) -> None:
    assert 0 <= share <= 1, name


def test_in_a_made_up_world_people_are_found_and_look_alikes_told_apart() -> None:
    report = evaluate_made_up(5_000, SEED, identity_rules(Config()), quiet)
    print(f"seed {SEED}: {report.figure}, {report.wrong_by_trap}, {report.speed}")
    assert report.figure.precision >= 0.995
    assert report.figure.recall >= 0.95
    assert report.speed.compared_per_account <= 20
    for one in (report.figure, *report.plain_rules.values(), *report.curve.values()):
        assert one.f1_interval[0] < one.f1 < one.f1_interval[1]
    linked = report.plain_rules["link_and_likeness"]
    assert report.figure.precision > linked.precision
    assert report.figure.recall > linked.recall
    assert report.curve["0.999"].recall < report.curve["0.5"].recall
    assert sum(report.wrong_by_trap.values()) == report.figure.wrong
    assert len(list(pictures(report))) > 4


@pytest.mark.long
def test_a_hundred_thousand_accounts_at_the_same_pace(capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluate_made_up(ACCOUNTS, SEED, identity_rules(Config()), quiet)
    pace = report.speed.milliseconds_per_account
    with capsys.disabled():
        print(f"\nseed {SEED}: {report.figure}, {report.wrong_by_trap}, {report.speed}")
    assert report.figure.precision >= 0.995
    assert report.figure.recall >= 0.95
    assert report.speed.compared_per_account <= 20
    assert statistics.mean(pace[-2:]) < 10 * pace[0], "the work per account grows with their number"


@pytest.fixture(scope="module")
def report(shared_data: Path) -> Report:
    return evaluate([shared_data], shared_data / "cross_platform_links.jsonl.gz", identity_rules(Config()), quiet)


def test_real_channels_and_their_instagram_accounts_are_found(report: Report) -> None:
    print(report.self_declared_and_high, report.high_and_medium, report.worst["self_declared_and_high"])
    assert report.self_declared_and_high.precision >= 0.99
    assert report.self_declared_and_high.recall >= 0.90
    plain = report.plain_rules["high_and_medium_link_and_likeness"]
    assert report.high_and_medium.precision >= 0.99
    assert report.high_and_medium.recall > plain.recall
    assert report.low_merged < 0.35  # most of these are guests, staff and labels


def test_real_names_alone_find_more_than_equal_strings(report: Report) -> None:
    print(report.curated, report.plain_rules["curated_same_string"])
    assert report.curated.precision >= 0.99
    assert report.curated.recall >= 0.30
    assert report.curated.recall > report.plain_rules["curated_same_string"].recall


def test_real_descriptions_give_the_handles_that_they_name(report: Report) -> None:
    assert report.extraction["share"] >= 0.95
    assert len(list(pictures(report))) > 8


def test_the_command_prints_one_document(tmp_path: Path) -> None:
    done = run_cli("eval", "identity", "--accounts", "300", "--json")
    assert done.returncode == 0, done.stderr
    assert {"precision", "recall", "f1", "n"} <= json.loads(done.stdout)["figure"].keys()
    half = run_cli("eval", "identity", "--truth", str(tmp_path / "x"))
    assert half.returncode != 0
    assert "--world and --truth go together" in half.stderr
    absent = run_cli("eval", "identity", "--world", str(tmp_path), "--truth", "[/no].such[file]")
    assert "error: [/no].such[file]" in absent.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "line 1"),
        ('{"instagram_handle": "a", "label_quality": "high"}', "names no channel"),
        ("not json", "line 1"),
        ("", "holds no pair"),
    ],
)
def test_a_truth_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "truth.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(Malformed, match=complaint):
        read_truth(path)


def test_a_fit_finds_the_weights_that_pairs_were_made_with() -> None:
    dice = random.Random(SEED)
    true = dict(BELIEFS) | {PRIOR: -1.0, "link:bio_sole": 3.0, "fan:one": -2.0}
    examples = []
    for _ in range(6_000):
        evidence = [part for part in (("link", "bio_sole"), ("fan", "one")) if dice.random() < 0.5]
        odds = true[PRIOR] + sum(true[f"{kind}:{level}"] for kind, level in evidence)
        examples.append(Example(evidence=evidence, same=dice.random() < 1 / (1 + 2.718281828**-odds)))
    fitted = fit(examples)
    for name in (PRIOR, "link:bio_sole", "fan:one"):
        assert fitted.weights[name] == pytest.approx(true[name], abs=0.3)
    untouched = {name for name in BELIEFS if name not in (PRIOR, "link:bio_sole", "fan:one")}
    assert all(fitted.weights[name] == pytest.approx(BELIEFS[name], abs=1e-3) for name in untouched)


def test_examples_can_count_as_much_as_is_asked() -> None:
    examples = [Example(evidence=[], same=True), Example(evidence=[], same=False)]
    assert sum(one.count for one in weighted(examples, 10)) == pytest.approx(10)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (0, 10), (10, 10), (99, 100)])
def test_intervals_hold_the_share(hits: int, n: int) -> None:
    low, high = wilson(hits, n)
    assert 0 <= low <= (hits / n if n else 0.5) <= high <= 1


def test_a_report_is_one_document(report: Report) -> None:
    told = msgspec.to_builtins(report)
    assert {"self_declared_and_high", "high_and_medium", "curated", "low_merged"} <= told.keys()
