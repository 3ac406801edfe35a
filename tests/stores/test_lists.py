from __future__ import annotations

import pytest

from proto.errors import Conflict, Malformed, NotFound
from proto.ids import AccountKey, CreatorId, Platform, account_key, creator_id_of
from proto.records import CreatorAccount, IdentityLink
from stores import lists
from stores.belonging import MOVES, Membership, arrange
from stores.catalog import put_account
from stores.env import Environment, Txn
from stores.erasure import erase_account
from tests.founding import found_creator

NOW = 1_790_000_000
ME, OTHER = "default", "other"
UNKNOWN = CreatorId(1)


def account(name: str, platform: Platform = Platform.YOUTUBE) -> AccountKey:
    return account_key(platform, f"UC{name}")


def found(txn: Txn, *names: str) -> list[CreatorId]:
    """Creators of an account each."""
    ids = []
    for name in names:
        stored = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=f"UC{name}", handle=name, fetched_at=NOW)
        put_account(txn, stored)
        ids.append(found_creator(txn, stored, NOW).creator_id)
    return ids


def merge(txn: Txn, *names: str) -> CreatorId:
    """Their accounts are the first one's."""
    owner = creator_id_of(account(names[0]))
    links = tuple(IdentityLink(account_key=account(one), creator_id=owner, confidence=0.9, at=NOW) for one in names)
    arrange(txn, [Membership(creator_id=owner, links=links)], NOW)
    return owner


def part(txn: Txn, *names: str) -> None:
    """Each is a creator of its own again."""
    own = [
        Membership(
            creator_id=creator_id_of(account(one)),
            links=(
                IdentityLink(account_key=account(one), creator_id=creator_id_of(account(one)), confidence=1.0, at=NOW),
            ),
        )
        for one in names
    ]
    arrange(txn, own, NOW)


def members(txn: Txn, list_id: str = "a1") -> list[CreatorId]:
    return lists.present_ids(txn, lists.get_list(txn, ME, list_id).creator_ids)


async def test_a_list_changes_by_versions(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        made = lists.create_list(txn, ME, "a1", "  Spring   campaign ", [ana, ana], NOW)
        assert (made.name, made.creator_ids, made.version) == ("Spring campaign", [ana], 1)
        grown = lists.change_list(txn, ME, "a1", version=1, add=[ben, ana], now=NOW + 5)
        assert (grown.creator_ids, grown.version, grown.changed_at) == ([ana, ben], 2, NOW + 5)
        assert lists.change_list(txn, ME, "a1", add=[ben], now=NOW + 9) == grown
        with pytest.raises(Conflict, match="version 2 by now, not 1"):
            lists.change_list(txn, ME, "a1", version=1, remove=[ana], now=NOW)
        renamed = lists.change_list(txn, ME, "a1", name="Autumn", remove=[ana], now=NOW)
        assert (renamed.name, renamed.creator_ids, renamed.version) == ("Autumn", [ben], 3)
        with pytest.raises(Conflict):
            lists.delete_list(txn, ME, "a1", version=2)
        lists.delete_list(txn, ME, "a1", version=3)
        assert lists.lists_of(txn, ME) == []

    await env.write(story)


async def test_names_are_taken_once_in_any_case(env: Environment) -> None:
    def story(txn: Txn) -> None:
        lists.create_list(txn, ME, "a1", "Spring", [], NOW)
        lists.create_list(txn, OTHER, "b1", "Spring", [], NOW)
        for taken in ("SPRING", "a1"):
            with pytest.raises(Conflict):
                lists.create_list(txn, ME, "a2", taken, [], NOW)
        for odd in ("", "  ", "x" * 101, "a\0b"):
            with pytest.raises(Malformed):
                lists.create_list(txn, ME, "a2", odd, [], NOW)
        assert [one.list_id for one in lists.lists_of(txn, ME)] == ["a1"]
        assert (lists.find_list(txn, ME, "spring") or lists.find_list(txn, OTHER, "b1")) is not None

    await env.write(story)


async def test_unknown_lists_and_creators_are_not_found(env: Environment) -> None:
    def story(txn: Txn) -> None:
        with pytest.raises(NotFound):
            lists.get_list(txn, ME, "no\0such")
        with pytest.raises(NotFound):
            lists.create_list(txn, ME, "a1", "x", [UNKNOWN], NOW)
        lists.create_list(txn, OTHER, "a1", "x", [], NOW)
        with pytest.raises(NotFound):
            lists.change_list(txn, ME, "a1", name="y", now=NOW)
        with pytest.raises(NotFound):
            lists.hide(txn, ME, UNKNOWN, NOW)
        assert not lists.unhide(txn, ME, UNKNOWN)

    await env.write(story)


async def test_lists_and_hidden_follow_a_merge_and_come_back_when_it_is_undone(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben, eve = found(txn, "ana", "ben", "eve")
        lists.create_list(txn, ME, "a1", "x", [ben, eve, ana], NOW)
        lists.hide(txn, ME, ben, NOW)
        before = lists.stamp_of(txn, ME)
        merge(txn, "ana", "ben")
        assert lists.stamp_of(txn, ME) != before
        assert members(txn) == [ana, eve]
        assert lists.present_ids(txn, lists.hidden_of(txn, ME)) == [ana]
        assert not lists.hide(txn, ME, ana, NOW)
        part(txn, "ana", "ben")
        assert members(txn) == [ben, eve, ana]
        assert lists.present_ids(txn, lists.hidden_of(txn, ME)) == [ben]
        merge(txn, "ana", "ben")
        assert lists.change_list(txn, ME, "a1", remove=[ana], now=NOW).creator_ids == [eve]
        assert lists.unhide(txn, ME, ana)
        assert lists.hidden_of(txn, ME) == []

    await env.write(story)


async def test_rows_are_those_of_present_creators(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        assert lists.rows_of(txn, [ben, UNKNOWN, ana]).tolist() == [0, 1]
        merge(txn, "ana", "ben")
        assert lists.rows_of(txn, [ben, ana]).tolist() == [0]
        assert lists.rows_of(txn, []).tolist() == []

    await env.write(story)


async def test_tenants_do_not_see_each_other_s_notes(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        lists.hide(txn, ME, ana, NOW)
        lists.hide(txn, "default2", ben, NOW)
        assert (lists.hidden_of(txn, ME), lists.hidden_of(txn, "default2")) == ([ana], [ben])
        assert lists.stamp_of(txn, "third")[0] == 0

    await env.write(story)


async def test_who_is_erased_is_on_no_list_and_hidden_from_nobody(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        for tenant in (ME, OTHER):
            lists.create_list(txn, tenant, "a1", "x", [ana, ben], NOW)
            lists.hide(txn, tenant, ana, NOW)
        erased = erase_account(txn, account("ana"), now=NOW)
        assert (erased.removed["lists"], erased.removed["hidden"]) == (2, 2)
        for tenant in (ME, OTHER):
            assert lists.get_list(txn, tenant, "a1").creator_ids == [ben]
            assert lists.hidden_of(txn, tenant) == []

    await env.write(story)


async def test_what_is_left_of_an_erased_creator_stays_listed_and_hidden(env: Environment) -> None:
    """Its id is made of the erased account, so that the id of the other account stands in its place."""

    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        merge(txn, "ana", "ben")
        lists.create_list(txn, ME, "a1", "x", [ana], NOW)
        lists.hide(txn, ME, ana, NOW)
        erase_account(txn, account("ana"), now=NOW)
        assert lists.get_list(txn, ME, "a1").creator_ids == [ben]
        assert lists.hidden_of(txn, ME) == [ben]
        part(txn, "ben")
        assert members(txn) == [ben]
        assert txn.counter(MOVES) > 0

    await env.write(story)


async def test_a_full_list_keeps_nobody_from_being_forgotten(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_MEMBERS", 1)

    def story(txn: Txn) -> None:
        ana, ben, eve = found(txn, "ana", "ben", "eve")
        merge(txn, "ana", "ben", "eve")
        lists.create_list(txn, ME, "a1", "x", [ana], NOW)
        erase_account(txn, account("ana"), now=NOW)
        assert sorted(lists.get_list(txn, ME, "a1").creator_ids) == sorted([ben, eve])
        (other,) = found(txn, "other")
        with pytest.raises(Malformed, match="at most"):
            lists.create_list(txn, ME, "b2", "y", [ben, other], NOW)

    await env.write(story)
