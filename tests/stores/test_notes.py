"""What tenants say of creators in lists, notes and saved searches: steps, erasure, and that verify reads all of it."""

from __future__ import annotations

import pytest

from proto.errors import Conflict, Malformed, Stale
from proto.ids import Platform
from proto.records import Tenant
from stores import list_steps, lists, notes, saved_searches
from stores.checking import find_faults
from stores.codec import encode
from stores.env import Environment, Txn
from stores.erasure import Subject, erase_account, mentions, scrub
from stores.lists import Triage
from tests.stores.test_lists import ME, NOW, account, found, merge, part


def whole(txn: Txn) -> list[str]:
    """What verify says of what tenants noted."""
    mine = {"lists", "list_steps", "list_visits", "hidden", "notes", "saved_searches"}
    return [f"{one.database}: {one.problem}" for one in find_faults(txn, {}, lambda *_: None) if one.database in mine]


def be_there(txn: Txn) -> None:
    txn.put("tenants", ME.encode(), encode(Tenant(tenant_id=ME)))


async def test_who_is_erased_is_in_no_step_note_or_reason(env: Environment) -> None:
    def story(txn: Txn) -> None:
        be_there(txn)
        ana, ben = found(txn, "ana", "ben")
        lists.create_list(txn, ME, "a1", "not ana", [ana, ben], NOW)
        said = {ana: Triage("no", "dull"), ben: Triage("shortlist", "better than ana, who is dull")}
        lists.change_list(txn, ME, "a1", triage=said, now=NOW)
        notes.write_note(txn, ME, ana, text="dull", now=NOW)
        notes.write_note(txn, ME, ben, text="knows @ana well", tags=["ana"], now=NOW)
        saved_searches.create_search(txn, ME, "s1", "like ana", '{"q":"ana"}', NOW)
        assert whole(txn) == []
        erased = erase_account(txn, account("ana"), now=NOW)
        assert (erased.removed["notes"], erased.removed["list_steps"]) == (1, 2)
        subject = Subject(platform=Platform.YOUTUBE, user_id="UCana", handle="ana", alias="00ff")
        for database in ("lists", "notes", "saved_searches"):
            keys, _ = mentions(txn, database, subject, b"", 100)
            assert scrub(txn, database, subject, keys) == 1
        left = b"".join(
            value for name in ("lists", "list_steps", "notes", "saved_searches") for _, value in txn.scan(name)
        )
        assert b"ana" not in left
        kept = lists.get_list(txn, ME, "a1")
        assert (kept.name, kept.entries[ben].reason) == ("not erased-00ff", "better than erased-00ff, who is dull")
        assert list(kept.entries) == [ben]
        assert whole(txn) == []

    await env.write(story)


async def test_a_note_stays_with_who_goes_on(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        merge(txn, "ana", "ben")
        notes.write_note(txn, ME, ana, text="both", now=NOW)
        erase_account(txn, account("ana"), now=NOW)
        part(txn, "ben")
        kept = notes.note_of(txn, ME, ben)
        assert kept is not None
        assert kept.text == "both"

    await env.write(story)


async def test_what_was_said_in_a_list_stays_with_who_goes_on(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        merge(txn, "ana", "ben")
        lists.create_list(txn, ME, "a1", "x", [ana], NOW)
        lists.change_list(txn, ME, "a1", triage={ana: Triage("shortlist", "funny")}, now=NOW)
        erase_account(txn, account("ana"), now=NOW)
        part(txn, "ben")
        kept = lists.get_list(txn, ME, "a1")
        assert kept.creator_ids == [ben]
        assert [(one, entry.state, entry.reason) for one, entry in kept.entries.items()] == [
            (ben, "shortlist", "funny")
        ]

    await env.write(story)


async def test_a_merge_that_is_undone_gives_both_notes_back(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        for one, text in ((ana, "a"), (ben, "b")):
            notes.write_note(txn, ME, one, text=text, now=NOW)
        merge(txn, "ana", "ben")
        assert [one.text for one in notes.notes_of(txn, ME)] == ["a\n\nb"]
        part(txn, "ana", "ben")
        texts = {one.creator_id: one.text for one in notes.notes_of(txn, ME)}
        assert texts == {ana: "a", ben: "b"}

    await env.write(story)


async def test_what_was_said_last_of_merged_creators_holds(env: Environment) -> None:
    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        lists.create_list(txn, ME, "a1", "x", [ana, ben], NOW)
        lists.change_list(txn, ME, "a1", triage={ana: Triage("no")}, now=NOW)
        lists.change_list(txn, ME, "a1", triage={ben: Triage("maybe")}, now=NOW + 1)
        merge(txn, "ana", "ben")
        assert lists.entries_of(txn, lists.get_list(txn, ME, "a1"))[ana].state == "maybe"

    await env.write(story)


async def test_of_many_steps_the_first_are_forgotten_and_it_is_said(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_steps, "STEPS_KEPT", 3)

    def story(txn: Txn) -> None:
        be_there(txn)
        ana, ben = found(txn, "ana", "ben")
        one = lists.create_list(txn, ME, "a1", "x", [ana], NOW)
        for number in range(5):
            one = lists.change_list(txn, ME, "a1", name=f"y{number}", now=NOW)
        one = lists.change_list(txn, ME, "a1", add=[ben], now=NOW)
        assert txn.entries("list_steps") == 3
        news = list_steps.since(txn, one, one.version - 3)
        assert (news.complete, news.added) == (True, (ben,))
        assert not list_steps.since(txn, one, one.version - 4).complete
        list_steps.visit(txn, one, "me", one.version, NOW)
        list_steps.visit(txn, one, "me", 1, NOW + 1)
        assert list_steps.visited(txn, one, "me").version == one.version
        assert whole(txn) == []
        lists.delete_list(txn, ME, "a1")
        assert (txn.entries("list_steps"), txn.entries("list_visits")) == (0, 0)

    await env.write(story)


async def test_what_is_no_note_or_saved_search_is_refused(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_NOTES", 1)
    monkeypatch.setattr(saved_searches, "MAX_SEARCHES", 1)

    def story(txn: Txn) -> None:
        ana, ben = found(txn, "ana", "ben")
        for tags in (["x" * 41], ["a\0"], [""], [str(number) for number in range(21)]):
            with pytest.raises(Malformed):
                notes.write_note(txn, ME, ana, tags=tags, now=NOW)
        notes.write_note(txn, ME, ana, text="x", now=NOW)
        with pytest.raises(Conflict, match="already"):
            notes.write_note(txn, ME, ben, text="x", now=NOW)
        with pytest.raises(Stale) as stale:
            notes.write_note(txn, ME, ana, text="y", version=0, now=NOW)
        assert stale.value.current == notes.note_of(txn, ME, ana)
        saved_searches.create_search(txn, ME, "s1", "x", "{}", NOW)
        with pytest.raises(Conflict, match="already"):
            saved_searches.create_search(txn, ME, "s2", "y", "{}", NOW)
        assert (notes.notes_of(txn, "other"), saved_searches.searches_of(txn, "other")) == ([], [])

    await env.write(story)
