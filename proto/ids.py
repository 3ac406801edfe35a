"""Identifiers. An account key never changes; a creator id follows from its founding account's key."""

from __future__ import annotations

import enum
import hashlib
from typing import NewType


class Platform(enum.StrEnum):
    """A platform whose creators we follow."""

    YOUTUBE = "youtube"
    INSTAGRAM = "instagram"
    TIKTOK = "tiktok"
    X = "x"


AccountKey = NewType("AccountKey", str)
"""``"<platform>:<platform_user_id>"``, e.g. ``"youtube:UCxxxxxxxxxxxxxxxxxxxxxx"``."""

CreatorId = NewType("CreatorId", int)
"""63 bits; shown over HTTP as a decimal string, since JavaScript rounds integers above 2**53."""

RawId = NewType("RawId", str)
"""Hex of the BLAKE2b-128 hash of a stored page's platform, kind, account and body."""

Row = NewType("Row", int)
"""Dense local uint32 that stands for a creator in indexes and columns."""

"""Jobs and work carry ``hash(id) % 64``, so that several processes may share one queue later."""


def account_key(platform: Platform, platform_user_id: str) -> AccountKey:
    return AccountKey(f"{platform.value}:{platform_user_id}")


def split_account_key(key: AccountKey) -> tuple[Platform, str]:
    """Raises ValueError for a key without a known platform."""
    platform, _, user_id = key.partition(":")
    return Platform(platform), user_id


def creator_id_of(founder: AccountKey) -> CreatorId:
    """The id of a creator founded by this account: 63 bits of BLAKE2b, so order of arrival is irrelevant."""
    digest = hashlib.blake2b(founder.encode(), digest_size=8).digest()
    return CreatorId(int.from_bytes(digest, "big") >> 1)
