from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from daemon.backup import LAST_BACKUP_AT
from daemon.figures import last_backup_at, resident_bytes, seconds_left
from daemon.metrics import Figures, Metrics
from daemon.stock import Stock
from proto.api import Counts, DependencyStatus, LabelStatus, ModelSpend, ReadyAnswer, StageStatus
from proto.ids import Platform
from proto.records import Activity
from stores.env import Environment
from stores.ledger import Budget, Standing
from stores.subscriptions import PushCounts
from tests.daemon.test_housekeeping import token

NOW = 1_790_000_000.0


def standing(bucket: str, **changes: Any) -> Standing:
    budget = Budget(platform=Platform.YOUTUBE, bucket=bucket, units=10_000)
    usual = Standing(
        budget=budget, used=100, closed_until=0, disabled_because="", dry_at=None, resets_at=int(NOW) + 3_600
    )
    return msgspec.structs.replace(usual, **changes)


def ready(handled: int = 3, busy_seconds: float = 1.5) -> ReadyAnswer:
    stage = StageStatus(
        name="embedder",
        queue_depth=4,
        blocked_seconds=0.25,
        state="running",
        handled=handled,
        restarts=0,
        busy_seconds=busy_seconds,
        workers=2,
    )
    return ReadyAnswer(
        status="ok",
        counts=Counts(creators=10, accounts=12, content_items=300, work_pending=5),
        dependencies={"model": DependencyStatus(state="down", detail="", loaded=0.5)},
        stages=[stage],
    )


def figures(
    standings: Sequence[Standing] = (), stock: Stock | None = None, backup_at: float | None = None, **changes: Any
) -> Figures:
    usual = Figures(
        now=NOW,
        ready=ready(),
        still_seconds={"embedder": 12.0},
        standings=standings,
        dead_letters=7,
        labels=LabelStatus(creators={"local": 8}),
        stock=stock,
        push=PushCounts(subscribed=2, hits=30, misses=1, trusted=True),
        hub_silent=True,
        tokens={"a": 86_400.0},
        backfill_paused={Platform.YOUTUBE: True},
        store_bytes=1_000,
        map_bytes=64_000,
        writer_busy_seconds=2.5,
        disk_bytes=100_000,
        disk_free_bytes=40_000,
        resident_bytes=5_000,
        memory_ceiling_bytes=9_000,
        intake_held=True,
        backup_at=backup_at,
    )
    return msgspec.structs.replace(usual, **changes)


def sample(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"pokedexd_{name}", labels)


def shown(one: Figures) -> Metrics:
    metrics = Metrics()
    metrics.show(one)
    return metrics


def test_flow_store_and_hub_are_shown() -> None:
    metrics = shown(figures())
    expected = {
        "work_pending": 5,
        "dead_letters": 7,
        "push_subscribed": 2,
        "push_trusted": 1,
        "push_silent": 1,
        "store_bytes": 1_000,
        "store_map_bytes": 64_000,
        "disk_free_bytes": 40_000,
        "disk_bytes": 100_000,
        "resident_bytes": 5_000,
        "writer_busy_seconds_total": 2.5,
    }
    assert {name: sample(metrics, name) for name in expected} == expected
    assert sample(metrics, "stage_queue_depth", stage="embedder") == 4
    assert sample(metrics, "stage_workers", stage="embedder") == 2
    assert sample(metrics, "stage_still_seconds", stage="embedder") == 12
    assert sample(metrics, "dependency_ok", name="model") == 0
    assert sample(metrics, "push_posts_total", by="push") == 30
    assert sample(metrics, "token_seconds_left", platform="instagram", token="a") == 86_400
    assert sample(metrics, "labelled_creators", method="local") == 8
    assert sample(metrics, "backfill_paused", platform="youtube") == 1


def test_what_is_counted_elsewhere_grows_and_never_falls() -> None:
    metrics = shown(figures())
    metrics.show(figures(ready=ready(handled=10, busy_seconds=4.0)))
    assert sample(metrics, "stage_handled_total", stage="embedder") == 10
    assert sample(metrics, "stage_busy_seconds_total", stage="embedder") == 4
    assert sample(metrics, "stage_restarts_total", stage="embedder") == 0  # there from the start, to be seen to rise
    metrics.show(figures(ready=ready(handled=9)))
    assert sample(metrics, "stage_handled_total", stage="embedder") == 10


@pytest.mark.parametrize(
    ("changes", "is_open", "refused", "until_dry"),
    [
        ({}, 1, 0, math.inf),
        ({"used": 5_000, "dry_at": int(NOW) + 600}, 1, 0, 600),
        ({"used": 9_000, "dry_at": int(NOW)}, 0, 0, 0),
        ({"closed_until": int(NOW) + 60}, 0, 0, math.inf),
        ({"disabled_because": "403"}, 0, 1, math.inf),
    ],
)
def test_a_budget_is_open_dry_or_refused(changes: dict[str, Any], is_open: int, refused: int, until_dry: float) -> None:
    metrics = shown(figures([standing("general", **changes)]))
    names = {"platform": "youtube", "bucket": "general"}
    assert sample(metrics, "quota_open", **names) == is_open
    assert sample(metrics, "quota_refused", **names) == refused
    assert sample(metrics, "quota_seconds_until_dry", **names) == until_dry
    assert sample(metrics, "quota_seconds_until_reset", **names) == 3_600


def test_freshness_and_coverage_are_as_of_the_survey() -> None:
    before = shown(figures())
    assert math.isnan(sample(before, "survey_age_seconds") or 0.0)
    group, nobody = (Platform.YOUTUBE, Activity.ACTIVE), (Platform.YOUTUBE, Activity.LONG_TAIL)
    stock = Stock(
        at=NOW - 90,
        accounts={group: 8, nobody: 0},
        fresh={group: 6, nobody: 0},
        searchable=20,
        embedded=15,
        vectors={"yt_bio": 11},
    )
    metrics = shown(figures(stock=stock))
    assert sample(metrics, "survey_age_seconds") == 90
    assert sample(metrics, "freshness_ratio", platform="youtube", activity="active") == 0.75
    assert math.isnan(sample(metrics, "freshness_ratio", platform="youtube", activity="long_tail") or 0.0)
    assert sample(metrics, "accounts", platform="youtube", activity="active") == 8
    assert [sample(metrics, name) for name in ("searchable_creators", "embedded_creators")] == [20, 15]
    assert sample(metrics, "vectors", field="yt_bio") == 11


def test_a_model_that_was_asked_yesterday_is_not_shown_today() -> None:
    spent = ModelSpend(model="old", calls=1, prompt_tokens=2, completion_tokens=3, cost=0.5)
    metrics = shown(figures(labels=LabelStatus(creators={}, spent=[spent])))
    assert sample(metrics, "llm_tokens", model="old", kind="prompt") == 2
    metrics.show(figures())
    assert sample(metrics, "llm_tokens", model="old", kind="prompt") is None


def test_no_backup_has_no_age() -> None:
    assert math.isnan(sample(shown(figures()), "backup_age_seconds") or 0.0)
    assert sample(shown(figures(backup_at=NOW - 500)), "backup_age_seconds") == 500


def test_what_may_fail_is_counted_from_nought() -> None:
    metrics = Metrics()
    metrics.expect_llm("qwen3:8b")
    assert sample(metrics, "index_failures_total", index="yt_bio") == 0
    assert sample(metrics, "http_requests_total", route="/v1/search", answer="timeout") == 0
    assert sample(metrics, "platform_calls_total", platform="instagram", outcome="throttled") == 0
    assert sample(metrics, "llm_answers_total", model="qwen3:8b", outcome="timeout") == 0
    metrics.looked_up("yt_bio", 0.002, True)
    metrics.looked_up("yt_bio", 0.002, False)
    assert sample(metrics, "index_failures_total", index="yt_bio") == 1
    assert sample(metrics, "index_seconds_count", index="yt_bio") == 2
    assert generate_latest(metrics.registry)


async def test_the_last_backup_is_read_from_the_store(env: Environment) -> None:
    assert await env.read(last_backup_at) is None
    await env.write(lambda txn: txn.put("meta", LAST_BACKUP_AT.encode(), b"1790000000"))
    assert await env.read(last_backup_at) == 1_790_000_000


def test_tokens_that_state_an_end_and_memory() -> None:
    assert seconds_left([token(2, "a"), token(None, "b"), token(-1, "c")], NOW) == {"a": 172_800, "c": -86_400}
    assert resident_bytes() > 1_000_000
