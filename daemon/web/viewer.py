"""Who looks at a page, and what they may do there."""

from __future__ import annotations

import msgspec
from quart import abort

from daemon.web.tenant import actor, tenant_id

SEARCH, LISTS, ADMIN = "search", "lists", "admin"
SCOPES = frozenset({SEARCH, LISTS, ADMIN})


class Viewer(msgspec.Struct, kw_only=True, frozen=True):
    """``csrf_token`` stands in every form; ``keyed``: whether a key vouches for them, which what cannot be undone asks
    for."""

    tenant_id: str
    actor: str
    scopes: frozenset[str]
    csrf_token: str = ""
    keyed: bool = False

    def may(self, scope: str) -> bool:
        return scope in self.scopes


def viewer() -> Viewer:
    """Until requests carry keys, everybody on loopback is the one who runs this."""
    return Viewer(tenant_id=tenant_id(), actor=actor(), scopes=SCOPES)


def viewer_with(scope: str) -> Viewer:
    """Answers 403 to whoever has not the scope."""
    found = viewer()
    if not found.may(scope):
        abort(403, f"this page asks for a key with the scope {scope!r}")
    return found
