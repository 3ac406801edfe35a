"""A creator → what the indexes hold of it: pure functions."""

from __future__ import annotations

from models.taxonomy import Taxonomy
from proto.records import Creator
from stores.catalog import CreatorBundle
from stores.ports import TextDocument

TITLES_CHARS = 2_000
BIO_CHARS = 3_000


def text_document(bundle: CreatorBundle, niche_names: str, prominence: float = 0.0) -> TextDocument:
    """``niche_names``: the words that the creator's labels go by, for keyword search; ``prominence``: its quality."""
    creator = bundle.creator
    accounts = [part.account for part in bundle.accounts]
    titles = " \n".join(item.title_or_caption for part in bundle.accounts for item in part.items)
    handles = [account.handle for account in accounts if account.handle]
    return TextDocument(
        row=creator.row,
        creator_id=creator.creator_id,
        name=creator.name,
        names=tuple(dict.fromkeys(account.display_name for account in accounts if account.display_name)),
        handles=tuple(dict.fromkeys(handles + [account.platform_user_id for account in accounts])),
        bio=" \n".join(account.bio for account in accounts)[:BIO_CHARS],
        niche=niche_names,
        summary=creator.llm_summary,
        titles=titles[:TITLES_CHARS],
        prominence=prominence,
    )


def niche_words(creator: Creator, taxonomy: Taxonomy) -> str:
    """The names of a creator's niches and style, for keyword search."""
    niches = [creator.primary_niche, *creator.secondary_niches]
    return " ".join([taxonomy.name_of(niche) for niche in niches if niche] + [creator.content_style or ""]).strip()
