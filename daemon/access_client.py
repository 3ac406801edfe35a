"""Keys, tenants and the audit trail of a running daemon, over its admin socket."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from daemon.admin_client import AdminClient
from daemon.web.access_views import TenantRemoved
from proto.api import AuditPage, AuditView, KeyMade, Keys, KeyView, Tenants, TenantView
from stores.audit import Verified

VERIFY_SECONDS = 3_600.0


class AccessClient(AdminClient):
    """Raises as `AdminClient`."""

    def keys(self, tenant: str) -> list[KeyView]:
        """Of a tenant; empty: all."""
        return msgspec.json.decode(self._call("GET", "/v1/keys?" + urlencode({"tenant": tenant})), type=Keys).keys

    def create_key(
        self,
        tenant: str,
        *,
        name: str,
        scopes: Sequence[str],
        lifetime_seconds: int | None,
        requests_per_minute: int,
    ) -> KeyMade:
        asked = {
            "tenant": tenant,
            "name": name,
            "scopes": scopes,
            "lifetime_seconds": lifetime_seconds,
            "requests_per_minute": requests_per_minute,
        }
        return msgspec.json.decode(self._call("POST", "/v1/keys", msgspec.json.encode(asked)), type=KeyMade)

    def revoke_key(self, key_id: str) -> KeyView:
        return msgspec.json.decode(self._call("DELETE", f"/v1/keys/{quote(key_id, safe='')}"), type=KeyView)

    def tenants(self) -> list[TenantView]:
        return msgspec.json.decode(self._call("GET", "/v1/tenants"), type=Tenants).tenants

    def create_tenant(self, tenant: str, name: str) -> TenantView:
        body = msgspec.json.encode({"tenant_id": tenant, "name": name})
        return msgspec.json.decode(self._call("POST", "/v1/tenants", body), type=TenantView)

    def remove_tenant(self, tenant: str) -> int:
        """Returns how many rows went."""
        found = self._call("DELETE", f"/v1/tenants/{quote(tenant, safe='')}")
        return msgspec.json.decode(found, type=TenantRemoved).rows

    def audit(self, limit: int, tenant: str, after: int | None = None) -> list[AuditView]:
        asked = {"limit": limit, "tenant": tenant} | ({} if after is None else {"after": after})
        return msgspec.json.decode(self._call("GET", "/v1/audit?" + urlencode(asked)), type=AuditPage).records

    def verify_audit(self) -> Verified:
        return msgspec.json.decode(self._call("GET", "/v1/audit/verify", None, VERIFY_SECONDS), type=Verified)
