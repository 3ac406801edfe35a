"""What a line says of an account or an item that is known: it alone is news, all else stays. Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

from proto.ids import AccountKey, Platform
from proto.records import ContentItem, CreatorAccount

Known = TypeVar("Known", CreatorAccount, ContentItem)

_UNSAID_ACCOUNT = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id="")
_UNSAID_ITEM = ContentItem(content_id="", account_key=AccountKey(""))


def completed_account(said: CreatorAccount, known: CreatorAccount) -> CreatorAccount:
    """A step is of the followers that it came with."""
    return _completed(said, known, _UNSAID_ACCOUNT, but=() if said.followers is None else ("followers_step",))


def completed_item(said: ContentItem, known: ContentItem) -> ContentItem:
    """Counts that it says were read with the line, also where the rest is older."""
    whole = _completed(said, known, _UNSAID_ITEM, but=("account_key", "counted_at"))
    counted = any(count is not None for count in (said.views, said.likes, said.comments))
    return msgspec.structs.replace(whole, counted_at=max(said.counted_at, said.fetched_at)) if counted else whole


def _completed(said: Known, known: Known, unsaid: Known, but: Collection[str]) -> Known:
    """A field that is as it is where nobody says anything is as it is known; a line cannot blank one. What stays was not read
    now, and the whole is as old as the oldest of it: platforms say how long that may be kept."""
    stays = {
        name: getattr(known, name)
        for name in said.__struct_fields__
        if name not in but and getattr(said, name) == getattr(unsaid, name)
    }
    if any(value != getattr(unsaid, name) for name, value in stays.items()):
        stays["fetched_at"] = min(said.fetched_at, known.fetched_at)
    return msgspec.structs.replace(said, **stays)
