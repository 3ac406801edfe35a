"""Creators who turn to another subject are asked about again; those who go on as before are not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.simulator.events import niche_changes
from daemon.simulator.generator import generate
from tests.flow.processes import Daemon, Simulator, import_world, simulator, wait_for
from tests.flow.test_labels import creators, methods, with_model

DAY_SECONDS = 86_400
CREATORS, SEED, SHARE = 80, 4, 0.8
LIVING = ("--live", "--creators", str(CREATORS), "--seed", str(SEED), "--drift-share", str(SHARE), "--drift-days", "1")
LATER_DAYS = 27
"""No platform's data has expired by then, nor a label by age; who posts daily shows little of what was before."""


def living_world(days: int) -> Any:
    """The same world, so many days after its beginning."""
    return simulator(*LIVING, "--started-at", str(time.time() - days * DAY_SECONDS))


def moment(world: Simulator, days: int) -> str:
    return (datetime.fromtimestamp(world.now, UTC) + timedelta(days=days)).isoformat()


def settings(world: Simulator, days: int) -> dict[str, str]:
    return with_model(world, DAEMON__CLOCK_AT=moment(world, days), PIPELINE__RESEND_AFTER_SECONDS="5")


def labels(daemon: Daemon) -> dict[str, tuple[str, str]]:
    """By creator: its niche, and as of when."""
    return {one["creator_id"]: (one["primary_niche"], one["enrichment"]["at"]) for one in creators(daemon)}


def turned_to(daemon: Daemon, turned: dict[str, str]) -> dict[str, str]:
    """By creator: the niche that its account has turned to."""
    accounts = {one["creator_id"]: one["accounts"][0]["platform_user_id"] for one in creators(daemon)}
    return {creator: turned[account] for creator, account in accounts.items() if account in turned}


def test_who_turns_to_another_subject_is_labelled_anew_and_nobody_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = generate(CREATORS, SEED)
    turned = {change.account: change.niche for change in niche_changes(made, SEED, SHARE, made.now + DAY_SECONDS)}
    with living_world(0) as world:
        env = settings(world, 0)
        import_world(world, data, env)
        with Daemon(data, env) as daemon:
            daemon.wait_until_done()
            wait_for(lambda: methods(daemon) == {"llm"}, "the model's labels", 60)
            before = labels(daemon)
            turning = turned_to(daemon, turned)
            assert daemon.terminate() == 0
    with living_world(LATER_DAYS) as world, Daemon(data, settings(world, LATER_DAYS)) as daemon:

        def asked_anew() -> set[str]:
            return {
                creator for creator, (_, at) in labels(daemon).items() if creator in before and at != before[creator][1]
            }

        def followed() -> set[str]:
            niches = {creator: niche for creator, (niche, _) in labels(daemon).items()}
            return {creator for creator, niche in turning.items() if niches.get(creator) == niche}

        wait_for(lambda: len(followed() & asked_anew()) >= 3, "labels of those whose content is another", 90)
        others = asked_anew() - set(turning)
        assert len(others) <= 1, f"{others} go on as before and are asked about again"
        assert daemon.terminate() == 0
