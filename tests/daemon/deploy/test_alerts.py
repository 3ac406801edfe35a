"""Every alert fires, with the words that an operator reads, and does not fire for what is in order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from daemon.deploy.files import ALERTS, shipped
from tests.daemon.deploy.tools import debian_tool, run

RULES = shipped(ALERTS)
Series = dict[str, str]
"""Samples a minute apart, in promtool's notation, by metric."""


class Case(NamedTuple):
    """``fires``: at that minute, with these labels beside the severity and this summary; ``quiet``: not at any."""

    fires: Series
    minute: int
    severity: str
    labels: dict[str, str]
    summary: str
    quiet: list[Series]


def steady(value: object, minutes: int = 120) -> str:
    return " ".join([str(value)] * minutes)


GENERAL = '{platform="youtube",bucket="general"}'
ACTIVE = '{platform="youtube",activity="active"}'
CALLS = 'pokedexd_platform_calls_total{platform="instagram",outcome="%s"}'
ANSWERS = 'pokedexd_llm_answers_total{model="qwen3:8b",outcome="%s"}'
SEARCHES = 'pokedexd_http_requests_total{route="/v1/search",answer="%s"}'
BUCKET = 'pokedexd_search_seconds_bucket{le="%s"}'

CASES = {
    "PokedexdDown": Case(
        {'up{job="pokedexd",instance="127.0.0.1:7152"}': "1+0x5 0+0x10"},
        10,
        "critical",
        {"job": "pokedexd", "instance": "127.0.0.1:7152"},
        "127.0.0.1:7152 is not answered by pokedexd",
        [{'up{job="pokedexd"}': "1+0x5 0+0x0 1+0x10"}, {'up{job="other"}': "0+0x20"}],
    ),
    "PokedexdRestarts": Case(
        {"pokedexd_start_time_seconds": "100+0x3 200+0x3 300+0x3 400+0x20"},
        20,
        "critical",
        {},
        "pokedexd began 3 times anew within half an hour",
        [{"pokedexd_start_time_seconds": "100+0x3 200+0x3 300+0x60"}],
    ),
    "PokedexdStageHangs": Case(
        {'pokedexd_stage_still_seconds{stage="embedder"}': "0+60x10"},
        8,
        "warning",
        {"stage": "embedder"},
        "embedder has been at work for 8m 0s without a step forward",
        [{'pokedexd_stage_still_seconds{stage="embedder"}': "0+60x5 0+60x5 0+60x5"}],
    ),
    "PokedexdStageFails": Case(
        {'pokedexd_stage_restarts_total{stage="fetcher/youtube"}': "0+1x30"},
        20,
        "warning",
        {"stage": "fetcher/youtube"},
        "fetcher/youtube was restarted 15 times within 15 minutes",
        [{'pokedexd_stage_restarts_total{stage="fetcher/youtube"}': "0+0x10 1+0x30"}],
    ),
    "PokedexdDependencyDown": Case(
        {'pokedexd_dependency_ok{name="instagram"}': steady(0)},
        40,
        "warning",
        {"name": "instagram"},
        "instagram has not been ok for half an hour",
        [{'pokedexd_dependency_ok{name="instagram"}': "0+0x20 1+0x1 0+0x20 1+0x1"}],
    ),
    "PokedexdIngestionBehind": Case(
        {f"pokedexd_freshness_ratio{ACTIVE}": steady(0.8), f"pokedexd_accounts{ACTIVE}": steady(500)},
        70,
        "warning",
        {"platform": "youtube", "activity": "active"},
        "only 80% of youtube's active accounts were looked at in time",
        [
            {f"pokedexd_freshness_ratio{ACTIVE}": steady(0.95), f"pokedexd_accounts{ACTIVE}": steady(500)},
            {f"pokedexd_freshness_ratio{ACTIVE}": steady(0.5), f"pokedexd_accounts{ACTIVE}": steady(4)},
            {f"pokedexd_freshness_ratio{ACTIVE}": steady("NaN"), f"pokedexd_accounts{ACTIVE}": steady(0)},
        ],
    ),
    "PokedexdSurveyStale": Case(
        {"pokedexd_survey_age_seconds": steady(30_000)},
        20,
        "warning",
        {},
        "freshness was last surveyed 8h 20m 0s ago",
        [{"pokedexd_survey_age_seconds": steady(6_000)}, {"pokedexd_survey_age_seconds": steady("NaN")}],
    ),
    "PokedexdDeadLettersGrow": Case(
        {"pokedexd_dead_letters": "0+1x120"},
        90,
        "warning",
        {},
        "60 more dead letters within an hour",
        [{"pokedexd_dead_letters": steady(900)}, {"pokedexd_dead_letters": "0+0x60 5+0x60"}],
    ),
    "PokedexdBudgetDry": Case(
        {f"pokedexd_quota_open{GENERAL}": steady(0), f"pokedexd_quota_refused{GENERAL}": steady(0)},
        40,
        "warning",
        {"platform": "youtube", "bucket": "general"},
        "nothing is left of youtube/general",
        [
            {f"pokedexd_quota_open{GENERAL}": steady(1), f"pokedexd_quota_refused{GENERAL}": steady(0)},
            {f"pokedexd_quota_open{GENERAL}": steady(0), f"pokedexd_quota_refused{GENERAL}": steady(1)},
            {
                'pokedexd_quota_open{platform="youtube",bucket="search"}': steady(0),
                'pokedexd_quota_refused{platform="youtube",bucket="search"}': steady(0),
            },
        ],
    ),
    "PokedexdBudgetRunsDry": Case(
        {
            f"pokedexd_quota_open{GENERAL}": steady(1),
            f"pokedexd_quota_seconds_until_dry{GENERAL}": steady(3_600),
            f"pokedexd_quota_seconds_until_reset{GENERAL}": steady(40_000),
        },
        70,
        "info",
        {"platform": "youtube", "bucket": "general"},
        "youtube/general will be dry long before it comes back",
        [
            {
                f"pokedexd_quota_open{GENERAL}": steady(1),
                f"pokedexd_quota_seconds_until_dry{GENERAL}": steady("Inf"),
                f"pokedexd_quota_seconds_until_reset{GENERAL}": steady(40_000),
            },
            {
                f"pokedexd_quota_open{GENERAL}": steady(1),
                f"pokedexd_quota_seconds_until_dry{GENERAL}": steady(30_000),
                f"pokedexd_quota_seconds_until_reset{GENERAL}": steady(40_000),
            },
        ],
    ),
    "PokedexdKeyRefused": Case(
        {'pokedexd_quota_refused{platform="instagram",bucket="token:a"}': steady(1)},
        5,
        "critical",
        {"platform": "instagram", "bucket": "token:a"},
        "instagram refuses the key or token of token:a",
        [{'pokedexd_quota_refused{platform="instagram",bucket="token:a"}': steady(0)}],
    ),
    "PokedexdTokenEnds": Case(
        {'pokedexd_token_seconds_left{platform="instagram",token="a"}': steady(3 * 86_400)},
        5,
        "warning",
        {"platform": "instagram", "token": "a"},
        "instagram's token a ends in 3d 0h 0m 0s",
        [{'pokedexd_token_seconds_left{platform="instagram",token="a"}': steady(30 * 86_400)}],
    ),
    "PokedexdPlatformErrors": Case(
        {CALLS % "ok": "0+10x120", CALLS % "timeout": "0+5x120"},
        60,
        "warning",
        {"platform": "instagram"},
        "more than a fifth of the calls to instagram fail",
        [
            {CALLS % "ok": "0+10x120", CALLS % "timeout": "0+1x120"},
            {CALLS % "ok": steady(0), CALLS % "auth": steady(0)},
        ],
    ),
    "PokedexdHubSilent": Case(
        {"pokedexd_push_silent": steady(1)},
        20,
        "warning",
        {},
        "posts come out and the hub pushes none",
        [{"pokedexd_push_silent": steady(0)}],
    ),
    "PokedexdEnrichmentErrors": Case(
        {ANSWERS % "ok": "0+4x120", ANSWERS % "malformed": "0+4x120"},
        60,
        "warning",
        {"model": "qwen3:8b"},
        "more than a fifth of the questions to qwen3:8b get no valid answer",
        [{ANSWERS % "ok": "0+40x120", ANSWERS % "malformed": "0+4x120"}, {ANSWERS % "ok": steady(0)}],
    ),
    "PokedexdSearchSlow": Case(
        {BUCKET % "0.5": "0+1x120", BUCKET % "1.0": "0+10x120", BUCKET % "+Inf": "0+10x120"},
        30,
        "warning",
        {},
        "one search in twenty takes 972.2ms or longer",
        [
            {BUCKET % "0.5": "0+98x120", BUCKET % "1.0": "0+100x120", BUCKET % "+Inf": "0+100x120"},
            {BUCKET % "0.5": steady(0), BUCKET % "+Inf": steady(0)},
        ],
    ),
    "PokedexdSearchErrors": Case(
        {SEARCHES % "2xx": "0+90x120", SEARCHES % "timeout": "0+2x120"},
        30,
        "critical",
        {},
        "more than one search in a hundred fails",
        [
            {SEARCHES % "2xx": "0+900x120", SEARCHES % "timeout": "0+2x120"},
            {SEARCHES % "2xx": "0+90x120", SEARCHES % "bad_parameter": "0+20x120"},
        ],
    ),
    "PokedexdIndexFails": Case(
        {'pokedexd_index_failures_total{index="text"}': "0+0x10 1+0x50"},
        15,
        "warning",
        {"index": "text"},
        "the index text failed in a search",
        [{'pokedexd_index_failures_total{index="text"}': steady(3)}],
    ),
    "PokedexdDiskLow": Case(
        {"pokedexd_disk_free_bytes": steady(5 << 30), "pokedexd_disk_bytes": steady(100 << 30)},
        20,
        "warning",
        {},
        "5GiB are free where the data directory is",
        [{"pokedexd_disk_free_bytes": steady(50 << 30), "pokedexd_disk_bytes": steady(100 << 30)}],
    ),
    "PokedexdDiskFillsUp": Case(
        {"pokedexd_disk_free_bytes": "1000000000000-1000000000x500"},
        450,
        "critical",
        {},
        "the disk of the data directory will be full within a day",
        [{"pokedexd_disk_free_bytes": "1000000000000-100000000x500"}],
    ),
    "PokedexdIntakeHeld": Case(
        {"pokedexd_intake_held": "0+0x5 1+0x30"},
        20,
        "warning",
        {},
        "nothing has been taken in for ten minutes",
        [{"pokedexd_intake_held": steady(0)}, {"pokedexd_intake_held": "0+0x5 1+0x8 0+0x2 1+0x8 0+0x30"}],
    ),
    "PokedexdStoreNearlyFull": Case(
        {"pokedexd_store_bytes": steady(60 << 30), "pokedexd_store_map_bytes": steady(64 << 30)},
        20,
        "warning",
        {},
        "the store holds 60GiB, four fifths of what it may",
        [{"pokedexd_store_bytes": steady(6 << 30), "pokedexd_store_map_bytes": steady(64 << 30)}],
    ),
    "PokedexdBackupOld": Case(
        {"pokedexd_backup_age_seconds": steady(3 * 86_400)},
        90,
        "warning",
        {},
        "the last backup is 3d 0h 0m 0s old",
        [{"pokedexd_backup_age_seconds": steady(86_400)}, {"pokedexd_backup_age_seconds": steady("NaN")}],
    ),
}
QUIET_MINUTES = (5, 15, 30, 60, 90, 119, 450)


def test_every_alert_has_its_cases() -> None:
    assert sorted(CASES) == sorted(re.findall(r"- alert: (\w+)", RULES))
    assert all(case.quiet for case in CASES.values())
    assert len(re.findall(r"^ +remedy: ", RULES, re.MULTILINE)) == len(CASES)


def test_every_alert_fires_and_does_not_fire(tmp_path: Path) -> None:
    """Each by itself: promtool works out every rule of a file for every minute of every test."""
    promtool = debian_tool("promtool", "prometheus")
    (tmp_path / ALERTS).write_text(RULES)
    assert f"{len(CASES)} rules found" in run(promtool, "check", "rules", str(tmp_path / ALERTS))
    documents = []
    for name, case in CASES.items():
        (tmp_path / f"{name}.rule.yml").write_text(rule_alone(name))
        document = {"rule_files": [f"{name}.rule.yml"], "evaluation_interval": "1m", "tests": played(name, case)}
        documents.append(tmp_path / f"{name}.yml")
        documents[-1].write_text(json.dumps(document))  # JSON is YAML too
    said = run(promtool, "test", "rules", *map(str, documents))
    assert said.count("SUCCESS") == len(CASES), said


def rule_alone(name: str) -> str:
    head, *rules = RULES.split("      - alert: ")
    (rule,) = [rule for rule in rules if rule.startswith(f"{name}\n")]
    return f"{head}      - alert: {rule}"


def played(name: str, case: Case) -> list[dict[str, Any]]:
    told = {
        "exp_labels": {"severity": case.severity, **case.labels},
        "exp_annotations": {"summary": case.summary, "remedy": remedy_of(name)},
    }
    fires = {"eval_time": f"{case.minute}m", "alertname": name, "exp_alerts": [told]}
    quiet = [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []} for minute in QUIET_MINUTES]
    return [play(f"{name} fires", case.fires, [fires])] + [
        play(f"{name} is quiet", series, quiet) for series in case.quiet
    ]


def play(name: str, series: Series, asked: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": metric, "values": values} for metric, values in series.items()],
        "alert_rule_test": asked,
    }


def remedy_of(name: str) -> str:
    found = re.search(rf'- alert: {name}\n.*?remedy: "([^"]*)"', RULES, re.DOTALL)
    assert found is not None, name
    return found[1]
