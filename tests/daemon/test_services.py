"""What goes on beside the flow: it fails, is told of and is started again; what ends it goes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import lmdb
import pytest
import trio
import trio.testing

from daemon.access import Access
from daemon.damage import NAMED, DamageTeller
from daemon.housekeeping import survey_creators, write_audit
from daemon.noting import TRIES
from daemon.supervisor import LONGEST_PAUSE_SECONDS, TOLD_AGAIN_SECONDS, Services
from proto.errors import DiskFull, Unreadable
from proto.ids import CreatorId, Row
from proto.records import DEFAULT_TENANT, AuditEvent, Creator, Event
from stores.audit import audit_after
from stores.catalog import put_creator
from stores.codec import pack_id
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.work import Work

NOW = 1_790_000_000


class Told:
    """Services over a store, the events that they told, and one service that fails as it is said to."""

    def __init__(self, env: Environment) -> None:
        self.events: list[Event] = []
        self.journal = Journal(env, self.events.append)
        self.services = Services(self.journal, lambda: NOW)
        self.starts: list[float] = []
        self.began = trio.current_time()

    def failing(self, *errors: BaseException | None, lives: float = 0.0) -> Callable[[], Awaitable[None]]:
        """Each start fails with the next of these, after so many seconds; with None, or behind the last, it returns."""
        left = list(errors)

        async def service() -> None:
            self.starts.append(trio.current_time() - self.began)
            await trio.sleep(lives)
            if left and (error := left.pop(0)) is not None:
                raise error

        return service


async def test_a_service_that_fails_is_told_of_once_and_started_again_after_growing_pauses(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told = Told(env)
    same = [ValueError("odd") for _ in range(4)]
    await told.services.keep_going("survey", told.failing(*same, KeyError("other")))
    assert told.starts == [0, 1, 3, 7, 15, 31]
    assert [(one.kind, one.severity, one.subject) for one in told.events] == [("service_failed", "error", "survey")] * 2
    first, second = (one.detail for one in told.events)
    assert "ValueError: odd" in first
    assert "KeyError: 'other'" in second
    assert [one.subject for one in await told.journal.recent_events()] == ["survey"] * 2
    assert told.services.failing == {}


async def test_it_is_seen_to_fail_until_it_runs_again(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    told = Told(env)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.services.keep_going, "stock", told.failing(OSError(5, "input/output error")))
        await trio.sleep(0.5)
        assert "input/output error" in told.services.failing["stock"]
        await trio.sleep(1)
        assert told.services.failing == {}


async def test_one_that_lived_for_long_is_started_again_soon_and_who_goes_on_failing_is_told_of_again(
    env: Environment,
    autojump_clock: trio.testing.MockClock,
) -> None:
    told = Told(env)
    lives = LONGEST_PAUSE_SECONDS + 1
    errors = [ValueError("odd") for _ in range(13)]
    await told.services.keep_going("backup", told.failing(*errors, lives=lives))
    assert [round(b - a) for a, b in zip(told.starts, told.starts[1:], strict=False)] == [lives + 1] * 13
    assert len(told.events) == 1 + int(12 * (lives + 1) / TOLD_AGAIN_SECONDS)


async def test_a_pause_has_an_end(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    told = Told(env)
    errors = [ValueError("odd") for _ in range(80)]
    await told.services.keep_going("audit", told.failing(*errors))
    assert told.starts[-1] - told.starts[-2] == LONGEST_PAUSE_SECONDS


async def test_after_the_stop_it_is_started_no_more(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    told, stop = Told(env), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.services.keep_going, "survey", told.failing(*[ValueError("odd")] * 9), stop)
        await trio.sleep(5)
        stop.set()
    assert told.starts == [0, 1, 3]
    await told.services.keep_going("survey", told.failing(*[ValueError("odd")] * 9), stop)
    assert len(told.starts) == 4


async def test_what_ends_the_process_or_the_service_goes_through(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told = Told(env)

    async def fails_when_it_is_ended() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("odd")

    with trio.move_on_after(5) as scope:
        await told.services.keep_going("survey", fails_when_it_is_ended)
    assert scope.cancelled_caught
    for ending in (KeyboardInterrupt(), BaseExceptionGroup("", [SystemExit(3), ExceptionGroup("", [ValueError()])])):
        with pytest.raises(BaseException) as caught:
            await told.services.keep_going("survey", told.failing(ending))
        assert isinstance(caught.value, KeyboardInterrupt) or caught.group_contains(SystemExit)
        assert not isinstance(caught.value, BaseExceptionGroup) or not caught.group_contains(ValueError)
    assert told.events == []


async def test_a_group_is_told_in_the_words_of_what_is_in_it_also_where_its_contexts_go_round(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told = Told(env)
    one, other = ValueError("odd"), OSError("worse")
    one.__context__, other.__context__ = other, one
    group = ExceptionGroup("of a nursery", [one, ExceptionGroup("inner", [other, one])])
    await told.services.keep_going("survey", told.failing(group))
    (event,) = told.events
    assert event.detail.startswith("ValueError: odd; OSError: worse;")


async def test_a_store_that_takes_no_events_does_not_end_it_either(
    env: Environment, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(env)

    def refuse(_: object) -> None:
        raise lmdb.Error("no more")

    monkeypatch.setattr(env, "_run_together", refuse)
    await told.services.keep_going("survey", told.failing(ValueError("odd")))
    assert len(told.starts) == 2
    assert [one.kind for one in told.events] == ["service_failed"]  # the log and the counter have it


async def test_for_want_of_room_it_waits_without_a_word_of_its_own(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told = Told(env)
    await told.services.keep_going("audit", told.failing(DiskFull("no room"), DiskFull("no room")))
    assert (len(told.starts), told.events) == (3, [])


def searched(number: int) -> AuditEvent:
    return AuditEvent(at=NOW, tenant_id=DEFAULT_TENANT, actor="anna", action="search", detail=str(number))


async def audited(env: Environment) -> list[int]:
    return [int(one.detail) for _, one in await env.read(lambda txn: audit_after(txn, 0, 1_000))]


class Refusing(Journal):
    """Whose audit trail fails so many times, and always for entries with this detail."""

    def __init__(self, env: Environment, fails: int, poison: str = "") -> None:
        super().__init__(env, lambda _: None)
        self.fails, self._poison, self.tries = fails, poison, 0

    async def audit(self, entries: Sequence[AuditEvent], *, synced: bool = False) -> None:
        self.tries += 1
        if self.tries <= self.fails or any(one.detail == self._poison for one in entries):
            raise RuntimeError("refused")
        await super().audit(entries, synced=synced)


async def test_searches_that_could_not_be_noted_are_noted_later_each_once(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told, stop, journal = Told(env), trio.Event(), Refusing(env, fails=9)
    send, receive = trio.open_memory_channel[AuditEvent](100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_audit, receive, journal, told.services, stop)
        for number in range(4):
            send.send_nowait(searched(number))
        await trio.sleep(2)
        assert await audited(env) == []
        for number in range(4, 7):
            send.send_nowait(searched(number))
        await trio.sleep(60)
        send.close()
    assert await audited(env) == list(range(7))
    assert [(one.kind, one.subject) for one in told.events] == [("service_failed", "audit")]


async def test_one_that_cannot_be_written_holds_up_no_other_and_is_told_of(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told, stop, journal = Told(env), trio.Event(), Refusing(env, fails=0, poison="1")
    send, receive = trio.open_memory_channel[AuditEvent](100)
    for number in range(4):
        send.send_nowait(searched(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_audit, receive, journal, told.services, stop)
        await trio.sleep(2 ** (TRIES - 1))
        send.send_nowait(searched(4))
        send.close()
    assert await audited(env) == [0, 2, 3, 4]
    assert [one.kind for one in told.events] == ["service_failed", "searches_not_noted"]
    assert "1 searches cannot be noted: RuntimeError: refused" in told.events[1].detail


async def test_the_end_of_the_daemon_does_not_wait_for_a_store_that_fails(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told, stop, journal = Told(env), trio.Event(), Refusing(env, fails=1_000)
    send, receive = trio.open_memory_channel[AuditEvent](2_000)
    for number in range(1_200):
        send.send_nowait(searched(number))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_audit, receive, journal, told.services, stop)
            await trio.sleep(3)
            stop.set()
            send.close()


async def test_what_keys_were_used_for_is_not_lost_by_a_write_that_fails(
    env: Environment, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(env, lambda _: None).ensure_default_tenant(1_000)
    access = Access(env, now=lambda: 5_000.0, clock=lambda: 0.0)
    await access.load()
    key, _ = await access.create_key(DEFAULT_TENANT, actor="anna")
    access.spend(access.by_key(key))

    async def refuse(_: object) -> None:
        raise lmdb.Error("no more")

    with monkeypatch.context() as patched:
        patched.setattr(env, "write", refuse)
        with pytest.raises(lmdb.Error):
            await access.flush()
    await access.flush()
    (stored,) = await access.keys(DEFAULT_TENANT)
    assert stored.last_used_at == 5_000


async def test_damage_is_told_of_once_each_and_of_many_how_many(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    told, stop = Told(env), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(DamageTeller(env, told.journal, lambda: NOW).tell_until, stop)
        for key in ("a", "b", "a"):
            env.note_damage(Unreadable("cut", database="accounts", key=key))
        await trio.sleep(10)
        assert [one.subject for one in told.events] == ["accounts a", "accounts b"]
        assert "restore a backup" in told.events[0].detail
        for number in range(NAMED + 5):
            env.note_damage(Unreadable("cut", database="creators", key=str(number)))
        await trio.sleep(10)
        stop.set()
    assert len(told.events) == NAMED + 1
    assert told.events[-1].detail.startswith("7 more records cannot be read")


async def test_a_record_is_told_of_once_though_the_word_of_the_next_fails(
    env: Environment, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, stop, asked = Told(env), trio.Event(), list[str]()
    noting = Journal.event

    async def failing_once(journal: Journal, event: Event, *, synced: bool = False) -> None:
        asked.append(event.subject)
        if asked == ["accounts a", "accounts b"]:
            raise OSError("the disk")
        await noting(journal, event, synced=synced)

    monkeypatch.setattr(Journal, "event", failing_once)
    for key in ("a", "b"):
        env.note_damage(Unreadable("cut", database="accounts", key=key))
    teller = DamageTeller(env, told.journal, lambda: NOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.services.keep_going, "damage", partial(teller.tell_until, stop), stop)
        await trio.sleep(60)
        stop.set()
    subjects = [one.subject for one in told.events if one.kind == "record_damaged"]
    assert subjects == ["accounts a", "accounts b"]


async def test_a_survey_passes_over_who_cannot_be_read(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    def fill(txn: Txn) -> None:
        for number in range(3):
            put_creator(txn, Creator(creator_id=CreatorId(number), row=Row(number), name="Ana"))
        txn.put("creators", pack_id(1), (txn.get("creators", pack_id(1)) or b"")[:4])

    await env.write(fill)
    stop, published = trio.Event(), list[object]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(survey_creators, env, Work(env), published.append, lambda: NOW, stop))
        await trio.sleep(100)
        stop.set()
    assert len(published) == 4
    assert list(env.damaged) == [("creators", "1")]
    assert {item.message and number for number, (_, item) in enumerate(await Work(env).after(b"", 9))} == {0, 1}
