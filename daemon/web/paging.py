"""Pages of what a tenant noted: where one begins, and where the next."""

from __future__ import annotations

from collections.abc import Sequence

from quart import request

from daemon.web.params import MAX_LIMIT, decode_cursor, encode_cursor, one_each, only_known, whole_number

LIMIT = 50


def asked_place(of: str, more: Sequence[str] = ()) -> tuple[int, int]:
    """Offset and limit as the request states them, of a listing by that name. ``more``: what else it may state. Raises
    BadParameter."""
    only_known(request.args, ("cursor", "limit", *more))
    one_each(("cursor", "limit", *more))
    limit = whole_number(request.args, "limit", LIMIT, 1, MAX_LIMIT)
    cursor = request.args.get("cursor", "")
    return decode_cursor(cursor, of).offset if cursor else 0, limit


def next_cursor(of: str, following: int, total: int) -> str | None:
    """None behind the last page."""
    return encode_cursor(following, of) if following < total else None
