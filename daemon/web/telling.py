"""What a page tells once of what was just done: a form leads on to a page, and a cookie of that one step says what to
tell there. It names a sentence of ours, so that no address and no cookie puts words on a page."""

from __future__ import annotations

from collections.abc import Mapping

from quart import Response, redirect

COOKIE = "told"
SECONDS = 20
"""For who never loads the page that follows."""
TOLD: Mapping[str, str] = {
    "search-saved": "The search is saved. It stands on the start page.",
    "search-deleted": "The saved search is deleted.",
    "list-made": "The list is made.",
    "listed": "Those picked are on this list.",
    "taken-off": "Taken off the list.",
    "renamed": "The list has its new name.",
    "list-deleted": "The list is deleted.",
    "watching": "From now on this page tells what has changed since you were here last.",
    "note-saved": "The note is saved.",
    "hidden": "Searches leave this creator out from now on.",
    "shown": "Searches show this creator again.",
    "split": "The account is not this creator's any more.",
    "wrong-name": "Nothing was forgotten: type the name as it stands on this page.",
}
BAD = ("wrong-name",)


def go(path: str, told: str = "") -> Response:
    """To a page of ours, by GET. ``told``: one of `TOLD`."""
    answer: Response = redirect(path, 303)  # type: ignore[assignment]
    if told:
        answer.set_cookie(COOKIE, told, max_age=SECONDS, httponly=True, samesite="Lax")
    return answer
