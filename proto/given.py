"""Whole creators as a file gives them: one a line, as JSON, in the field names of the records.

What a file cannot know of this store (rows, due times, ids of creators) is left out, or ignored where it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proto.ids import AccountKey
from proto.records import ContentItem, CreatorAccount, Enrichment

SUBSTANCE = ("handle", "display_name", "bio", "followers")
UNSAID: Any = msgspec.UNSET
"""Stands there until the line has been read."""


class GivenItem(ContentItem, array_like=False, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A content item; its account is the one it stands in."""

    account_key: AccountKey = AccountKey("")


class GivenVector(msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """The vector of a text of an account: ``bio``, ``content.0`` or ``content.1``."""

    field: str
    model_id: str
    vector: bytes
    """Base64 of float16, little-endian."""
    input_hash: str = ""
    """Of the text, as the Embedder makes it; without it the text is embedded anew when the account is next read."""
    weight: float = 1.0
    """Share of this text in the account's content."""


class GivenAccount(CreatorAccount, array_like=False, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """An account with its content, in any order, and its vectors. Of one that is known a line has to say `SUBSTANCE`, be it
    that there is none: what it leaves out would be lost, so the account then stays as it is known."""

    handle: str = UNSAID
    display_name: str = UNSAID
    bio: str = UNSAID
    followers: int | None = UNSAID
    items: list[GivenItem] = []
    vectors: list[GivenVector] = []


class GivenEnrichment(Enrichment, array_like=False, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """Who said what the creator is about."""


class GivenCreator(msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One line. All accounts are one person's; the first one founds the creator."""

    accounts: list[GivenAccount]
    primary_niche: str | None = None
    secondary_niches: list[str] = []
    content_style: str | None = None
    llm_summary: str = ""
    enrichment: GivenEnrichment | None = None
    """None, with a niche: the file said so."""
