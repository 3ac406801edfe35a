"""Concurrent edits of what tenants note."""

from __future__ import annotations

from proto.errors import Stale


def check_version(what: str, present: int, stated: int | None, current: object) -> None:
    """``what``: as the sentence begins; ``stated``: on what the change stands, None for whatever there is; ``current``: what
    is stored. Raises Stale."""
    if stated is not None and stated != present:
        raise Stale(f"{what} has version {present} by now, not {stated}; read it again", current=current)
