from __future__ import annotations

from functools import partial

import msgspec
import pytest

from daemon.importance import set_importance
from daemon.visiting import schedule_of
from proto.errors import Malformed
from proto.ids import CreatorId, Platform, account_key
from proto.records import CreatorAccount, Job, JobKind, Priority
from stores.catalog import get_account, put_account
from stores.env import Environment, Txn
from stores.erasure import Limits, erase_expired
from stores.schedule import find_job
from tests.founding import found_creator

NOW = 1_790_000_000
IDS = [f"UC{number:021}A" for number in range(5)]
ANNA = account_key(Platform.YOUTUBE, IDS[0])


def account(user_id: str, **fields: object) -> CreatorAccount:
    known: dict[str, object] = {"platform": Platform.YOUTUBE, "platform_user_id": user_id, "fetched_at": NOW}
    return CreatorAccount(**(known | fields))  # type: ignore[arg-type]


@pytest.fixture
async def anna(env: Environment) -> CreatorId:
    """Five accounts are known; the first of them has a creator."""

    def change(txn: Txn) -> CreatorId:
        for user_id in IDS:
            put_account(txn, account(user_id))
        return found_creator(txn, account(IDS[0]), NOW).creator_id

    return await env.write(change)


async def shown(env: Environment, creator_id: CreatorId) -> tuple[float, str]:
    """Importance and its source, as the API says."""
    found = await env.read(lambda txn: schedule_of(txn, creator_id, adapters={}, policies={}, now=NOW))
    assert found is not None
    (one,) = found.accounts
    return one.importance, one.importance_source


async def test_what_the_operator_stated_is_said_to_be_his_whatever_it_is(env: Environment, anna: CreatorId) -> None:
    assert await shown(env, anna) == (1.0, "derived")
    await set_importance(env, [ANNA], 1.0, NOW)
    assert await shown(env, anna) == (1.0, "operator")
    await env.write(lambda txn: put_account(txn, account(IDS[0], fetched_at=NOW + 5, bio="new")))
    assert await shown(env, anna) == (1.0, "operator")
    limits = Limits(fields_before=NOW + 9, refresh_before=0, statistics_before=0, derives=True, asked_by_handle=False)
    assert (await env.write(partial(erase_expired, key=ANNA, limits=limits, now=NOW + 9))).fields
    assert await shown(env, anna) == (1.0, "operator")


async def test_many_accounts_are_weighed_some_at_a_time_and_told_in_order(
    env: Environment, anna: CreatorId, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anna
    monkeypatch.setattr("daemon.importance.FOLDED", 2)
    before = env.changes
    weighed = await set_importance(env, [*IDS, "@nobody", "two words"], 3.0, NOW)
    assert env.changes - before == 4
    assert [one.account.removeprefix("youtube:") for one in weighed] == [*IDS, "@nobody", "two words"]
    assert [one.importance for one in weighed] == [3.0] * 5 + [None] * 2
    assert weighed[5].detail == "not known: import it first"
    assert "neither an id, a URL nor a handle" in weighed[6].detail
    for user_id in IDS:
        stored = await env.read(partial(get_account, key=account_key(Platform.YOUTUBE, user_id)))
        job: Job | None = await env.read(
            partial(find_job, platform=Platform.YOUTUBE, kind=JobKind.PROFILE, entity=user_id)
        )
        assert stored is not None and stored.importance == 3.0
        assert job is not None and job.priority is Priority.ON_DEMAND


@pytest.mark.parametrize("importance", [0.0, -1.0, 101.0, float("nan"), float("inf")])
async def test_an_absurd_importance_is_refused(env: Environment, importance: float) -> None:
    with pytest.raises(Malformed, match=r"expected 0.01 to 100"):
        await set_importance(env, [ANNA], importance, NOW)


def test_an_account_stored_before_is_of_nobodys_importance() -> None:
    """The field was appended."""
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(msgspec.msgpack.encode(account(IDS[0])))[:-1])
    assert msgspec.msgpack.decode(older, type=CreatorAccount) == account(IDS[0])
