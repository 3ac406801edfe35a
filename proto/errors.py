"""The kinds of failure that callers tell apart. Anything else is a bug and is let out."""

from __future__ import annotations


class PokedexError(Exception):
    """Base of every expected failure."""


class NotFound(PokedexError):
    """The thing asked for does not exist, here or at the platform."""


class Malformed(PokedexError):
    """A payload, file or request that does not have the shape it must have. The text names the place."""


class Unreadable(Malformed):
    """A record of the store that has not the shape it must have: ``database`` and ``key``, as text, say which."""

    def __init__(self, text: str, *, database: str, key: str) -> None:
        super().__init__(f"{database} {key}: {text}")
        self.database, self.key, self.reason = database, key, text


class Conflict(PokedexError):
    """What is to be changed is not as whoever asked believes it to be. The text says how it is."""


class Stale(Conflict):
    """Somebody else has changed it since it was read: ``current`` is how it is stored now."""

    def __init__(self, text: str, *, current: object) -> None:
        super().__init__(text)
        self.current = current


class Unavailable(PokedexError):
    """A passing fault: network, 5xx, timeout. Worth a retry with backoff."""


class StoreDamaged(Unavailable):
    """The store's file is not as it was written. The text names the place and the remedy."""


class DiskFull(Unavailable):
    """The disk, a quota or the store's map has no room for what is to be written. Nothing of it was."""


class Throttled(PokedexError):
    """The platform says "not now".

    ``daily`` closes the bucket until its reset; otherwise ``retry_after_seconds`` is how long to hold back: a minute
    or more closes the bucket for so long, less slows the lane.
    """

    def __init__(self, text: str, *, bucket: str, daily: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.bucket, self.daily, self.retry_after_seconds = bucket, daily, retry_after_seconds


class AuthFailed(PokedexError):
    """A key or token is refused: the budget ``bucket`` that it stands for is disabled until the operator acts."""

    def __init__(self, text: str, *, bucket: str) -> None:
        super().__init__(text)
        self.bucket = bucket


class Rejected(PokedexError):
    """A hard 4xx: the same request will never succeed. Goes to the dead letters with ``reason``."""

    def __init__(self, text: str, *, reason: str, status: int) -> None:
        super().__init__(text)
        self.reason, self.status = reason, status


class IndexBroken(PokedexError):
    """An index file is absent, stale or damaged. It is rebuilt from the store, never repaired."""


class StoreBusy(PokedexError):
    """Another process holds the data directory."""


class ConfigError(PokedexError):
    """A setting is wrong. The text names file, key, what was expected and a near match."""


class ModelMissing(PokedexError):
    """The embedding model's files are not there or not usable. The text names the remedy."""


class FilterError(Malformed):
    """A filter that cannot be understood. The text names the place and, where there is one, a near match.

    ``column``: the column it is about, as written; ``position``: of the character in the string form, from 1;
    ``pointer``: RFC 6901, into the JSON form.
    """

    def __init__(self, text: str, *, column: str = "", position: int | None = None, pointer: str | None = None) -> None:
        super().__init__(text)
        self.column, self.position, self.pointer = column, position, pointer
