"""The port that every platform's adapter fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from proto.ids import AccountKey, Platform
from proto.records import Job, JobKind, Normalised, RawPage


class CallCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a kind takes, whatever it carries."""

    bucket: str
    units: int


class Fetched(msgspec.Struct, kw_only=True):
    """What a call brought: one page per account, and the jobs the platform knew nothing of."""

    pages: list[RawPage]
    missing: list[Job]
    looked_up: dict[str, AccountKey] = {}
    """For look-ups: entity → account found."""


class PlatformAdapter(Protocol):
    """Speaks one platform's API."""

    @property
    def platform(self) -> Platform: ...

    def call_size(self, kind: JobKind) -> int:
        """How many jobs of a kind one call carries."""
        ...

    def cost(self, kind: JobKind, /) -> CallCost: ...

    async def perform(self, jobs: Sequence[Job]) -> Fetched:
        """One call for jobs of one kind.

        Raises Throttled, Unavailable, AuthFailed, Rejected or Malformed (see proto/errors.py).
        """
        ...

    def normalise(self, page: RawPage) -> Normalised:
        """Pure: the same page always gives the same result. Raises Malformed and nothing else."""
        ...
