"""Records of identity resolution: what is known of each account, of pairs of accounts, and what operators decided."""

from __future__ import annotations

import enum

from proto.ids import AccountKey
from proto.records import Creator, IdentityLink, Record

BlockKey = bytes
"""Kind (1 byte) and BLAKE2b-64 of a value: what other accounts' texts say stands in no index by its name."""

Name = bytes
"""An account as texts name it: its platform's number (1 byte) and BLAKE2b-64 of the handle or id."""


class IdentityFacts(Record):
    """What of an account may tell that another one is the same person's."""

    account_key: AccountKey
    handle: str = ""
    """As ASCII letters and digits; empty when it has none, or none is known."""
    former: list[str] = []
    """Handles that it had before, likewise."""
    names: list[str] = []
    """The display name, and its Latin part, likewise and without blanks."""
    name: list[str] = []
    """Words of the display name in ASCII, in order."""
    aliases: list[str] = []
    """Handles that the account states of itself elsewhere, and its website's name; as in ``names``."""
    markers: list[str] = []
    """Words that tell an account about somebody, such as ``fan``, from somebody's own."""
    owned: list[Name] = []
    """How others may name it."""
    bio_named: list[Name] = []
    """Accounts that the bio names, in order."""
    content_named: list[tuple[Name, int, int]] = []
    """Accounts that the content names: how many items do, and in how many it is the first of its platform."""
    sites: list[BlockKey] = []
    emails: list[BlockKey] = []
    bio: BlockKey | None = None
    """Of the bio's words, when there are enough of them to tell it from others."""
    language: str | None = None
    country: str | None = None
    keys: list[BlockKey] = []
    """The blocks that it stands in."""
    vector_hash: str = ""
    """Input of the stored bio vector; empty when there is none."""
    left: list[Name] = []
    """Of ``owned``, what it was called before: others may be called so now."""
    avatar: bytes = b""
    """Perceptual hash of its picture (8 bytes); empty where pictures are not looked at, or it tells nothing."""


class Standing(enum.StrEnum):
    """What became of a pair."""

    MERGED = "merged"
    REVIEW = "review"
    REJECTED = "rejected"
    """An operator said that these are two."""


class IdentityPair(Record):
    """Two accounts that may be one person's, with what speaks for and against it. ``first`` < ``second``."""

    first: AccountKey
    second: AccountKey
    score: float
    """Log-odds (natural logarithm)."""
    evidence: list[tuple[str, float]] = []
    """``kind:level`` and its log-odds; they and ``prior`` add up to the score."""
    explicit: bool = False
    """Both name each other: the only rule by which two accounts of one platform may be one person's."""
    standing: Standing = Standing.REVIEW
    why: str = ""
    """Why a pair that scores enough for a merge waits for a review."""


class IdentityDecision(Record):
    """An operator's word on a pair, which outranks every rule. ``first`` < ``second``."""

    first: AccountKey
    second: AccountKey
    same: bool
    at: int
    actor: str = "operator"


class FormerCreator(Record):
    """A creator as it was with certain accounts, so that it can be put back when it has the same ones again."""

    creator: Creator
    account_keys: list[AccountKey]
    read_at: int
    """When the oldest of what it was computed of was read."""
    links: list[IdentityLink] = []
    """Why each account belonged to it, and since when."""
