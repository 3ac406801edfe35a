"""The port that every platform's adapter fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from proto.errors import Malformed
from proto.ids import AccountKey, Platform
from proto.records import Job, JobKind, Normalised, RawPage


class CallCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a kind takes, whatever it carries. Any one of the buckets may pay."""

    buckets: tuple[str, ...]
    units: int
    pace: str = "api"
    """Which of the lane's paces it keeps."""


class Fetched(msgspec.Struct, kw_only=True):
    """What a call brought: one page per account, and the jobs the platform knew nothing of."""

    pages: list[RawPage]
    missing: list[Job]
    found: list[AccountKey] = []
    """For searches and charts: the accounts that they name. Nothing else is kept of such a reply."""
    next_page_token: str = ""
    """For searches and charts: where they go on; empty at the end."""
    looked_up: dict[str, AccountKey] = {}
    """For look-ups: entity → account found."""
    notes: list[tuple[str, str]] = []
    """What the operator should see: (kind of event, detail)."""
    usage: float | None = None
    """How much of the paying bucket's window is used by the platform's own count, 0..1; None when it does not say."""


class PlatformAdapter(Protocol):
    """Speaks one platform's API."""

    @property
    def platform(self) -> Platform: ...

    def call_size(self, kind: JobKind) -> int:
        """How many jobs of a kind one call carries."""
        ...

    def cost(self, kind: JobKind, /) -> CallCost: ...

    async def perform(self, jobs: Sequence[Job], bucket: str) -> Fetched:
        """One call for jobs of one kind, paid by ``bucket``.

        Raises Throttled, Unavailable, AuthFailed, Rejected or Malformed (see proto/errors.py).
        """
        ...

    def normalise(self, page: RawPage) -> Normalised:
        """Pure: the same page always gives the same result. Raises Malformed and nothing else.

        An item of a list that cannot be read is refused by itself.
        """
        ...


Item = TypeVar("Item")
Read = TypeVar("Read")


def read_each(
    raws: Sequence[msgspec.Raw], kind: type[Item], read: Callable[[Item], Read | None]
) -> tuple[list[Read], list[tuple[str, str]]]:
    """Decodes and reads every item by itself: (what could be read, (place, reason) of what could not)."""
    good: list[Read] = []
    refused: list[tuple[str, str]] = []
    for number, raw in enumerate(raws):
        try:
            result = read(msgspec.json.decode(raw, type=kind))
        except (ValueError, ArithmeticError, Malformed, RecursionError) as error:
            refused.append((f"item {number}", f"{error or type(error).__name__}: {bytes(raw)[:200]!r}"))
            continue
        if result is not None:
            good.append(result)
    return good, refused
