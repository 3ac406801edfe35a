"""Two tenants over one application with real stores and indexes, and an oracle that knows all that each may see."""

# ruff: noqa: ARG002 (every operation takes the same)

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import trio

from daemon.access import Access
from daemon.auditing import AuditTrail
from daemon.config import Config
from daemon.control import weights_of
from daemon.evaluation.search_store import Made, open_search
from daemon.pipeline import taxonomy_of
from daemon.query_log import QueryLog, logged
from daemon.searching import search_services
from daemon.tenancy import Tenancy
from daemon.web.admin import create_admin
from daemon.web.app import create_app
from daemon.web.services import QueryNote
from proto.ids import Platform, creator_id_of
from proto.records import AuditEvent, CreatorAccount, EmbeddingRecord, IdentityLink
from stores.belonging import Membership, arrange
from stores.catalog import Catalog, get_creator, log_indexed, put_account, put_creator, put_creator_embeddings
from stores.checking import find_faults
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.keys import SCOPES
from stores.query_log import append_queries, queries_after
from tests.daemon.web.fakes import Steering, World

NOW = 1_790_000_000
TENANTS = ("alpha", "beta")
MARKS = {"alpha": "zqalphazq", "beta": "zqbetazq"}
"""Stands in whatever a tenant writes, and must never be in what the other one reads."""
WORDS = ("yoga", "chess", "pizza", "metal")
NICHES = ("fitness", "gaming", "food", "music")
QUERIES = ("", *WORDS, "yoga pizza", "nobodyhasthis")
STATES = ("", "shortlist", "maybe", "no")
NAMES = ("Spring", "Autumn", "Winter")
"""Of lists of either tenant."""
CREATORS = 24
LIKE = "like "
"""Begins a search for creators like one, in place of words."""
SEEDS, DIMS = 4, 8


class List(msgspec.Struct):
    name: str
    version: int
    members: list[str]
    states: dict[str, tuple[str, str]] = {}


class Seen(msgspec.Struct):
    """All that a tenant has noted."""

    hidden: set[str] = msgspec.field(default_factory=set)
    lists: dict[str, List] = msgspec.field(default_factory=dict)
    notes: dict[str, tuple[str, list[str], int]] = msgspec.field(default_factory=dict)
    searches: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    cursors: list[tuple[str, str]] = msgspec.field(default_factory=list)
    weighed: bool = False
    """Whether it ranks by weights of its own."""
    asked: int = 0
    """Searches, of which the log has the first pages."""


class Leak(AssertionError):
    """Somebody saw something else than the oracle said."""


def made(number: int) -> Made:
    word, niche = WORDS[number % len(WORDS)], NICHES[number % len(NICHES)]
    platform = Platform.YOUTUBE if number % 3 else Platform.INSTAGRAM
    account = CreatorAccount(
        platform=platform,
        platform_user_id=f"UC{number:04}",
        handle=f"{word}maker{number}",
        display_name=f"{word.title()} Maker {number}",
        bio=f"all about {word}" + (" and pizza" if number % 5 == 0 else ""),
        followers=1_000 + 100 * number,
        fetched_at=NOW,
    )
    return Made(accounts=(account,), primary_niche=niche)


def put_in(txn: Txn, one: Made) -> None:
    account = one.accounts[0]
    put_account(txn, account)
    link = IdentityLink(account_key=account.key, creator_id=one.creator_id, confidence=1.0, at=NOW)
    arrange(txn, [Membership(creator_id=one.creator_id, links=(link,))], NOW)
    creator = get_creator(txn, one.creator_id)
    assert creator is not None
    creator.name, creator.canonical_handle = account.display_name, account.handle
    creator.primary_niche, creator.total_followers = one.primary_niche, account.followers
    put_creator(txn, creator)
    put_creator_embeddings(txn, one.creator_id, [_vector(account.platform_user_id)])
    log_indexed(txn, one.creator_id)


def _vector(name: str) -> EmbeddingRecord:
    """Any, but of each the same: for `similar`."""
    found = np.random.default_rng(int(name.removeprefix("UC"))).standard_normal(DIMS)
    unit = (found / np.linalg.norm(found)).astype("<f2")
    return EmbeddingRecord(
        field="yt_bio", model_id="any", dims=DIMS, input_hash=name, vector=unit.tobytes(), updated_at=NOW
    )


def put_all(txn: Txn) -> None:
    for number in range(CREATORS):
        put_in(txn, made(number))


def ids_of(found: Mapping[str, Any]) -> list[str]:
    return [hit["creator"]["creator_id"] for hit in found["hits"]]


class Story:
    """Asks as one tenant or the other, at random, and compares."""

    def __init__(self, app: Any, admin: Any, access: Access, env: Environment, notes: list[QueryNote]) -> None:
        self._client, self._operator = (one.test_client(use_cookies=False) for one in (app, admin))
        self._access, self.env = access, env
        self._noted = notes
        self.ids = [str(creator_id_of(made(number).accounts[0].key)) for number in range(CREATORS)]
        self.niche = {one: NICHES[number % len(NICHES)] for number, one in enumerate(self.ids)}
        self.names = {one: made(number).accounts[0].display_name for number, one in enumerate(self.ids)}
        self.seen = {tenant: Seen() for tenant in TENANTS}
        self.base: dict[str, list[str]] = {}
        """What everybody is shown, by the weights of the settings."""
        self.base_by_quality: dict[str, list[str]] = {}
        self.keys: dict[str, str] = {}
        self.operations: Counter[str] = Counter()

    async def begin(self) -> None:
        for query in QUERIES:
            asked = {"q": query, "limit": 100, "interpret": "off"}
            self.base[query] = await self.hits("", asked)
            by_quality = {**asked, "weights": "keyword:0,vector:0,quality:1"}
            self.base_by_quality[query] = await self.hits("", by_quality)
        for seed in self.ids[:SEEDS]:
            body = {"positive": [seed], "limit": 100}
            name = LIKE + seed
            self.base[name] = ids_of(await self.ask("", "POST", "/v1/similar", body=body))
            body |= {"weights": {"keyword": 0, "vector": 0, "quality": 1}}
            self.base_by_quality[name] = ids_of(await self.ask("", "POST", "/v1/similar", body=body))
            assert sorted(self.base[name]) == sorted(one for one in self.ids if one != seed)
        assert sorted(self.base[""]) == sorted(self.ids)
        assert self.base != self.base_by_quality
        for tenant in TENANTS:
            await self._access.create_tenant(tenant, "", "test")
            self.keys[tenant], _ = await self._access.create_key(tenant, scopes=SCOPES, actor="test")

    async def hits(self, tenant: str, asked: Mapping[str, Any]) -> list[str]:
        return ids_of(await self.ask(tenant, "GET", "/v1/search", asked))

    async def ask(
        self,
        tenant: str,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        expect: int = 200,
        version: int | None = None,
    ) -> Any:
        """The body, of JSON where it is such. Raises Leak for another status, and for a mark of the other tenant."""
        headers = {"Host": "127.0.0.1"} | ({"Authorization": f"Bearer {self.keys[tenant]}"} if tenant else {})
        headers |= {} if version is None else {"If-Match": f'"{version}"'}
        more = {} if body is None else {"json": body}
        reply = await self._client.open(path, method=method, query_string=dict(query or {}), headers=headers, **more)
        data = bytes(await reply.get_data(as_text=False))
        where = f"{tenant} {method} {path} {query} {body} → {reply.status_code} {data[:300]!r}"
        for other in TENANTS:
            if other != tenant and MARKS[other].encode() in data + repr(reply.headers).encode():
                raise Leak(f"a mark of {other}: {where}")
        if reply.status_code != expect:
            raise Leak(f"expected {expect}: {where}")
        return (
            msgspec.json.decode(data)
            if "json" in (reply.mimetype or "") and "nd" not in (reply.mimetype or "")
            else data
        )

    async def step(self, rng: random.Random) -> None:
        tenant = rng.choice(TENANTS)
        name = rng.choice(OPERATIONS)
        self.operations[name] += 1
        await getattr(self, name)(rng, tenant, self.seen[tenant])

    def text(self, rng: random.Random, tenant: str) -> str:
        """Something that only this tenant writes."""
        return f"{rng.choice(WORDS)} {MARKS[tenant]} {rng.randrange(100)}"

    def a_list(self, rng: random.Random, tenant: str) -> tuple[str, List | None]:
        """Of the tenant, or now and then of the other one, whose it cannot know."""
        of = tenant if rng.random() < 0.75 else next(one for one in TENANTS if one != tenant)
        lists = self.seen[of].lists
        if not lists:
            return "0" * 16, None
        list_id = rng.choice(sorted(lists))
        return list_id, self.seen[tenant].lists.get(list_id)

    def visible(self, query: str, seen: Seen) -> list[str]:
        base = self.base_by_quality if seen.weighed else self.base
        return [one for one in base[query] if one not in seen.hidden]

    def same(self, found: Any, expected: Any, what: str) -> None:
        if found != expected:
            raise Leak(f"{what}: {found} where {expected} was to be seen")

    async def make_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        name = rng.choice([*NAMES, self.text(rng, tenant)])
        members = rng.sample(self.ids, rng.randrange(4))
        taken = any(one.name.casefold() == name.casefold() for one in seen.lists.values())
        view = await self.ask(
            tenant, "POST", "/v1/lists", body={"name": name, "creators": members}, expect=409 if taken else 201
        )
        if not taken:
            seen.lists[view["list_id"]] = List(name=name, version=1, members=members)

    async def change_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        add, remove = rng.sample(self.ids, 2), rng.sample(self.ids, 2)
        body = {"add": add, "remove": remove}
        view = await self.ask(tenant, "PATCH", f"/v1/lists/{list_id}", body=body, expect=200 if mine else 404)
        if mine is None:
            return
        kept = [one for one in mine.members if one not in remove]
        kept += [one for one in add if one not in kept]
        states = {one: said for one, said in mine.states.items() if one in kept}
        if (kept, states) != (mine.members, mine.states):
            mine.version += 1
        mine.members, mine.states = kept, states
        self.same((view["version"], view["creators"]), (mine.version, len(kept)), "a changed list")

    async def triage(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        creator = rng.choice(mine.members if mine and mine.members else self.ids)
        said = (rng.choice(STATES), self.text(rng, tenant))
        known = mine is not None and creator in mine.members
        body = {"triage": {creator: {"state": said[0], "reason": said[1]}}}
        await self.ask(tenant, "PATCH", f"/v1/lists/{list_id}", body=body, expect=200 if known else 404)
        if mine is not None and known and mine.states.get(creator) != said:
            mine.states[creator] = said
            mine.version += 1

    async def read_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        page = await self.ask(tenant, "GET", f"/v1/lists/{list_id}", {"limit": 100}, expect=200 if mine else 404)
        if mine is None:
            return
        self.same([one["creator_id"] for one in page["creators"]], mine.members, "members")
        entries = [(one["state"], one["reason"]) for one in page["entries"]]
        self.same(entries, [mine.states.get(one, ("", "")) for one in mine.members], "states")
        noted = [(one["note"], one["tags"]) for one in page["entries"]]
        self.same(noted, [seen.notes.get(one, ("", [], 0))[:2] for one in mine.members], "notes in a list")

    async def news_of_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        expect = 200 if mine else 404
        news = await self.ask(tenant, "GET", f"/v1/lists/{list_id}/changes", {"since": 0}, expect=expect)
        await self.ask(tenant, "POST", f"/v1/lists/{list_id}/visits", expect=expect)
        if mine is not None:
            self.same(news["added"], mine.members, "what came into a list")
            self.same(set(news["actors"]), {f"key:{self.key_id(tenant)}"}, "who changed a list")

    async def delete_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        await self.ask(tenant, "DELETE", f"/v1/lists/{list_id}", expect=204 if mine else 404)
        if mine is not None:
            del seen.lists[list_id]

    async def all_lists(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        found = await self.ask(tenant, "GET", "/v1/lists")
        views = {one["list_id"]: (one["name"], one["version"], one["creators"]) for one in found["lists"]}
        self.same(views, {key: (one.name, one.version, len(one.members)) for key, one in seen.lists.items()}, "lists")

    async def hide(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        found = await self.ask(tenant, "PUT", f"/v1/hidden/{creator}")
        self.same(found["changed"], creator not in seen.hidden, "whether it was shown")
        seen.hidden.add(creator)

    async def unhide(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(sorted(seen.hidden) or self.ids)
        found = await self.ask(tenant, "DELETE", f"/v1/hidden/{creator}")
        self.same(found["changed"], creator in seen.hidden, "whether it was hidden")
        seen.hidden.discard(creator)

    async def all_hidden(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        found = await self.ask(tenant, "GET", "/v1/hidden", {"limit": 100})
        self.same({one["creator_id"] for one in found["creators"]}, seen.hidden, "hidden")
        self.same(found["total"], len(seen.hidden), "how many are hidden")

    async def search(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        query = rng.choice(QUERIES)
        asked = {"q": query, "limit": 100, "facets": "niche", "interpret": "off"}
        found = await self.ask(tenant, "GET", "/v1/search", asked)
        seen.asked += 1
        expected = self.visible(query, seen)
        self.same([one["creator"]["creator_id"] for one in found["hits"]], expected, f"hits of {query!r}")
        self.same(found["total"], len(expected), "total")
        counts = {name: count for name, count in found["facets"]["niche"].items() if count}
        self.same(counts, dict(Counter(self.niche[one] for one in expected)), "facets")

    async def reweigh(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        seen.weighed = rng.random() < 0.5
        changes = {"keyword": 0.0, "vector": 0.0, "quality": 1.0} if seen.weighed else None
        await self.order("PUT", "/v1/weights", tenant, changes)
        for one in TENANTS:
            shown = await self.order("GET", "/v1/weights", one)
            self.same(shown["source"], "tenant" if self.seen[one].weighed else "settings", "weights")

    async def order(self, method: str, path: str, tenant: str, body: Any = None) -> Any:
        """Of the operator, for a tenant."""
        more = {"data": msgspec.json.encode(body)} if method != "GET" else {}
        reply = await self._operator.open(path, method=method, query_string={"tenant": tenant}, **more)
        data = bytes(await reply.get_data(as_text=False))
        if reply.status_code != 200 or any(MARKS[one].encode() in data for one in TENANTS if one != tenant):
            raise Leak(f"{method} {path} for {tenant} → {reply.status_code} {data[:300]!r}")
        return data if "nd" in (reply.mimetype or "") else msgspec.json.decode(data)

    async def similar(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        seed = rng.choice(self.ids[:SEEDS])
        body = {"positive": [seed], "limit": 100, "facets": ["niche"]}
        found = await self.ask(tenant, "POST", "/v1/similar", body=body)
        expected = self.visible(LIKE + seed, seen)
        self.same(ids_of(found), expected, f"creators like {seed}")
        self.same(found["total"], len(expected), "how many are like it")
        counts = {name: count for name, count in found["facets"]["niche"].items() if count}
        self.same(counts, dict(Counter(self.niche[one] for one in expected)), "facets of those like it")

    async def similar_in_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        seed = rng.choice(self.ids[:SEEDS])
        body = {"positive": [seed], "limit": 100, "filter": f'list = "{list_id}"'}
        found = await self.ask(tenant, "POST", "/v1/similar", body=body, expect=200 if mine else 400)
        if mine is not None:
            expected = {one for one in self.visible(LIKE + seed, seen) if one in mine.members}
            self.same(set(ids_of(found)), expected, "creators like it in a list")

    async def change_as_read(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        """By `If-Match`: a stale version is answered with the list as it is, of another tenant with nothing."""
        list_id, mine = self.a_list(rng, tenant)
        version, stale = rng.randrange(1, 9), False
        if mine is not None:
            version += mine.version
            stale = rng.random() < 0.5
            version = version if stale else mine.version
        found = await self.ask(
            tenant,
            "PATCH",
            f"/v1/lists/{list_id}",
            body={"remove": self.ids},
            expect=404 if mine is None else 412 if stale else 200,
            version=version,
        )
        if mine is None:
            self.same("current" in found, False, "whether a list that is not one's own is shown")
        elif stale:
            self.same(
                (found["current"]["name"], found["current"]["version"]), (mine.name, mine.version), "a stale list"
            )
        elif mine.members:
            mine.members, mine.states = [], {}
            mine.version += 1

    async def note_as_read(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        old, text = seen.notes.get(creator), self.text(rng, tenant)
        version = old[2] if old else 0
        stale = rng.random() < 0.5
        path, asked = f"/v1/creators/{creator}/note", version + 1 if stale else version
        found = await self.ask(
            tenant, "PUT", path, body={"text": text, "tags": []}, expect=412 if stale else 200, version=asked
        )
        if stale:
            shown = found.get("current")
            self.same(shown and (shown["text"], shown["version"]), old and (old[0], old[2]), "a stale note")
        else:
            seen.notes[creator] = (text, [], version + 1)

    async def search_in_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        names = [*NAMES, *(one.name for of in self.seen.values() for one in of.lists.values())]
        name = rng.choice(names)
        mine = next((one for one in seen.lists.values() if one.name.casefold() == name.casefold()), None)
        query = rng.choice(QUERIES[:5])
        negated = rng.random() < 0.3
        asked = {"q": query, "filter": f'{"NOT " if negated else ""}list = "{name}"', "limit": 100, "interpret": "off"}
        if MARKS[next(one for one in TENANTS if one != tenant)] in name:
            return  # the refusal repeats what was asked for
        found = await self.ask(tenant, "GET", "/v1/search", asked, expect=200 if mine else 400)
        if mine is None:
            return
        seen.asked += 1
        there = set(mine.members)
        expected = {one for one in self.visible(query, seen) if (one in there) != negated}
        self.same({one["creator"]["creator_id"] for one in found["hits"]}, expected, "hits in a list")
        self.same(found["total"], len(expected), "total in a list")

    async def search_hidden(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        found = await self.ask(tenant, "GET", "/v1/search", {"filter": "hidden", "limit": 100})
        seen.asked += 1
        self.same({one["creator"]["creator_id"] for one in found["hits"]}, seen.hidden, "hits that are hidden")

    async def page_on(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        """With a cursor of one's own, or of the other tenant: what follows is one's own all the same."""
        query = rng.choice(QUERIES[:5])
        first = await self.ask(tenant, "GET", "/v1/search", {"q": query, "limit": 3, "interpret": "off"})
        seen.asked += 1
        expected = self.visible(query, seen)
        self.same([one["creator"]["creator_id"] for one in first["hits"]], expected[:3], "a first page")
        other = next(one for one in TENANTS if one != tenant)
        for whose, of in ((tenant, seen), (other, self.seen[other])):
            if first["cursor"] is None:
                return
            asked = {"q": query, "limit": 100, "cursor": first["cursor"], "interpret": "off"}
            rest = await self.ask(whose, "GET", "/v1/search", asked)
            self.same(
                [one["creator"]["creator_id"] for one in rest["hits"]],
                self.visible(query, of)[3:],
                f"a next page of {whose}",
            )
            self.same(rest["total"], len(self.visible(query, of)), "the total of a next page")

    async def export(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        query = rng.choice(QUERIES)
        data = await self.ask(tenant, "GET", "/v1/search/export", {"q": query, "format": "jsonl", "interpret": "off"})
        rows = [msgspec.json.decode(line)["creator"]["creator_id"] for line in data.splitlines()]
        self.same(rows, self.visible(query, seen), "an export")

    async def autocomplete(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        prefix = rng.choice(WORDS)[: rng.randrange(2, 5)]
        found = await self.ask(tenant, "GET", "/v1/autocomplete", {"q": prefix, "limit": 50})
        shown = {one["creator_id"] for one in found["suggestions"] if one["kind"] != "niche"}
        expected = {
            one for one, name in self.names.items() if name.lower().startswith(prefix) and one not in seen.hidden
        }
        self.same(shown, expected, f"what {prefix!r} may become")

    async def explain(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        found = await self.ask(tenant, "GET", "/v1/search/explain", {"creator_id": creator})
        self.same(
            (found["hidden"], found["found"]), (creator in seen.hidden, creator not in seen.hidden), "an explanation"
        )
        self.same(found["total"], CREATORS - len(seen.hidden), "the total of an explanation")

    async def creator(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        found = await self.ask(tenant, "GET", f"/v1/creators/{creator}")
        self.same(found["creator"]["creator_id"], creator, "a creator")

    async def note(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        old = seen.notes.get(creator)
        text, tags = self.text(rng, tenant), [rng.choice([*NAMES, MARKS[tenant]])]
        stale = rng.random() < 0.2
        version = (old[2] if old else 0) + (1 if stale else 0)
        body = {"text": text, "tags": tags, "version": version}
        found = await self.ask(tenant, "PUT", f"/v1/creators/{creator}/note", body=body, expect=409 if stale else 200)
        if not stale:
            self.same(found["version"], version + 1, "the version of a note")
            seen.notes[creator] = (text, tags, version + 1)

    async def read_note(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(sorted(set(self.seen["alpha"].notes) | set(self.seen["beta"].notes)) or self.ids)
        mine = seen.notes.get(creator)
        found = await self.ask(tenant, "GET", f"/v1/creators/{creator}/note", expect=200 if mine else 404)
        if mine:
            self.same((found["text"], found["tags"], found["version"]), mine, "a note")

    async def drop_note(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        creator = rng.choice(self.ids)
        await self.ask(tenant, "DELETE", f"/v1/creators/{creator}/note", expect=204)
        seen.notes.pop(creator, None)

    async def all_notes(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        found = await self.ask(tenant, "GET", "/v1/notes", {"limit": 100})
        self.same(
            {one["creator_id"]: one["text"] for one in found["notes"]},
            {key: one[0] for key, one in seen.notes.items()},
            "notes",
        )
        self.same(found["tags"], dict(Counter(tag for one in seen.notes.values() for tag in one[1])), "tags")

    async def save_search(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        name = rng.choice([*NAMES, self.text(rng, tenant)])
        query = rng.choice(QUERIES)
        taken = any(one[0].casefold() == name.casefold() for one in seen.searches.values())
        body = {"name": name, "request": {"q": query}}
        view = await self.ask(tenant, "POST", "/v1/searches", body=body, expect=409 if taken else 201)
        if not taken:
            seen.searches[view["search_id"]] = (name, query)

    async def change_search(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        every = sorted(set(self.seen["alpha"].searches) | set(self.seen["beta"].searches))
        if every:
            one, query = rng.choice(every), rng.choice(QUERIES)
            body, mine = {"request": {"q": query}}, seen.searches.get(one)
            await self.ask(tenant, "PATCH", f"/v1/searches/{one}", body=body, expect=200 if mine else 404)
            if mine:
                seen.searches[one] = (mine[0], query)

    async def put_in_list(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        list_id, mine = self.a_list(rng, tenant)
        creator = rng.choice(self.ids)
        await self.ask(tenant, "PUT", f"/v1/lists/{list_id}/creators/{creator}", expect=200 if mine else 404)
        if mine is not None and creator not in mine.members:
            mine.members.append(creator)
            mine.version += 1

    async def search_by_post(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        query = rng.choice(QUERIES)
        body = {"q": query, "limit": 100, "interpret": "off"}
        found = await self.ask(tenant, "POST", "/v1/search", body=body)
        seen.asked += 1
        expected = self.visible(query, seen)
        self.same([one["creator"]["creator_id"] for one in found["hits"]], expected, f"hits of {query!r}")
        self.same(found["total"], len(expected), "total")

    async def read_searches(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        found = await self.ask(tenant, "GET", "/v1/searches")
        self.same(
            {one["search_id"]: (one["name"], one["request"]["q"]) for one in found["searches"]},
            seen.searches,
            "saved searches",
        )
        every = sorted(set(self.seen["alpha"].searches) | set(self.seen["beta"].searches))
        if every:
            one = rng.choice(every)
            await self.ask(tenant, "GET", f"/v1/searches/{one}", expect=200 if one in seen.searches else 404)

    async def drop_search(self, rng: random.Random, tenant: str, seen: Seen) -> None:
        every = sorted(set(self.seen["alpha"].searches) | set(self.seen["beta"].searches))
        if every:
            one = rng.choice(every)
            await self.ask(tenant, "DELETE", f"/v1/searches/{one}", expect=204 if one in seen.searches else 404)
            seen.searches.pop(one, None)

    def key_id(self, tenant: str) -> str:
        from daemon.access import digest

        return digest(self.keys[tenant])[:12]

    async def end(self) -> None:
        """What was written down of each is of nobody else, and whole."""
        await self.env.write(lambda txn: append_queries(txn, [logged(one) for one in self._noted]))
        trail = AuditTrail(self.env)
        for tenant in TENANTS:
            (other,) = set(TENANTS) - {tenant}
            records = await trail.page(0, 100_000, tenant)
            assert records
            assert all(one.tenant_id == tenant for _, one in records)
            assert {one.actor for _, one in records} <= {"test", "operator", f"key:{self.key_id(tenant)}"}
            assert MARKS[other] not in repr(records)
            queries = await self.env.read(partial(queries_after, tenant_id=tenant, after=0, limit=100_000))
            assert len(queries) == self.seen[tenant].asked
            assert MARKS[other] not in repr(queries)
            await self.order("GET", "/v1/queries", tenant)
            tried = {"weights": {"keyword": 0.1, "vector": 0.0, "quality": 0.9}, "queries": 20}
            moved = [one for query in (await self.order("POST", "/v1/weights/what-if", tenant, tried))["queries"]
                     if "hidden" not in query["filter"] for one in query["moved"]]  # fmt: skip
            assert not self.seen[tenant].hidden & {one["creator_id"] for one in moved}
        assert (await trail.verify()).broken is None
        faults = await self.env.read(lambda txn: find_faults(txn, {}, lambda *_: None))
        tenants_own = {
            "lists",
            "list_steps",
            "list_visits",
            "hidden",
            "notes",
            "saved_searches",
            "query_log",
            "audit",
            "keys",
        }
        assert [one for one in faults if one.database in tenants_own] == []


OPERATIONS: Sequence[str] = (
    "make_list", "change_list", "triage", "read_list", "news_of_list", "delete_list", "all_lists", "hide", "hide",
    "unhide", "all_hidden", "search", "search", "reweigh", "search_in_list", "search_hidden", "page_on", "export", "autocomplete",
    "explain", "creator", "note", "read_note", "drop_note", "all_notes", "save_search", "read_searches", "drop_search",
    "change_search", "put_in_list", "search_by_post", "similar", "similar_in_list", "change_as_read",
    "note_as_read",
)  # fmt: skip


@asynccontextmanager
async def tenant_story(folder: Path) -> AsyncIterator[Story]:
    env = Environment(folder, map_size_bytes=1 << 28, durable=False)
    Journal(env, lambda _: None).ensure_default_tenant(NOW)
    await env.write(put_all)
    config, notes = Config(), list[QueryNote]()
    access = Access(env, now=lambda: NOW, clock=trio.current_time)
    await access.load()
    tenancy = Tenancy(env, settings=lambda: weights_of(config), now=lambda: NOW, clock=trio.current_time)
    async with open_search(folder, env, None, config, lambda: NOW) as opened:
        text = await opened.keeper.open_text()
        opened.searcher.set_text(text)
        await opened.keeper.open_fields("any", DIMS, opened.searcher.set_field)
        world = World([])
        world.access = access
        catalog = Catalog(env)
        services = msgspec.structs.replace(
            world.services(),
            searching=search_services(
                lambda: config,
                searcher=opened.searcher,
                env=env,
                catalog=catalog,
                columns=opened.keeper.columns,
                taxonomy=taxonomy_of(config),
                tenancy=tenancy,
                suggest=text.suggest,
                note_query=notes.append,
                observe=lambda _: None,
            ),
            creators=catalog.creators_with_accounts,
            recent_content=catalog.recent_content,
            embeddings=catalog.embeddings,
            audit=lambda entry: audited.append(entry),
            max_body_bytes=100_000,
        )
        audited: list[AuditEvent] = []
        app = create_app(services)
        log = QueryLog(env, search=opened.searcher.search, tenancy=tenancy)
        admin = create_admin(Steering().services(), trusted=True, queries=log, tenancy=tenancy)
        async with app.test_app(), admin.test_app():
            story = Story(app, admin, access, env, notes)
            await story.begin()
            notes.clear()
            audited.clear()
            yield story
            await Journal(env, lambda _: None).audit(audited)
            await story.end()
    env.close()
