from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest
import trio
import trio.testing

from actors.identity_clusters import Thresholds
from actors.peers import Peers
from actors.vital_signs import vital_signs
from daemon.config import Config, InstagramToken
from daemon.housekeeping import (
    DAY_SECONDS,
    RENEW_SECONDS,
    RENEW_WHILE_PENDING,
    SURVEY_PAGE,
    expiry_words,
    reweigh_all,
    survey,
    survey_creators,
    warn_of_expiry,
)
from daemon.pipeline import identity_rules
from proto.ids import CreatorId, Platform, Row
from proto.messages import AccountEmbedded, AnyWork, CreatorResolved
from proto.records import ContentItem, Creator, CreatorAccount, Event
from stores.catalog import AccountBundle, Catalog, put_account, put_creator, vital_signs_of
from stores.codec import encode
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.work import Work, complete, enqueue

NOW = 1_790_000_000


def token(days_left: float | None, name: str = "a") -> InstagramToken:
    ends = "" if days_left is None else datetime.fromtimestamp(NOW + days_left * DAY_SECONDS, UTC).isoformat()
    return InstagramToken(name=name, access_token="secret", ig_user_id="1", expires_at=ends)


@pytest.mark.parametrize(
    ("days_left", "words"),
    [(None, ""), (11, ""), (9.5, "ends in 9.5 days"), (0.5, "ends in 0.5 days"), (-2, "ended 2.0 days ago")],
)
def test_a_token_that_ends_soon_is_told_of(days_left: float | None, words: str) -> None:
    found = expiry_words(token(days_left), 10, NOW)
    assert words in found
    assert bool(found) == bool(words)
    assert "secret" not in found


async def test_it_is_told_once_a_day_until_the_stop(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    told: list[Event] = []
    stop, began = trio.Event(), trio.current_time()
    tokens = [token(12, "a"), token(None, "b")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            warn_of_expiry, tokens, 10, Journal(env, told.append), lambda: NOW + trio.current_time() - began, stop
        )
        await trio.sleep(5.5 * DAY_SECONDS)
        stop.set()
    assert [event.subject for event in told] == ["instagram/a"] * 4
    assert autojump_clock.current_time() - began < 6 * DAY_SECONDS


def known(number: int, computed_at: int | None, name: str = "Ana") -> Creator:
    """With an engagement of 5 %, computed at an instant."""
    account = CreatorAccount(platform=Platform.INSTAGRAM, platform_user_id="1", followers=20_000, fetched_at=NOW)
    posts = [ContentItem(content_id=str(n), account_key=account.key, likes=1_000, detailed=True) for n in range(3)]
    parts = [AccountBundle(account=account, items=posts, vectors={})]
    return Creator(
        creator_id=CreatorId(number),
        row=Row(number),
        name=name,
        primary_niche="food",
        followers_by_platform={"instagram": 20_000},
        vital_signs=b"" if computed_at is None else encode(vital_signs(parts, parts, computed_at)),
        oldest_fetched_at=computed_at,
    )


async def test_a_survey_meets_everybody_once_and_has_old_signs_computed_anew(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    old, lacking, blank, earlier = 7, SURVEY_PAGE, SURVEY_PAGE + 3, 9
    creators = [known(number, NOW) for number in range(SURVEY_PAGE + 40)]
    creators[old] = known(old, NOW - int(RENEW_SECONDS) - 1)
    creators[lacking], creators[blank] = known(lacking, None), known(blank, None, name="")
    creators[earlier].oldest_fetched_at = None  # as an earlier version left it

    def fill(txn: Txn) -> None:
        for creator in creators:
            put_creator(txn, creator)

    await env.write(fill)
    peers = await survey(env, Work(env), lambda: NOW, trio.Event())
    assert peers is not None
    signs = vital_signs_of(creators[0])
    assert signs is not None
    rank = peers.rank(creators[0], signs, "instagram")
    assert (rank.percentile.n, rank.percentile.value) == (len(creators) - 2, 50.0)
    work = [msgspec.msgpack.decode(one.message, type=AnyWork) for _, one in await Work(env).after(b"", 10)]
    assert sorted(one.entity for one in work) == sorted([str(old), str(lacking), str(earlier)])
    assert {type(one) for one in work} == {CreatorResolved}


async def test_while_much_work_waits_nothing_is_added_to_it(env: Environment) -> None:
    def fill(txn: Txn) -> None:
        for number in range(RENEW_WHILE_PENDING):
            enqueue(txn, CreatorResolved(creator_id=CreatorId(number)), NOW)
        put_creator(txn, known(RENEW_WHILE_PENDING + 1, None))

    await env.write(fill)
    assert await survey(env, Work(env), lambda: NOW, trio.Event()) is not None
    assert await Work(env).pending() == RENEW_WHILE_PENDING


async def test_a_survey_that_is_stopped_is_not_published(
    env: Environment, autojump_clock: trio.testing.MockClock
) -> None:
    stop, published = trio.Event(), list[Peers]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(survey_creators, env, Work(env), published.append, lambda: NOW, stop)
        await trio.sleep(100)
        count = len(published)
        stop.set()
    assert count == len(published) == 4
    assert await survey(env, Work(env), lambda: NOW, stop) is None


async def test_other_rules_of_identity_weigh_everybody_anew_once(env: Environment) -> None:
    accounts = [CreatorAccount(platform=Platform.INSTAGRAM, platform_user_id=str(number)) for number in range(3)]
    for account in accounts:
        await env.write(partial(put_account, account=account))
    catalog, work = Catalog(env), Work(env)
    rules = identity_rules(Config())
    await reweigh_all(env, catalog, rules, lambda: NOW)
    assert await work.pending() == 3
    for account in accounts:
        again = await env.write(partial(enqueue, message=AccountEmbedded(account_key=account.key), now=NOW))
        await env.write(partial(complete, message=again))
    await reweigh_all(env, catalog, rules, lambda: NOW)
    assert await work.pending() == 0
    stricter = msgspec.structs.replace(rules, thresholds=Thresholds(merge=0.99, review=0.5))
    await reweigh_all(env, catalog, stricter, lambda: NOW)
    assert await work.pending() == 3
