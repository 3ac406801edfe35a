"""Who looks at a page, and what they may do there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from quart import abort, request

from daemon.web.guard import LOOPBACK_NAMES, host_name
from daemon.web.tenant import actor, tenant_id

PROXIED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""A request with one of these came from elsewhere, whatever its Host became on the way."""
ANYBODY, SEARCH, LISTS, ADMIN = "", "search", "lists", "admin"
SCOPES = frozenset({SEARCH, LISTS, ADMIN})

Handler = TypeVar("Handler", bound=Callable[..., Any])


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


def needs(scope: str) -> Callable[[Handler], Handler]:
    """Marks a handler of a page with the scope that it asks for; one without a mark asks for ``search``."""

    def mark(handler: Handler) -> Handler:
        handler.scope_needed = scope  # type: ignore[attr-defined]
        return handler

    return mark


def viewer() -> Viewer:
    """Until requests carry keys, whoever comes by a name of loopback is the one who runs this; others, who come through
    a proxy, are no operators."""
    here = host_name(request.headers.get("Host", "")) in LOOPBACK_NAMES
    here = here and not any(name in request.headers for name in PROXIED)
    return Viewer(tenant_id=tenant_id(), actor=actor(), scopes=SCOPES if here else SCOPES - {ADMIN})


def viewer_with(scope: str) -> Viewer:
    """Answers 403 to whoever has not the scope."""
    found = viewer()
    if not found.may(scope):
        abort(403, f"this page asks for a key with the scope {scope!r}")
    return found
