"""The ten facts that stages tell each other.

A message carries ids; the receiving stage loads the current state. The tag is the class name and is stored with
unfinished work, so renaming a message is a schema change.
"""

from __future__ import annotations

import enum

import msgspec

from proto.ids import AccountKey, CreatorId, Platform, RawId, Row
from proto.records import Job


class Stage(enum.StrEnum):
    """The stages in the order of the path of one refresh."""

    SCHEDULER = "scheduler"
    LIMITER = "limiter"
    FETCHER = "fetcher"
    NORMALISER = "normaliser"
    EMBEDDER = "embedder"
    IDENTITY = "identity"
    AGGREGATOR = "aggregator"
    ENRICHER = "enricher"
    INDEXER = "indexer"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A fact one actor tells the next."""


class RefreshDue(Message, frozen=True, kw_only=True, tag=True):
    """These jobs of one platform and kind are due and leased. At most what one call can carry."""

    platform: Platform
    jobs: tuple[Job, ...]


class FetchPermitted(Message, frozen=True, kw_only=True, tag=True):
    """The ledger has reserved what the call for these jobs costs."""

    platform: Platform
    jobs: tuple[Job, ...]
    bucket: str


class WorkMessage(Message, frozen=True, kw_only=True, tag=True):
    """A message that stands for a stored work item; ``revision`` tells it from a later one for the same entity."""

    revision: int = 0

    @property
    def entity(self) -> str:
        raise NotImplementedError  # pragma: no cover - every concrete message names its entity

    @property
    def stage(self) -> Stage:
        return STAGE_OF[type(self)]


class RawStored(WorkMessage, frozen=True, kw_only=True, tag=True):
    """A platform page is in the raw store and may be normalised."""

    raw_id: RawId
    platform: Platform

    @property
    def entity(self) -> str:
        return self.raw_id


class AccountUpserted(WorkMessage, frozen=True, kw_only=True, tag=True):
    """An account or its content changed in the catalogue. ``put_off``: it was handed on with the vectors it had, since
    the model did not answer, and is to be embedded yet."""

    account_key: AccountKey
    put_off: bool = False

    @property
    def entity(self) -> str:
        return self.account_key


class AccountEmbedded(WorkMessage, frozen=True, kw_only=True, tag=True):
    """The account's vectors match its texts."""

    account_key: AccountKey

    @property
    def entity(self) -> str:
        return self.account_key


class AccountGiven(WorkMessage, frozen=True, kw_only=True, tag=True):
    """The account came with its creator, all computed; who else it may belong with is still to be looked at."""

    account_key: AccountKey

    @property
    def entity(self) -> str:
        return self.account_key


class CreatorResolved(WorkMessage, frozen=True, kw_only=True, tag=True):
    """It is decided which creator the account belongs to."""

    creator_id: CreatorId

    @property
    def entity(self) -> str:
        return str(self.creator_id)


class CreatorAggregated(WorkMessage, frozen=True, kw_only=True, tag=True):
    """The creator's embeddings and statistics match its accounts."""

    creator_id: CreatorId

    @property
    def entity(self) -> str:
        return str(self.creator_id)


class CreatorEnriched(WorkMessage, frozen=True, kw_only=True, tag=True):
    """The creator's labels match its content; it may be indexed."""

    creator_id: CreatorId

    @property
    def entity(self) -> str:
        return str(self.creator_id)


class CreatorRetired(WorkMessage, frozen=True, kw_only=True, tag=True):
    """Another creator has its accounts now; no search may return it any more."""

    creator_id: CreatorId
    row: Row

    @property
    def entity(self) -> str:
        return str(self.creator_id)


AnyWork = (
    RawStored
    | AccountUpserted
    | AccountEmbedded
    | AccountGiven
    | CreatorResolved
    | CreatorAggregated
    | CreatorEnriched
    | CreatorRetired
)

STAGE_OF: dict[type[WorkMessage], Stage] = {
    RawStored: Stage.NORMALISER,
    AccountUpserted: Stage.EMBEDDER,
    AccountEmbedded: Stage.IDENTITY,
    AccountGiven: Stage.IDENTITY,
    CreatorResolved: Stage.AGGREGATOR,
    CreatorAggregated: Stage.ENRICHER,
    CreatorEnriched: Stage.INDEXER,
    CreatorRetired: Stage.INDEXER,
}
"""Which stage a work item waits for."""
