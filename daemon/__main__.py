"""`python -m daemon`, and the console script."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from stores.huge_pages import asking

BEGUN_AGAIN = "POKEDEXD_BEGUN_AGAIN"
"""Set for a process that has: the system takes glibc's settings away from one with capabilities of its own."""


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        begin_again_in_huge_pages()
    from daemon.cli import main as command  # not before: it takes half a second

    command()


def begin_again_in_huge_pages() -> None:
    """As the same process, where its memory is to lie in pages of 2 MB and does not yet: four vector fields of a million load in
    13 instead of 43 s, and a save holds searches up for 0.2 instead of 0.5 s (tests/bench/NOTES.md)."""
    again = os.environ.pop(BEGUN_AGAIN, "")
    environ = asking()
    if environ is None or again or not sys.executable or "-" in sys.orig_argv[1:2]:  # the last reads itself from stdin
        return
    with suppress(OSError):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ | {BEGUN_AGAIN: "1"})  # noqa: S606


if __name__ == "__main__":
    main()
