"""What happened: events for operators, and the audit trail of who did what."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proto.records import DEFAULT_TENANT, AuditEvent, Event, Tenant
from stores.audit import append_audit, latest_audit
from stores.codec import decode, encode, pack_id
from stores.env import Environment, Txn

EVENT_NUMBER = "event_number"
EVENTS_KEPT = 10_000


class Journal:
    """Appends events and audit rows. ``on_event`` is told each event once it is stored (counter, log line)."""

    def __init__(self, env: Environment, on_event: Callable[[Event], None]) -> None:
        self._env, self._on_event = env, on_event

    async def event(self, event: Event, *, synced: bool = False) -> None:
        """``synced`` for what must be told also while nothing is taken in."""
        try:
            await self._env.write(lambda txn: append_event(txn, event), synced=synced)
        finally:
            self._on_event(event)

    async def audit(self, entries: Sequence[AuditEvent], *, synced: bool = False) -> None:
        """``synced`` for what operators and tenants did: it must survive power loss."""

        def change(txn: Txn) -> None:
            for entry in entries:
                append_audit(txn, entry)

        await self._env.write(change, synced=synced)

    async def recent_events(self, limit: int = 20) -> list[Event]:
        """Newest first."""

        def look(txn: Txn) -> list[Event]:
            newest = txn.counter(EVENT_NUMBER)
            stored = (txn.get("events", pack_id(number)) for number in range(newest, max(newest - limit, 0), -1))
            return [decode(Event, value) for value in stored if value]

        return await self._env.read(look)

    async def recent_audit(self, limit: int = 20) -> list[AuditEvent]:
        """Newest first."""

        found = await self._env.read(lambda txn: latest_audit(txn, limit))
        return [entry for _, entry in reversed(found)]

    def ensure_default_tenant(self, now: int) -> None:
        """Every request and key carries a tenant; until more are made there is this one."""

        def change(txn: Txn) -> None:
            key = DEFAULT_TENANT.encode()
            if txn.get("tenants", key) is None:
                txn.put("tenants", key, encode(Tenant(tenant_id=DEFAULT_TENANT, name="default", created_at=now)))

        self._env.write_now(change)


def append_event(txn: Txn, event: Event) -> None:
    """The oldest row goes when the table is full."""
    number = txn.add(EVENT_NUMBER)
    txn.put("events", pack_id(number), encode(event))
    if number > EVENTS_KEPT:
        txn.delete("events", pack_id(number - EVENTS_KEPT))
