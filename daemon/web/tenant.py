"""Whose request this is."""

from __future__ import annotations

from proto.records import DEFAULT_TENANT

ANONYMOUS = "anonymous"


def tenant_id() -> str:
    """Until requests carry keys, everybody is of the one tenant."""
    return DEFAULT_TENANT


def actor() -> str:
    """For the audit trail."""
    return ANONYMOUS
