"""Keys, tenants and the audit trail as answers show them; the commands show the same, without a web server."""

from __future__ import annotations

import msgspec

from daemon.web.views import instant
from proto.api import AuditView, KeyView, TenantView
from proto.records import ApiKey, AuditEvent, Tenant
from stores.audit import hash_of


class TenantRemoved(msgspec.Struct, kw_only=True):
    tenant_id: str
    rows: int


def audit_view(number: int, entry: AuditEvent) -> AuditView:
    return AuditView(
        number=number,
        at=instant(entry.at),
        tenant_id=entry.tenant_id,
        actor=entry.actor,
        action=entry.action,
        detail=entry.detail,
        request_id=entry.request_id,
        hash=hash_of(number, entry) if entry.previous else "",
    )


def key_view(key: ApiKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        tenant_id=key.tenant_id,
        name=key.name,
        scopes=key.scopes,
        requests_per_minute=key.requests_per_minute,
        created_at=instant(key.created_at or None),
        expires_at=instant(key.expires_at),
        last_used_at=instant(key.last_used_at),
        revoked_at=instant(key.revoked_at or None),
    )


def tenant_view(one: Tenant) -> TenantView:
    return TenantView(tenant_id=one.tenant_id, name=one.name, created_at=instant(one.created_at or None))
