"""The audit trail is a chain: nothing of it is changed, taken out or put in unnoticed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.auditing import DAY_SECONDS, drop_audit_now_and_then
from proto.ids import Platform
from proto.records import DEFAULT_TENANT, AuditEvent
from stores import audit
from stores.audit import AUDIT_NUMBER, Verified, append_audit, audit_after, drop_old_audit, latest_audit, verify_audit
from stores.checking import find_faults
from stores.codec import decode, encode, pack_id
from stores.env import Environment, Txn
from stores.erasure import Subject, mentions, scrub

NOW = 1_790_000_000
ANNA = Subject(platform=Platform.YOUTUBE, user_id="UCanna", handle="anna", alias="00ff", creator_ids=())


def event(number: int, detail: str = "", tenant_id: str = DEFAULT_TENANT) -> AuditEvent:
    return AuditEvent(
        at=NOW + number, tenant_id=tenant_id, actor="key:1", action="search", detail=detail or f"yoga {number}"
    )


def fill(txn: Txn, count: int = 6) -> None:
    for number in range(count):
        append_audit(txn, event(number))


def changed(txn: Txn, number: int, **fields: object) -> None:
    stored = txn.get("audit", pack_id(number))
    assert stored is not None
    txn.put("audit", pack_id(number), encode(msgspec.structs.replace(decode(AuditEvent, stored), **fields)))


def take_out(txn: Txn, number: int) -> None:
    txn.delete("audit", pack_id(number))


def swap(txn: Txn, first: int, second: int) -> None:
    one, other = txn.get("audit", pack_id(first)), txn.get("audit", pack_id(second))
    assert one
    assert other
    txn.put("audit", pack_id(first), other)
    txn.put("audit", pack_id(second), one)


def put_in(txn: Txn, number: int) -> None:
    txn.put("audit", pack_id(number), encode(event(number)))


async def verified(env: Environment, story: Callable[[Txn], None]) -> Verified:
    def whole(txn: Txn) -> Verified:
        fill(txn)
        story(txn)
        return verify_audit(txn)

    return await env.write(whole)


async def test_a_sound_trail_holds(env: Environment) -> None:
    found = await verified(env, lambda _: None)
    assert found == Verified(records=6, first=1, last=6, unchained=0, erased=0)


@pytest.mark.parametrize(
    ("harm", "broken", "problem"),
    [
        (lambda txn: changed(txn, 3, detail="cooking"), 3, "its detail was changed"),
        (lambda txn: changed(txn, 3, detail="cooking", salt=""), 3, "its detail was changed"),
        (lambda txn: changed(txn, 3, actor="somebody"), 4, "does not hold the hash"),
        (lambda txn: changed(txn, 6, tenant_id="other"), 7, "record 6 was the last"),
        (lambda txn: changed(txn, 3, at=NOW), 4, "does not hold the hash"),
        (lambda txn: changed(txn, 1, request_id="x"), 2, "does not hold the hash"),
        (lambda txn: changed(txn, 3, previous=""), 3, "does not hold the hash"),
        (lambda txn: changed(txn, 3, detail_hash="00"), 3, "its detail was changed"),
        (lambda txn: take_out(txn, 3), 4, "record 3 is gone"),
        (lambda txn: take_out(txn, 1), 2, "record 1 is gone"),
        (lambda txn: take_out(txn, 6), 6, "record 6 was the last"),
        (lambda txn: swap(txn, 2, 3), 2, "does not hold the hash"),
        (lambda txn: put_in(txn, 7), 7, "does not hold the hash"),
        (lambda txn: txn.put("audit", pack_id(3), b"\x01nonsense"), 3, "cannot be read"),
    ],
)
async def test_the_first_record_that_does_not_hold_is_named(
    env: Environment, harm: Callable[[Txn], None], broken: int, problem: str
) -> None:
    found = await verified(env, harm)
    assert (found.broken, problem in found.problem) == (broken, True), found
    with env.snapshot() as txn:
        assert any(one.database == "audit" for one in find_faults(txn, {}, lambda *_: None))


async def test_who_is_forgotten_leaves_a_trail_that_holds(env: Environment) -> None:
    def story(txn: Txn) -> Verified:
        append_audit(txn, event(1, "like @anna in Rio"))
        fill(txn)
        keys, _ = mentions(txn, "audit", ANNA, b"", 100)
        assert scrub(txn, "audit", ANNA, keys) == 1
        append_audit(txn, event(9))
        return verify_audit(txn)

    assert await env.write(story) == Verified(records=8, first=1, last=8, unchained=0, erased=1)
    with env.snapshot() as txn:
        (_, first), *_ = audit_after(txn, 0, 1)
        assert (first.detail, first.salt) == ("like erased-00ff in Rio", "")
        assert b"anna" not in b"".join(value for _, value in txn.scan("audit"))


async def test_records_of_a_version_without_a_chain_are_counted(env: Environment) -> None:
    def story(txn: Txn) -> Verified:
        for number in (1, 2):
            txn.put("audit", pack_id(txn.add(AUDIT_NUMBER)), encode(event(number)))
        fill(txn, 3)
        return verify_audit(txn)

    assert await env.write(story) == Verified(records=5, first=1, last=5, unchained=2, erased=0)


async def test_what_is_too_old_leaves_an_anchor(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "DROPPED_AT_ONCE", 2)

    def story(txn: Txn) -> None:
        fill(txn)
        assert drop_old_audit(txn, NOW, NOW + 10) == 0
        assert drop_old_audit(txn, NOW + 3, NOW + 10) == 2
        assert verify_audit(txn).broken is None
        assert drop_old_audit(txn, NOW + 3, NOW + 11) == 1
        assert verify_audit(txn).broken is None
        numbers = [number for number, _ in audit_after(txn, 0, 100)]
        assert numbers == [4, 5, 6, 7, 8]
        take_out(txn, 4)
        assert verify_audit(txn).broken == 5

    await env.write(story)


async def test_a_cut_that_no_record_tells_of_is_found(env: Environment) -> None:
    def story(txn: Txn) -> None:
        fill(txn)
        _, third = audit_after(txn, 2, 1)[0]
        for number in (1, 2, 3):
            take_out(txn, number)
        audit._put_link(txn, audit.ANCHOR, audit.Link(3, audit.hash_of(3, third)))
        assert (verify_audit(txn).broken, "no record says so" in verify_audit(txn).problem) == (4, True)

    await env.write(story)


async def test_the_daemon_drops_by_the_hour(env: Environment, autojump_clock: object) -> None:
    await env.write(fill)
    stop = trio.Event()
    days = {"kept": 0}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            drop_audit_now_and_then,
            env,
            lambda: days["kept"],
            lambda: NOW + 3 + DAY_SECONDS + trio.current_time(),
            stop,
        )
        await trio.sleep(10)
        assert len(await env.read(lambda txn: audit_after(txn, 0, 99))) == 6
        days["kept"] = 1
        await trio.sleep(3_700)
        stop.set()
    left = await env.read(lambda txn: audit_after(txn, 0, 99))
    assert [(number, entry.action) for number, entry in left] == [(6, "search"), (7, "anchor")]
    assert (await env.read(verify_audit)).broken is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text(max_size=20)), max_size=12), st.integers(0, 12))
async def test_whatever_is_noted_holds_and_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, str]], limit: int
) -> None:
    env = Environment(tmp_path_factory.mktemp("store"), map_size_bytes=1 << 26)
    try:

        def story(txn: Txn) -> None:
            for number, (tenant, detail) in enumerate(told):
                append_audit(txn, event(number, detail + "x", tenant))
            assert verify_audit(txn).records == len(told)
            mine = [detail + "x" for tenant, detail in told if tenant == "a"]
            assert [entry.detail for _, entry in latest_audit(txn, limit, "a")] == mine[
                len(mine) - min(limit, len(mine)) :
            ]
            assert [entry.detail for _, entry in audit_after(txn, 0, limit, "a")] == mine[:limit]
            newest = [detail + "x" for tenant, detail in told[max(0, len(told) - limit) :] if tenant == "a"]
            assert [entry.detail for _, entry in latest_audit(txn, 99, "a", among=limit)] == newest

        env.write_now(story)
    finally:
        env.close()
