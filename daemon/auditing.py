"""The audit trail as it is read, checked, and kept no longer than it is to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
import trio

from proto.records import AuditEvent
from stores.audit import DROPPED_AT_ONCE, Verified, audit_after, drop_old_audit, latest_audit, verify_audit
from stores.env import Environment, Txn
from stores.tenants import check_ever_tenant

log = structlog.get_logger("audit")

HOUR_SECONDS = 3_600.0
DAY_SECONDS = 86_400


class AuditTrail:
    def __init__(self, env: Environment) -> None:
        self._env = env

    async def page(self, after: int | None, limit: int, tenant_id: str = "") -> list[tuple[int, AuditEvent]]:
        """Records behind a number, or the latest, oldest first; of a tenant, or all. Raises NotFound."""

        def look(txn: Txn) -> list[tuple[int, AuditEvent]]:
            if tenant_id:
                check_ever_tenant(txn, tenant_id)
            if after is None:
                return latest_audit(txn, limit, tenant_id)
            return audit_after(txn, after, limit, tenant_id)

        return await self._env.read(look)

    async def verify(self) -> Verified:
        return await self._env.read(verify_audit)


async def drop_audit_now_and_then(
    env: Environment, days: Callable[[], int], now: Callable[[], float], stop: trio.Event
) -> None:
    """Every hour; nothing while it is kept for ever."""
    while not stop.is_set():
        while days() and not stop.is_set():
            instant = int(now())
            dropped = await env.write(partial(drop_old_audit, before=instant - days() * DAY_SECONDS, now=instant))
            if dropped:
                log.info("the audit trail was cut", records=dropped, keep_days=days())
            if dropped < DROPPED_AT_ONCE:
                break
        with trio.move_on_after(HOUR_SECONDS):
            await stop.wait()
