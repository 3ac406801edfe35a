"""What belongs to a tenant: lists, hidden creators, weights. Reads for searches are kept in memory while they hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from daemon.weights import reweighted, told, weights_view
from proto.api import WeightsView
from proto.ids import CreatorId
from proto.records import AuditEvent, CreatorList, ListEntry, Note, SavedSearch
from stores.audit import append_audit
from stores.catalog import get_creator
from stores.env import Environment, Txn
from stores.list_steps import Since, since, visit, visited
from stores.lists import (
    Triage,
    change_list,
    create_list,
    delete_list,
    entries_of,
    find_list,
    get_list,
    hidden_of,
    hide,
    lists_of,
    present_ids,
    rows_of,
    stamp_of,
    unhide,
)
from stores.notes import note_of, notes_of, write_note
from stores.ports import Rows, Weights
from stores.saved_searches import change_search, create_search, delete_search, get_search, searches_of
from stores.tenants import get_tenant, set_weights, tenants, weights_in

T = TypeVar("T")

LOOK_SECONDS = 1.0
"""For so long it is taken for granted that no id has come to lead elsewhere; what tenants change is seen at once."""
POSTED_AMONG = 2_000
"""Members of a list that are looked at for whether they posted since."""
NOBODY: Rows = np.zeros(0, np.uint32)


class TenantRows(msgspec.Struct, kw_only=True):
    """Rows of a tenant's creators, as of ``stamp``."""

    stamp: tuple[int, int]
    looked_at: float
    hidden: Rows
    lists: dict[str, Rows] = {}
    """By what a filter calls the list: those that were asked about so far."""


class ListRead(msgspec.Struct, kw_only=True, frozen=True):
    """A list as it is now."""

    of: CreatorList
    members: list[CreatorId]
    """Where its ids lead."""
    entries: dict[CreatorId, ListEntry]
    """By the same ids."""


class ListNews(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a list."""

    of: CreatorList
    since: Since
    since_at: int
    """When that version was looked at; 0 where it is not known."""
    added: list[CreatorId]
    removed: list[CreatorId]
    triaged: list[CreatorId]
    entries: dict[CreatorId, ListEntry]
    posted: list[CreatorId]
    """Members that posted after ``since_at``; of `POSTED_AMONG` at most."""


class Tenancy:
    """Reads and writes over one store. Writes are durable on return, and audited; all raise NotFound for a tenant that is
    gone."""

    def __init__(
        self,
        env: Environment,
        *,
        settings: Callable[[], Weights],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``settings``: the weights of the settings; ``clock``: seconds that only go forward."""
        self._env, self._settings, self._now, self._clock = env, settings, now, clock
        self._rows: dict[str, TenantRows] = {}
        self._weights: dict[str, Weights] = {}
        self._writes = 0

    async def load(self) -> None:
        """Once, before anybody asks for weights."""
        found = await self._env.read(tenants)
        self._weights = {one.tenant_id: weights_in(one.search_weights) for one in found if one.search_weights}

    def weights(self, tenant_id: str) -> Weights:
        """In force."""
        return self._weights.get(tenant_id) or self._settings()

    async def present(self, tenant_id: str) -> str:
        """The same. Raises NotFound."""
        return (await self._env.read(lambda txn: get_tenant(txn, tenant_id))).tenant_id

    def weights_shown(self, tenant_id: str) -> WeightsView:
        source = "tenant" if tenant_id in self._weights else "settings"
        return weights_view(self.weights(tenant_id), tenant_id, source)

    async def set_weights(self, tenant_id: str, changes: Mapping[str, float] | None, actor: str) -> WeightsView:
        """None: those of the settings again. In force from the next search on. Raises Malformed and NotFound."""
        fresh = reweighted(self.weights(tenant_id), changes) if changes is not None else None
        detail = f"weights of {tenant_id}: {told(fresh) if fresh else 'as in the settings'}"

        def change(txn: Txn) -> None:
            set_weights(txn, tenant_id, fresh)
            append_audit(txn, self._entry(tenant_id, actor, "config", detail))

        await self._env.write(change, synced=True)
        if fresh is None:
            self._weights.pop(tenant_id, None)
        else:
            self._weights[tenant_id] = fresh
        return self.weights_shown(tenant_id)

    async def rows(self, tenant_id: str, lists: Collection[str] = ()) -> TenantRows:
        """Hidden creators, and members of these lists; one that is not there has none."""
        kept = self._rows.get(tenant_id)
        fresh = kept is not None and self._clock() - kept.looked_at < LOOK_SECONDS
        if kept is not None and fresh and all(name in kept.lists for name in lists):
            return kept
        writes = self._writes
        found = await self._env.read(partial(_look, tenant_id=tenant_id, lists=list(lists), kept=kept))
        found.looked_at = self._clock()
        if writes == self._writes:  # else this may be the state before a change that is through by now
            self._rows[tenant_id] = found
        return found

    async def list_names(self, tenant_id: str) -> list[str]:
        """Ids and names: what a filter may call them."""
        found = await self.lists(tenant_id)
        return [name for one in found for name in (one.list_id, one.name)]

    async def lists(self, tenant_id: str) -> list[CreatorList]:
        return await self._env.read(lambda txn: lists_of(txn, tenant_id))

    async def read_list(self, tenant_id: str, list_id: str) -> ListRead:
        """Raises NotFound."""

        def look(txn: Txn) -> ListRead:
            found = get_list(txn, tenant_id, list_id)
            return ListRead(of=found, members=present_ids(txn, found.creator_ids), entries=entries_of(txn, found))

        return await self._env.read(look)

    async def list_news(self, tenant_id: str, list_id: str, version: int | None, visitor: str) -> ListNews:
        """After a version, or after the visitor's last visit. Raises NotFound."""
        return await self._env.read(partial(_news, tenant_id=tenant_id, list_id=list_id, version=version, who=visitor))

    async def visit_list(self, tenant_id: str, list_id: str, version: int | None, visitor: str) -> CreatorList:
        """Up to this version, or all, it has been seen. Raises NotFound."""

        def change(txn: Txn) -> CreatorList:
            get_tenant(txn, tenant_id)
            found = get_list(txn, tenant_id, list_id)
            visit(txn, found, visitor, min(version or found.version, found.version), int(self._now()))
            return found

        return await self._env.write(change, synced=True)

    async def notes(self, tenant_id: str) -> list[Note]:
        """By creator."""
        return await self._env.read(lambda txn: notes_of(txn, tenant_id))

    async def notes_on(self, tenant_id: str, creator_ids: Sequence[CreatorId]) -> dict[CreatorId, Note]:
        """Of those that something is noted of."""

        def look(txn: Txn) -> dict[CreatorId, Note]:
            found = ((one, note_of(txn, tenant_id, one)) for one in creator_ids)
            return {one: note for one, note in found if note is not None}

        return await self._env.read(look)

    async def write_note(
        self,
        tenant_id: str,
        creator_id: CreatorId,
        *,
        text: str | None = None,
        tags: Sequence[str] | None = None,
        version: int | None = None,
        actor: str,
    ) -> Note | None:
        """Raises as `stores.notes.write_note`."""
        change = partial(
            write_note,
            tenant_id=tenant_id,
            creator_id=creator_id,
            text=text,
            tags=tags,
            version=version,
            now=int(self._now()),
            actor=actor,
        )
        return await self._write(tenant_id, actor, change, lambda _: f"noted: {creator_id}")

    async def searches(self, tenant_id: str) -> list[SavedSearch]:
        return await self._env.read(lambda txn: searches_of(txn, tenant_id))

    async def saved_search(self, tenant_id: str, search_id: str) -> SavedSearch:
        """Raises NotFound."""
        return await self._env.read(lambda txn: get_search(txn, tenant_id, search_id))

    async def create_search(self, tenant_id: str, search_id: str, name: str, query: str, actor: str) -> SavedSearch:
        """Raises as `stores.saved_searches.create_search`."""
        change = partial(
            create_search, tenant_id=tenant_id, search_id=search_id, name=name, query=query, now=int(self._now())
        )
        return await self._write(tenant_id, actor, change, lambda one: f"saved search {one.name!r} ({search_id})")

    async def change_search(
        self,
        tenant_id: str,
        search_id: str,
        *,
        version: int | None = None,
        name: str | None = None,
        query: str | None = None,
        actor: str,
    ) -> SavedSearch:
        """Raises as `stores.saved_searches.change_search`."""
        change = partial(
            change_search,
            tenant_id=tenant_id,
            search_id=search_id,
            version=version,
            name=name,
            query=query,
            now=int(self._now()),
        )
        return await self._write(
            tenant_id, actor, change, lambda one: f"changed search {one.name!r} ({search_id}): version {one.version}"
        )

    async def delete_search(self, tenant_id: str, search_id: str, version: int | None, actor: str) -> None:
        """Raises as `stores.saved_searches.delete_search`."""
        change = partial(delete_search, tenant_id=tenant_id, search_id=search_id, version=version)
        await self._write(tenant_id, actor, change, lambda one: f"deleted search {one.name!r} ({search_id})")

    async def hidden(self, tenant_id: str) -> list[CreatorId]:
        """Where their ids lead now."""
        return await self._env.read(lambda txn: present_ids(txn, hidden_of(txn, tenant_id)))

    async def create_list(
        self, tenant_id: str, list_id: str, name: str, creator_ids: Sequence[CreatorId], actor: str
    ) -> CreatorList:
        """Raises as `stores.lists.create_list`."""
        change = partial(
            create_list,
            tenant_id=tenant_id,
            list_id=list_id,
            name=name,
            creator_ids=creator_ids,
            now=int(self._now()),
            actor=actor,
        )
        return await self._write(tenant_id, actor, change, lambda one: f"created {one.name!r} ({one.list_id})")

    async def change_list(
        self,
        tenant_id: str,
        list_id: str,
        *,
        version: int | None = None,
        name: str | None = None,
        add: Iterable[CreatorId] = (),
        remove: Iterable[CreatorId] = (),
        triage: Mapping[CreatorId, Triage] | None = None,
        move: Sequence[CreatorId] = (),
        before: CreatorId | None = None,
        actor: str,
    ) -> CreatorList:
        """Raises as `stores.lists.change_list`."""
        change = partial(
            change_list,
            tenant_id=tenant_id,
            list_id=list_id,
            version=version,
            name=name,
            add=list(add),
            remove=list(remove),
            triage=triage,
            move=move,
            before=before,
            now=int(self._now()),
            actor=actor,
        )
        return await self._write(
            tenant_id, actor, change, lambda one: f"changed {one.name!r} ({list_id}): version {one.version}"
        )

    async def delete_list(self, tenant_id: str, list_id: str, version: int | None, actor: str) -> None:
        """Raises as `stores.lists.delete_list`."""
        change = partial(delete_list, tenant_id=tenant_id, list_id=list_id, version=version)
        await self._write(tenant_id, actor, change, lambda one: f"deleted {one.name!r} ({list_id})")

    async def hide(self, tenant_id: str, creator_id: CreatorId, actor: str) -> bool:
        """Returns whether it was shown. Raises NotFound and Conflict."""
        change = partial(hide, tenant_id=tenant_id, creator_id=creator_id, now=int(self._now()))
        return await self._write(tenant_id, actor, change, lambda _: f"hidden: {creator_id}")

    async def unhide(self, tenant_id: str, creator_id: CreatorId, actor: str) -> bool:
        """Returns whether it was hidden."""
        change = partial(unhide, tenant_id=tenant_id, creator_id=creator_id)
        return await self._write(tenant_id, actor, change, lambda _: f"shown again: {creator_id}")

    async def _write(self, tenant_id: str, actor: str, change: Callable[[Txn], T], detail: Callable[[T], str]) -> T:
        def noted(txn: Txn) -> T:
            get_tenant(txn, tenant_id)  # it may have been removed since the request came in
            result = change(txn)
            append_audit(txn, self._entry(tenant_id, actor, "lists", detail(result)))
            return result

        try:
            return await self._env.write(noted, synced=True)
        finally:
            self._writes += 1
            self._rows.pop(tenant_id, None)

    def _entry(self, tenant_id: str, actor: str, action: str, detail: str) -> AuditEvent:
        return AuditEvent(at=int(self._now()), tenant_id=tenant_id, actor=actor, action=action, detail=detail)


def _news(txn: Txn, tenant_id: str, list_id: str, version: int | None, who: str) -> ListNews:
    found = get_list(txn, tenant_id, list_id)
    last = visited(txn, found, who)
    news = since(txn, found, last.version if version is None else version)
    at = last.at if version is None or version == last.version else 0
    members = present_ids(txn, found.creator_ids)
    there = set(members)
    return ListNews(
        of=found,
        since=news,
        since_at=at,
        added=present_ids(txn, news.added),
        removed=[one for one in present_ids(txn, news.removed) if one not in there],
        triaged=present_ids(txn, news.triaged),
        entries=entries_of(txn, found),
        posted=[one for one in members[:POSTED_AMONG] if at and _last_content_at(txn, one) > at],
    )


def _last_content_at(txn: Txn, creator_id: CreatorId) -> int:
    creator = get_creator(txn, creator_id)
    return creator.last_content_at or 0 if creator is not None else 0


def _look(txn: Txn, tenant_id: str, lists: Sequence[str], kept: TenantRows | None) -> TenantRows:
    stamp = stamp_of(txn, tenant_id)
    if kept is None or kept.stamp != stamp:
        kept = TenantRows(stamp=stamp, looked_at=0.0, hidden=rows_of(txn, hidden_of(txn, tenant_id)))
    missing = {name: find_list(txn, tenant_id, name) for name in lists if name not in kept.lists}
    fresh = {name: rows_of(txn, one.creator_ids) if one else NOBODY for name, one in missing.items()}
    return msgspec.structs.replace(kept, lists={**kept.lists, **fresh})
