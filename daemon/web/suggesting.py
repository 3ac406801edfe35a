"""What may be meant by what has been typed so far: names, handles and niches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from daemon.web.services import SearchServices
from proto.api import Suggestions, SuggestionView
from stores.analysis import fold

NICHES_SHOWN = 3


async def suggestions(services: SearchServices, prefix: str, limit: int, tenant_id: str) -> Suggestions:
    """Niches first, then creators, the best known first; those that the tenant hid are left out."""
    if not prefix.strip():
        return Suggestions(suggestions=[])
    rows = await services.tenancy.rows(tenant_id)
    hidden = set(rows.hidden.tolist())
    niches = list(_niches(services.niches, prefix))[:NICHES_SHOWN]
    found = [
        SuggestionView(kind=one.kind, text=one.text, creator_id=str(creator_id))
        for one in await services.suggest(prefix, 2 * limit)
        if one.row not in hidden and (creator_id := services.creator_of_row(one.row)) is not None
    ]
    return Suggestions(suggestions=[*niches, *found][:limit])


def _niches(names: Mapping[str, str], prefix: str) -> Iterator[SuggestionView]:
    wanted = fold(prefix).strip()
    for niche, name in names.items():
        words = fold(name).split()
        if any(" ".join(words[at:]).startswith(wanted) for at in range(len(words))):
            yield SuggestionView(kind="niche", text=niche, creator_id=None)
