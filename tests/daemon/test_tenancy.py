from __future__ import annotations

import pytest
import trio

from daemon.access import Access
from daemon.config import even_weights
from daemon.tenancy import LOOK_SECONDS, Tenancy
from proto.errors import Conflict, Malformed, NotFound
from proto.ids import CreatorId, Platform
from proto.records import DEFAULT_TENANT, CreatorAccount, Event, LoggedQuery
from stores.catalog import put_account
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.ports import Weights
from stores.query_log import append_queries
from stores.tenants import OWNED, stored_weights
from tests.founding import found_creator
from tests.stores.test_lists import merge

NOW = 1_790_000_000
ME = DEFAULT_TENANT
SETTINGS = Weights(keyword=0.6, vector=0.35, quality=0.05, fields=even_weights())


def silent(event: Event) -> None:
    del event


class Story:
    """A store with three creators."""

    def __init__(self, env: Environment) -> None:
        self.env, self.journal = env, Journal(env, silent)
        self.journal.ensure_default_tenant(NOW)
        self.tenancy = Tenancy(env, settings=lambda: SETTINGS, now=lambda: NOW, clock=trio.current_time)
        self.ana, self.ben, self.eve = env.write_now(lambda txn: [_found(txn, name) for name in ("ana", "ben", "eve")])


def _found(txn: Txn, name: str) -> CreatorId:
    stored = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=f"UC{name}", handle=name, fetched_at=NOW)
    put_account(txn, stored)
    return found_creator(txn, stored, NOW).creator_id


async def test_what_a_tenant_does_never_waits_for_room(env: Environment) -> None:
    story = Story(env)
    access = Access(env, now=lambda: NOW, clock=lambda: 0.0)
    await access.load()
    await access.create_tenant("shop", "Shop", "me")
    await story.tenancy.create_list(ME, "a1", "Spring", [story.ana], "me")
    await story.tenancy.create_list("shop", "a1", "Spring", [story.ana], "me")
    env.waits_for_room = True
    env.hold("the disk is full")
    with trio.fail_after(10):
        assert (await story.tenancy.visit_list(ME, "a1", None, "me")).version == 1
        await access.remove_tenant("shop", "me")


async def test_what_a_tenant_changes_is_seen_at_once(env: Environment) -> None:
    story = Story(env)
    tenancy = story.tenancy
    assert (await tenancy.rows(ME)).hidden.tolist() == []
    await tenancy.hide(ME, story.ben, "me")
    await tenancy.create_list(ME, "a1", "Spring", [story.ana], "me")
    rows = await tenancy.rows(ME, ["Spring", "a1", "nothing"])
    assert rows.hidden.tolist() == [1]
    assert {name: one.tolist() for name, one in rows.lists.items()} == {"Spring": [0], "a1": [0], "nothing": []}
    await tenancy.change_list(ME, "a1", add=[story.eve], actor="me")
    assert (await tenancy.rows(ME, ["a1"])).lists["a1"].tolist() == [0, 2]
    assert (await tenancy.rows("other", ["a1"])).lists["a1"].tolist() == []
    assert await tenancy.unhide(ME, story.ben, "me")
    assert (await tenancy.rows(ME)).hidden.tolist() == []


async def test_a_merge_is_followed_within_a_second(env: Environment, autojump_clock: object) -> None:
    story = Story(env)
    await story.tenancy.hide(ME, story.ben, "me")
    assert (await story.tenancy.rows(ME)).hidden.tolist() == [1]
    await env.write(lambda txn: merge(txn, "ana", "ben"))
    await trio.sleep(LOOK_SECONDS)
    assert (await story.tenancy.rows(ME)).hidden.tolist() == [0]


async def test_rows_that_hold_are_not_read_again(env: Environment, autojump_clock: object) -> None:
    story = Story(env)
    await story.tenancy.hide(ME, story.ben, "me")
    first = await story.tenancy.rows(ME)
    assert await story.tenancy.rows(ME) is first
    await trio.sleep(LOOK_SECONDS)
    assert (await story.tenancy.rows(ME)).hidden is first.hidden


async def test_every_change_is_audited_and_a_refused_one_is_not(env: Environment) -> None:
    story = Story(env)
    tenancy = story.tenancy
    await tenancy.create_list(ME, "a1", "Spring", [], "me")
    await tenancy.delete_list(ME, "a1", None, "me")
    with pytest.raises(NotFound):
        await tenancy.delete_list(ME, "a1", None, "me")
    with pytest.raises(NotFound):
        await tenancy.hide(ME, CreatorId(5), "me")
    with pytest.raises(Conflict):
        await tenancy.create_list(ME, "b1", "x", [], "me")
        await tenancy.create_list(ME, "b2", "X", [], "me")
    told = [entry.detail for entry in await story.journal.recent_audit()]
    assert told == ["created 'x' (b1)", "deleted 'Spring' (a1)", "created 'Spring' (a1)"]


async def test_weights_are_in_force_at_once_and_outlive_a_restart(env: Environment) -> None:
    story = Story(env)
    tenancy = story.tenancy
    assert (tenancy.weights(ME), tenancy.weights_shown(ME).source) == (SETTINGS, "settings")
    shown = await tenancy.set_weights(ME, {"keyword": 0.5, "yt_bio": 2.0}, "operator")
    assert (shown.keyword, shown.vector, shown.fields["yt_bio"], shown.source) == (0.5, 0.35, 2.0, "tenant")
    assert tenancy.weights("other") == SETTINGS
    again = Tenancy(env, settings=lambda: SETTINGS, now=lambda: NOW, clock=trio.current_time)
    await again.load()
    assert again.weights(ME) == tenancy.weights(ME)
    (entry,) = await story.journal.recent_audit()
    assert (entry.action, entry.actor) == ("config", "operator")
    assert "keyword=0.5" in entry.detail
    await tenancy.set_weights(ME, None, "operator")
    assert tenancy.weights(ME) == SETTINGS
    with pytest.raises(Malformed, match="did you mean 'keyword'"):
        await tenancy.set_weights(ME, {"keywrd": 0.5}, "operator")
    with pytest.raises(NotFound):
        await tenancy.set_weights("nobody", {"keyword": 0.5}, "operator")
    assert tenancy.weights("nobody") == SETTINGS


async def test_what_is_under_way_while_a_tenant_goes_leaves_nothing_behind(env: Environment) -> None:
    """A request that was let in before comes to its write when the tenant is gone and all of it was dropped."""
    story = Story(env)
    tenancy, gone = story.tenancy, "acme"
    access = Access(env, now=lambda: NOW, clock=trio.current_time)
    await access.load()
    await access.create_tenant(gone, "", "test")
    key, _ = await access.create_key(gone, actor="test")
    known = await access.identify(key)
    await tenancy.create_list(gone, "a1", "Spring", [story.ana], "me")
    assert await access.remove_tenant(gone, "test") > 0
    audited = env.write_now(lambda txn: txn.entries("audit"))
    for late in (
        lambda: tenancy.create_list(gone, "b2", "Autumn", [story.ana], "me"),
        lambda: tenancy.change_list(gone, "a1", add=[story.ben], actor="me"),
        lambda: tenancy.visit_list(gone, "a1", None, "me"),
        lambda: tenancy.hide(gone, story.ben, "me"),
        lambda: tenancy.write_note(gone, story.ben, text="x", actor="me"),
        lambda: tenancy.create_search(gone, "5", "x", "{}", "me"),
        lambda: tenancy.set_weights(gone, {"keyword": 0.5}, "me"),
        lambda: access.create_key(gone, actor="me"),
        lambda: access.log_in(known),
    ):
        with pytest.raises(NotFound, match="no tenant 'acme'"):
            await late()
    searched = LoggedQuery(
        number=0, at=NOW, tenant_id=gone, request_id="", text="x", rest="x", filter="", niches=[], sort="relevance",
        ascending=False, fusion="weighted", diversity=0.0, weights=stored_weights(SETTINGS), total=0, took_ms=1.0,
    )  # fmt: skip
    await env.write(lambda txn: append_queries(txn, [searched]))
    with env.snapshot() as txn:
        left = [name for name in (*OWNED, "sessions") for _ in txn.scan(name)]
        assert left == []
        assert txn.entries("audit") == audited
