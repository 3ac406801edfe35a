"""Who looks at a page, and what they may do there."""

from __future__ import annotations

import msgspec
from quart import abort, request

from daemon.web.guard import LOOPBACK_NAMES, host_name
from daemon.web.tenant import identity
from stores.audit import Actor

PROXIED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""A request with one of these came from elsewhere, whatever its Host became on the way."""
LISTS, EXPORT, ADMIN = "lists", "export", "admin"


class Viewer(msgspec.Struct, kw_only=True, frozen=True):
    """``csrf_token`` stands in every form; ``keyed``: whether a key vouches for them, which what cannot be undone asks
    for."""

    tenant_id: str
    actor: str
    scopes: frozenset[str]
    csrf_token: str = ""
    keyed: bool = False

    @property
    def by(self) -> Actor:
        """For the audit trail of what operators do."""
        return Actor(tenant_id=self.tenant_id, actor=self.actor)

    def may(self, scope: str) -> bool:
        return scope in self.scopes


def viewer() -> Viewer:
    """As the request was authorised. Where nobody is asked for a key, whoever comes by a name of loopback is the one who
    runs this; others, who come through a proxy, are no operators."""
    known = identity()
    here = host_name(request.headers.get("Host", "")) in LOOPBACK_NAMES
    here = here and not any(name in request.headers for name in PROXIED)
    return Viewer(
        tenant_id=known.tenant_id,
        actor=known.actor,
        scopes=known.scopes if here or not known.is_open else known.scopes - {ADMIN},
        csrf_token=known.csrf_token,
        keyed=not known.is_open and bool(known.scopes),
    )


def viewer_with(scope: str) -> Viewer:
    """Answers 403 to whoever has not the scope."""
    found = viewer()
    if not found.may(scope):
        abort(403, f"this page asks for a key with the scope {scope!r}")
    return found
