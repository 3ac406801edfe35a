"""What the texts of a page say besides their words, put into the fields of the schema: pure."""

from __future__ import annotations

import msgspec

from actors.extraction import emails, handles, hashtags, is_sponsored, links
from proto.ids import Platform
from proto.records import ContentItem, CreatorAccount, Normalised

BIO_CHARS, ITEM_CHARS = 10_000, 1_500
"""How much of a text is read: bios end before; of descriptions the rest is boilerplate, and reading costs 0.5 µs a
character and more."""
MAX_FOUND = 50
"""Links, addresses, accounts or tags of one text."""


def with_extracted(said: Normalised) -> Normalised:
    """The same page with links, addresses, accounts, tags and disclosures read from its texts."""
    account = None if said.account is None else _read_account(said.account)
    platform = said.account_key.partition(":")[0]
    return msgspec.structs.replace(
        said, account=account, items=[_read_item(item, platform=platform) for item in said.items]
    )


def _read_account(account: CreatorAccount) -> CreatorAccount:
    text = f"{account.website}\n{account.bio}"[:BIO_CHARS]
    own = (account.platform.value, account.handle.lower())
    named = [(one.platform, one.handle) for one in handles(text)]
    return msgspec.structs.replace(
        account,
        links=_first([*account.links, *links(text)]),
        emails=_first([*account.emails, *emails(text)]),
        named_accounts=_first([f"{platform}:{handle}" for platform, handle in named if (platform, handle) != own]),
    )


def _read_item(item: ContentItem, *, platform: str) -> ContentItem:
    """YouTube states tags of its own; elsewhere the hashtags are the tags. A listing holds no full texts."""
    if not item.detailed:
        return item
    text = f"{item.title_or_caption}\n{item.description}"[:ITEM_CHARS]
    tags = item.tags if platform == Platform.YOUTUBE else _first([*item.tags, *hashtags(text)])
    return msgspec.structs.replace(item, tags=tags, sponsored=item.sponsored or is_sponsored(text))


def _first(found: list[str]) -> list[str]:
    """At most `MAX_FOUND`, each once."""
    return list(dict.fromkeys(found))[:MAX_FOUND]
