"""The admin side of who may do what: keys, tenants."""

from __future__ import annotations

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.access import Access
from daemon.auditing import AuditTrail
from daemon.web.access_views import TenantRemoved, audit_view, key_view, tenant_view
from daemon.web.params import decode_body, only_known, whole_number
from daemon.web.replies import json_response
from proto.api import AuditPage, KeyMade, Keys, Tenants
from proto.records import DEFAULT_TENANT
from stores.audit import OPERATOR
from stores.keys import DEFAULT_SCOPES

PAGE, MOST = 20, 1_000
"""Records of the audit trail."""


class KeyCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    tenant: str = DEFAULT_TENANT
    name: str = ""
    scopes: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_SCOPES))
    lifetime_seconds: int | None = None
    requests_per_minute: int = 0


class TenantCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    tenant_id: str
    name: str = ""


def register(app: QuartTrio, access: Access, trail: AuditTrail) -> None:
    @app.get("/v1/keys")
    async def keys() -> Response:
        only_known(request.args, ("tenant",))
        found = await access.keys(request.args.get("tenant", ""))
        return json_response(Keys(keys=[key_view(one) for one in found]))

    @app.post("/v1/keys")
    async def create_key() -> Response:
        """The answer has the key itself, which is never shown again. Raises NotFound for a tenant that is none."""
        asked = decode_body(await request.get_data(), KeyCreate)
        only_known(request.args, ())
        key, made = await access.create_key(
            asked.tenant,
            name=asked.name,
            scopes=asked.scopes,
            lifetime_seconds=asked.lifetime_seconds,
            requests_per_minute=asked.requests_per_minute,
            actor=OPERATOR.actor,
        )
        answer = json_response(KeyMade(key=key, of=key_view(made)), 201)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.delete("/v1/keys/<key_id>")
    async def revoke_key(key_id: str) -> Response:
        """By its id, or a name that only one has. Raises NotFound and Conflict."""
        only_known(request.args, ())
        return json_response(key_view(await access.revoke_key(key_id, OPERATOR.actor)))

    @app.get("/v1/tenants")
    async def tenants() -> Response:
        only_known(request.args, ())
        return json_response(Tenants(tenants=[tenant_view(one) for one in await access.all_tenants()]))

    @app.post("/v1/tenants")
    async def create_tenant() -> Response:
        """Raises Malformed and Conflict."""
        asked = decode_body(await request.get_data(), TenantCreate)
        only_known(request.args, ())
        return json_response(tenant_view(await access.create_tenant(asked.tenant_id, asked.name, OPERATOR.actor)), 201)

    @app.delete("/v1/tenants/<tenant_id>")
    async def remove_tenant(tenant_id: str) -> Response:
        """With its keys, lists, notes and searches. Raises NotFound and Conflict."""
        only_known(request.args, ())
        rows = await access.remove_tenant(tenant_id, OPERATOR.actor)
        return json_response(TenantRemoved(tenant_id=tenant_id, rows=rows))

    register_trail(app, trail)


def register_trail(app: QuartTrio, trail: AuditTrail) -> None:
    @app.get("/v1/audit")
    async def audit() -> Response:
        """Records behind a number, or the latest; of a tenant, or all."""
        only_known(request.args, ("after", "limit", "tenant"))
        limit = whole_number(request.args, "limit", PAGE, 1, MOST)
        after = whole_number(request.args, "after", 0, 0, 1 << 53) if "after" in request.args else None
        found = await trail.page(after, limit, request.args.get("tenant", ""))
        return json_response(AuditPage(records=[audit_view(*one) for one in found]))

    @app.get("/v1/audit/verify")
    async def verify() -> Response:
        only_known(request.args, ())
        return json_response(await trail.verify())
