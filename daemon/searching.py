"""What the listeners need to answer searches, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial

from daemon.brief_words import brief_vocabulary
from daemon.config import Config
from daemon.naming import find_creator
from daemon.tenancy import Tenancy
from daemon.web.services import QueryNote, SearchServices, Seed
from models.taxonomy import Taxonomy
from proto.errors import NotFound
from proto.ids import CreatorId, Row
from stores.briefs import parse_brief
from stores.catalog import Catalog, ShownCreator, get_creator
from stores.columns import Columns
from stores.env import Environment, Txn
from stores.filter_columns import Vocabulary
from stores.ports import SearchPage, SearchQuery, Suggestion
from stores.query_text import parse_query
from stores.searcher import Searcher

BRIEFS_KEPT = 2_000
"""Recent queries whose reading is kept; it takes a millisecond or two."""


def search_services(
    config: Callable[[], Config],
    *,
    searcher: Searcher,
    env: Environment,
    catalog: Catalog,
    columns: Columns,
    taxonomy: Taxonomy,
    tenancy: Tenancy,
    suggest: Callable[[str, int], Awaitable[Sequence[Suggestion]]],
    note_query: Callable[[QueryNote], None],
    observe: Callable[[float], None],
) -> SearchServices:
    words = brief_vocabulary(taxonomy)
    read_brief = lru_cache(BRIEFS_KEPT)(partial(parse_brief, vocabulary=words))

    def creator_of_row(row: Row) -> CreatorId | None:
        known = row < len(columns.present) and bool(columns.present[row])
        return CreatorId(int(columns.creator_id[row])) if known else None

    def features() -> int:
        search = config().search
        return search.query_log_candidates if search.query_log else 0

    async def search_shown(query: SearchQuery, titles: int) -> tuple[SearchPage, list[ShownCreator | None]]:
        def show(page: SearchPage) -> tuple[SearchPage, list[ShownCreator | None]]:
            ids = [hit.creator_id for hit in page.hits]
            return page, catalog.shown_now(ids, titles if page.words else 0) if ids else []

        return await searcher.search_and(query, show)

    return SearchServices(
        search=searcher.search,
        search_shown=search_shown,
        standing=searcher.standing,
        is_known=searcher.is_known,
        read_brief=read_brief,
        words=_words,
        suggest=suggest,
        creator_of_row=creator_of_row,
        vocabulary=vocabulary_of(taxonomy),
        niches={niche.id: niche.name for niche in taxonomy.niches},
        subjects={part.id: part.name for niche in taxonomy.niches for part in niche.secondary},
        styles={style.id: style.name for style in taxonomy.styles},
        seeds=lambda references: env.read(partial(find_seeds, references=references)),
        shown=catalog.shown,
        tenancy=tenancy,
        features=features,
        note_query=note_query,
        observe=observe,
        ids_only=lambda: config().platforms.youtube.derived_data == "denied",
    )


def vocabulary_of(taxonomy: Taxonomy) -> Vocabulary:
    """Values that filters may name."""
    niches = [niche.id for niche in taxonomy.niches]
    narrower = [part.id for niche in taxonomy.niches for part in niche.secondary]
    return {
        "niche": frozenset(niches),
        "secondary_niche": frozenset(narrower),
        "any_niche": frozenset([*niches, *narrower]),
        "style": frozenset(style.id for style in taxonomy.styles),
    }


def find_seeds(txn: Txn, references: Sequence[str]) -> list[Seed]:
    """Creators by their ids, or by any of their accounts. Raises NotFound, and Malformed for what names nobody."""
    found: list[Seed] = []
    for reference in references:
        creator_id = find_creator(txn, reference)
        creator = get_creator(txn, creator_id) if creator_id is not None else None
        if creator is None:
            raise NotFound(f"no creator {reference.strip()[:100]!r}")
        found.append(Seed(creator_id=creator.creator_id, row=creator.row))
    return found


def _words(text: str) -> tuple[str, ...]:
    """As keyword search takes them: those of phrases first."""
    parsed = parse_query(text)
    return tuple(dict.fromkeys([*(word for phrase in parsed.phrases for word in phrase), *parsed.words]))
