"""Whose this request is."""

from __future__ import annotations

from quart import g

from daemon.access import OPEN, Identity


def identity() -> Identity:
    """As the request was authorised; everybody is of the one tenant where nobody is asked."""
    found: Identity = g.get("identity", OPEN)
    return found


def tenant_id() -> str:
    return identity().tenant_id


def actor() -> str:
    """For the audit trail."""
    return identity().actor
