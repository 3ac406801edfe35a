from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.ids import Platform, account_key
from proto.records import Job, JobKind, Priority
from stores.env import Environment, Txn
from stores.schedule import (
    PENDING,
    PackRule,
    Schedule,
    _state_key,
    content_pending,
    find_job,
    plan_job,
    put_job,
    settle_job,
)
from tests.stores.conformance.schedule import NOW, ScheduleConformance, job


class TestLmdbSchedule(ScheduleConformance):
    @pytest.fixture
    def schedule(self, env: Environment) -> Schedule:
        return Schedule(env)


async def test_a_restart_voids_every_lease(env: Environment) -> None:
    schedule = Schedule(env)
    await schedule.put([job("a"), job("b")])
    rule = PackRule(kind=JobKind.PROFILE, size=50)
    assert await schedule.lease(Platform.YOUTUBE, [rule], NOW, packs=1, flush=True)
    assert schedule.release_all() == 2
    (pack,) = await schedule.lease(Platform.YOUTUBE, [rule], NOW, packs=1, flush=True)
    assert {one.entity for one in pack} == {"a", "b"}


async def test_a_job_that_cannot_be_read_holds_up_no_other(env: Environment) -> None:
    schedule = Schedule(env)
    await schedule.put([job("a"), job("b"), job("c")])
    rule = PackRule(kind=JobKind.PROFILE, size=2)
    (pack,) = await schedule.lease(Platform.YOUTUBE, [rule], NOW, packs=1, flush=True)

    def cut(txn: Txn) -> None:
        for entity in ("b", "c"):
            txn.put("schedule", _state_key(Platform.YOUTUBE, JobKind.PROFILE, entity), b"\x01\x90")

    await env.write(cut)
    assert {one.entity for one in pack} == {"a", "b"}
    assert schedule.release_all() == 2
    assert await env.read(lambda txn: txn.entries("leases")) == 0
    assert await schedule.lease(Platform.YOUTUBE, [rule], NOW, packs=1, flush=True) == [(job("a"),)]
    late = {Priority.ON_DEMAND: NOW + 1.0, job("c").priority: NOW + 1.0}
    assert not await schedule.late(Platform.YOUTUBE, [JobKind.PROFILE], late)
    await schedule.put([job("d")])
    assert await schedule.late(Platform.YOUTUBE, [JobKind.PROFILE], late)
    assert {database for database, _ in env.damaged} == {"schedule"}
    assert len(env.damaged) == 2


async def test_what_was_asked_for_is_not_put_off(env: Environment) -> None:
    asked = job("a", priority=Priority.ON_DEMAND, due_at=NOW)
    visit = job("a", priority=Priority.LONG_TAIL, due_at=NOW + 1_000, first=False)

    def change(txn: Txn) -> tuple[Job | None, Job | None]:
        put_job(txn, asked)
        plan_job(txn, visit)
        waiting = find_job(txn, Platform.YOUTUBE, JobKind.PROFILE, "a")
        settle_job(txn, asked, msgspec.structs.replace(asked, first=False))
        plan_job(txn, visit)
        return waiting, find_job(txn, Platform.YOUTUBE, JobKind.PROFILE, "a")

    waiting, answered = await env.write(change)
    assert waiting == asked
    assert answered == visit


async def test_a_first_page_that_is_asked_for_waits_beside_a_further_one(env: Environment) -> None:
    """Neither takes the other's place: both pages hold news."""
    further = msgspec.structs.replace(job("UCa", kind=JobKind.NEWS), page_token="p2", listed_before=50)
    first = job("UCa", kind=JobKind.UPLOADS)
    schedule = Schedule(env)
    await schedule.put([further, first])
    assert await schedule.get(Platform.YOUTUBE, JobKind.NEWS, "UCa") == further
    assert await schedule.get(Platform.YOUTUBE, JobKind.UPLOADS, "UCa") == first


@pytest.mark.parametrize("further", [JobKind.UPLOADS, JobKind.NEWS, JobKind.CONTENT])
async def test_content_pending_sees_listings_and_details_but_not_visits(env: Environment, further: JobKind) -> None:
    key = account_key(Platform.YOUTUBE, "UCa")

    def change(txn: Txn) -> list[bool]:
        seen = [content_pending(txn, key)]
        for kind, entity in ((JobKind.PROFILE, "UCa"), (further, "v1")):
            put_job(
                txn,
                Job(
                    platform=Platform.YOUTUBE,
                    kind=kind,
                    entity=entity,
                    account_key=key,
                    priority=Priority.ACTIVE,
                    due_at=1,
                ),
            )
            seen.append(content_pending(txn, key))
        return seen

    assert await env.write(change) == [False, False, True]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "settle", "back"]), st.integers(0, 4), st.integers(0, 3), st.booleans()),
        max_size=30,
    )
)
def test_the_pending_counter_is_the_number_of_unanswered_jobs(
    steps: list[tuple[str, int, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("schedule")
    env = Environment(folder, map_size_bytes=1 << 24)
    try:
        for action, name, due, first in steps:
            one = job(f"c{name}", due_at=due, first=first)

            def change(txn: Txn, action: str = action, one: Job = one) -> None:
                if action == "put":
                    put_job(txn, one)
                else:
                    settle_job(txn, one, None if action == "settle" else one)

            env.write_now(change)
        with env.snapshot() as txn:
            from stores.codec import decode

            jobs = [decode(Job, value) for _, value in txn.scan("schedule")]
            assert txn.counter(PENDING) == sum(one.first for one in jobs)
            assert txn.entries("schedule_due") == len(jobs)
    finally:
        env.close()
