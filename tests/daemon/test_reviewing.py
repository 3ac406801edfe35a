"""A person's word on two accounts; what the identity stage makes of it is in tests/actors and tests/flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.reviewing import Reviewing
from proto.identity import IdentityPair, Standing
from proto.ids import AccountKey, Platform
from proto.messages import AnyWork
from proto.records import CreatorAccount
from stores.audit import Actor
from stores.catalog import put_account
from stores.env import Environment, Txn
from stores.identity import get_pair, put_pair
from stores.journal import Journal
from tests.founding import found_creator

NOW = 1_700_000_000
FIRST, SECOND = AccountKey("instagram:1"), AccountKey("youtube:UC1")


def plant(txn: Txn) -> None:
    for platform, number in ((Platform.INSTAGRAM, "1"), (Platform.YOUTUBE, "UC1")):
        account = account_of(platform, number)
        put_account(txn, account)
        found_creator(txn, account, NOW)
    put_pair(txn, IdentityPair(first=FIRST, second=SECOND, score=1.0, why="too little"))


def account_of(platform: Platform, number: str) -> CreatorAccount:
    return CreatorAccount(platform=platform, platform_user_id=number, handle=number, display_name="x", fetched_at=NOW)


@pytest.mark.parametrize(("same", "standing"), [(True, Standing.MERGED), (False, Standing.REJECTED)])
async def test_a_pair_waits_no_more_once_somebody_has_said_a_word(
    tmp_path: Path, same: bool, standing: Standing
) -> None:
    env = Environment(tmp_path / "data")
    env.write_now(plant)
    work: list[AnyWork] = []
    reviewing = Reviewing(env, now=lambda: NOW, hand_on=work.extend)
    assert [one.why for one in (await reviewing.page()).pairs] == ["too little"]
    await reviewing.decide(str(SECOND), str(FIRST), same=same)
    page = await reviewing.page()
    assert (page.pairs, page.total, await reviewing.count()) == ([], 0, 0)
    with env.snapshot() as txn:
        pair = get_pair(txn, FIRST, SECOND)
    assert pair is not None
    assert (pair.standing, pair.why) == (standing, "")
    assert len(work) == 2, "both accounts are rearranged"
    env.close()


async def test_a_word_is_noted_under_the_name_of_who_said_it(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data")
    env.write_now(plant)
    reviewing = Reviewing(env, now=lambda: NOW, hand_on=lambda _: None)
    (said,) = await reviewing.decide(str(FIRST), str(SECOND), same=True, by=Actor(tenant_id="acme", actor="key:1"))
    (entry,) = await Journal(env, lambda _: None).recent_audit()
    assert (said.actor, entry.tenant_id, entry.actor) == ("key:1", "acme", "key:1")
    env.close()
