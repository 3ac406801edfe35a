"""What every Schedule must do; put another backend under it by overriding ``schedule``."""

from __future__ import annotations

from proto.ids import Platform, account_key
from proto.records import Job, JobKind, Priority
from stores.schedule import PackRule, Schedule

PROFILES = PackRule(kind=JobKind.PROFILE, size=50, wait_seconds=300)
UPLOADS = PackRule(kind=JobKind.UPLOADS, size=1)
NOW = 1_000_000
VISITS = (JobKind.PROFILE, JobKind.FEED)


def job(
    entity: str,
    *,
    kind: JobKind = JobKind.PROFILE,
    due_at: int = NOW,
    priority: Priority = Priority.BACKFILL,
    first: bool = True,
) -> Job:
    return Job(
        platform=Platform.YOUTUBE,
        kind=kind,
        entity=entity,
        account_key=account_key(Platform.YOUTUBE, entity),
        priority=priority,
        due_at=due_at,
        first=first,
    )


class ScheduleConformance:
    async def _lease(
        self, schedule: Schedule, *, now: float = NOW, rules: tuple[PackRule, ...] = (PROFILES,), flush: bool = True
    ) -> list[tuple[Job, ...]]:
        return await schedule.lease(Platform.YOUTUBE, rules, now, packs=10, flush=flush)

    async def test_due_jobs_come_by_priority_then_time(self, schedule: Schedule) -> None:
        await schedule.put(
            [
                job("late", due_at=NOW - 1),
                job("early", due_at=NOW - 9),
                job("asked", priority=Priority.ON_DEMAND),
                job("future", due_at=NOW + 1),
            ]
        )
        (pack,) = await self._lease(schedule)
        assert [one.entity for one in pack] == ["asked", "early", "late"]

    async def test_a_leased_job_is_out_of_reach_until_its_lease_ends(self, schedule: Schedule) -> None:
        await schedule.put([job("a")])
        assert len(await self._lease(schedule)) == 1
        assert await self._lease(schedule) == []
        assert await self._lease(schedule, now=NOW + 599) == []
        ((again,),) = await self._lease(schedule, now=NOW + 601)
        assert again.entity == "a"

    async def test_packs_are_full_unless_flushed(self, schedule: Schedule) -> None:
        await schedule.put([job(f"c{number:03}") for number in range(120)])
        assert [len(pack) for pack in await self._lease(schedule, flush=False)] == [50, 50]
        assert [len(pack) for pack in await self._lease(schedule, flush=True)] == [20]

    async def test_a_part_filled_pack_of_routine_visits_waits_for_company(self, schedule: Schedule) -> None:
        await schedule.put([job("visit", first=False), job("news", priority=Priority.ACTIVE)])
        assert await self._lease(schedule, now=NOW + 299) == []
        (pack,) = await self._lease(schedule, now=NOW + 300)
        assert [one.entity for one in pack] == ["news", "visit"]

    async def test_of_what_goes_alone_the_next_waits_for_the_answer(self, schedule: Schedule) -> None:
        lonely = PackRule(kind=JobKind.SEARCH, size=1, alone=True)
        await schedule.put([job(name, kind=JobKind.SEARCH) for name in ("a", "b")])
        ((first,),) = await self._lease(schedule, rules=(lonely,))
        assert await self._lease(schedule, rules=(lonely,)) == []
        await schedule.settle(first, None)
        ((second,),) = await self._lease(schedule, rules=(lonely,))
        assert (first.entity, second.entity) == ("a", "b")
        ((again,),) = await self._lease(schedule, now=NOW + 601, rules=(lonely,))  # its lease has ended
        assert again.entity == "b"

    async def test_settling_without_a_successor_removes_the_job(self, schedule: Schedule) -> None:
        await schedule.put([job("a", kind=JobKind.UPLOADS)])
        assert await schedule.pending() == 1
        ((leased,),) = await self._lease(schedule, rules=(UPLOADS,))
        await schedule.settle(leased, None)
        assert await schedule.pending() == 0
        assert await schedule.get(Platform.YOUTUBE, JobKind.UPLOADS, "a") is None
        assert await self._lease(schedule, now=NOW + 10_000, rules=(UPLOADS,)) == []

    async def test_settling_with_a_successor_moves_it(self, schedule: Schedule) -> None:
        await schedule.put([job("a")])
        ((leased,),) = await self._lease(schedule)
        await schedule.settle(leased, job("a", due_at=NOW + 50, first=False))
        assert await schedule.pending() == 0
        assert await schedule.next_due_at(Platform.YOUTUBE) == NOW + 50
        assert await self._lease(schedule, now=NOW + 49) == []
        assert len(await self._lease(schedule, now=NOW + 400)) == 1

    async def test_putting_again_brings_forward_and_never_back(self, schedule: Schedule) -> None:
        await schedule.put([job("a", due_at=NOW + 100)])
        await schedule.put([job("a", due_at=NOW + 500)])
        assert await schedule.next_due_at(Platform.YOUTUBE) == NOW + 100
        await schedule.put([job("a", due_at=NOW, priority=Priority.ON_DEMAND)])
        ((leased,),) = await self._lease(schedule)
        assert leased.priority is Priority.ON_DEMAND
        assert await schedule.pending() == 1

    async def test_released_jobs_are_due_again(self, schedule: Schedule) -> None:
        await schedule.put([job("a"), job("b")])
        (pack,) = await self._lease(schedule)
        await schedule.release(pack, NOW + 7)
        assert await self._lease(schedule, now=NOW + 6) == []
        (again,) = await self._lease(schedule, now=NOW + 7)
        assert {one.entity for one in again} == {"a", "b"}
        assert await schedule.pending() == 2

    async def test_bulk_that_has_to_wait_still_fills_packs_that_go_anyway(self, schedule: Schedule) -> None:
        small = PackRule(kind=JobKind.PROFILE, size=3)
        bulk = [job(f"new{number}", priority=Priority.BACKFILL) for number in range(4)]
        await schedule.put(bulk)
        assert (
            await schedule.lease(Platform.YOUTUBE, [small], NOW, packs=9, flush=True, no_bulk_of=[JobKind.PROFILE])
            == []
        )
        await schedule.put([job("known", priority=Priority.ACTIVE, first=False)])
        (pack,) = await schedule.lease(
            Platform.YOUTUBE, [small], NOW, packs=9, flush=True, no_bulk_of=[JobKind.PROFILE]
        )
        assert [one.entity for one in pack] == ["known", "new0", "new1"]
        assert len(await schedule.lease(Platform.YOUTUBE, [small], NOW, packs=9, flush=True)) == 1

    async def test_bulk_may_be_taken_by_itself(self, schedule: Schedule) -> None:
        pair = PackRule(kind=JobKind.PROFILE, size=2)
        await schedule.put([job(name, priority=Priority.ACTIVE) for name in "abc"] + [job("new")])
        (pack,) = await schedule.lease(
            Platform.YOUTUBE, [pair], NOW, packs=9, flush=True, priorities=[Priority.BACKFILL, Priority.DISCOVERY]
        )
        assert [one.entity for one in pack] == ["new"]

    async def test_late_is_what_was_due_before_the_time_of_its_priority(self, schedule: Schedule) -> None:
        async def late(**before: float) -> bool:
            return await schedule.late(
                Platform.YOUTUBE, VISITS, {Priority[name]: moment for name, moment in before.items()}
            )

        await schedule.put(
            [
                job("new", priority=Priority.DISCOVERY),
                job("order", priority=Priority.ON_DEMAND),
                job("listing", kind=JobKind.UPLOADS, priority=Priority.ACTIVE),
            ]
        )
        assert not await late(ACTIVE=NOW + 1, LONG_TAIL=NOW + 1)
        await schedule.put([job("known", priority=Priority.LONG_TAIL, first=False)])
        assert not await late(ACTIVE=NOW + 1, LONG_TAIL=NOW)
        assert await late(ACTIVE=NOW, LONG_TAIL=NOW + 1)
        assert not await schedule.late(Platform.INSTAGRAM, VISITS, {Priority.LONG_TAIL: NOW + 1})
