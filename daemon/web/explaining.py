"""Why a creator is found, or is not: pure functions over what ranking and the store know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.interpreting import Interpretation, interpreted_ids
from daemon.marking import Marker, Span
from daemon.web.asking import Asked
from daemon.web.views import instant
from proto.api import ContentMatch, Contribution, Explanation, FailedCondition, Highlight
from proto.ids import Platform
from proto.records import Creator, CreatorAccount
from stores.catalog import ShownCreator
from stores.content import Title
from stores.filters import conditions_of, show_filter
from stores.keyword_match import EVERY_WORD
from stores.ports import RankedHit, Standing
from stores.text_lookup import LONG_WORDS

SHOWN_CHARS = 240
"""Of a text with words of the query: longer ones are cut around the first of them."""
BEFORE_CHARS = 60
BIO_CHARS = 2_000
NAMES = ("name", "handle")
Text = tuple[str, str, str | None]
"""Field, text and the account that it is of."""
CONTENT_FIELDS = {Platform.YOUTUBE: "yt_content", Platform.INSTAGRAM: "ig_captions"}


def explain_hit(
    hit: RankedHit,
    one: ShownCreator,
    words: Sequence[str],
    marker: Marker,
    filters: list[str],
    interpreted: list[str],
) -> Explanation:
    """``words``: of the query, folded; ``filters`` and ``interpreted`` are the same for all hits of a page."""
    met = set(words) if _holds_all(hit, words) else set()
    content = _content(one, marker, met) if words and one.titles else []
    look_closer = bool(one.titles) and not content
    highlights = _highlights(one.creator, one.accounts, marker, met, look_closer=look_closer) if words else []
    return Explanation(
        contributions=contributions(hit),
        matched_words=[word for word in words if word in met],
        exact=hit.exact,
        highlights=highlights,
        content=content,
        filters=filters,
        interpreted=interpreted,
    )


def _holds_all(hit: RankedHit, words: Sequence[str]) -> bool:
    """As its score says; that of a long query does not tell."""
    keyword = max((part.value for part in hit.addends if part.name == "keyword"), default=0.0)
    return keyword >= EVERY_WORD and len(words) < LONG_WORDS


def contributions(hit: RankedHit) -> list[Contribution]:
    return [
        Contribution(name=part.name, value=part.value, weight=part.weight, contribution=part.contribution)
        for part in hit.addends
    ]


def filters_of(asked: Asked) -> list[str]:
    """Conditions that every hit meets."""
    return [show_filter(one) for one in conditions_of(asked.query.filters)]


def words_interpreted(interpretation: Interpretation) -> list[str]:
    return [one.words for one in interpretation.shown if one.applied]


def failed_conditions(standing: Standing, interpretation: Interpretation) -> list[FailedCondition]:
    return [
        FailedCondition(filter=show_filter(one), interpreted=interpreted_ids(one, interpretation.shown))
        for one in standing.failed
    ]


def why(standing: Standing, interpretation: Interpretation, *, hidden: bool, rest: str) -> list[str]:
    """Where it stands, in plain words; never empty."""
    if standing.found and not hidden:
        return [f"it is found, at rank {standing.rank} of {standing.total}"]
    told = ["you hid this creator"] if hidden else []
    for one in failed_conditions(standing, interpretation):
        words = [part.words for part in interpretation.shown if part.id in one.interpreted]
        source = f", read from {' and '.join(repr(part) for part in words)}" if words else ""
        told.append(f"it does not meet the filter {one.filter}{source}")
    told += [_barring_told(part) for part in standing.barring]
    near = any(rank <= standing.candidates for rank in standing.vector_ranks.values())
    if rest.strip() and not standing.keyword_match and not near:
        told += [*_words_told(standing), *_vectors_told(standing)]
    return told or ["it is not found, though it meets every condition: it has changed a moment ago"]


def _barring_told(part: str) -> str:
    return (
        f"it has {part[1:]!r}, which is excluded"
        if part.startswith("-")
        else f"none of its texts has the phrase {part}"
    )


def _words_told(standing: Standing) -> list[str]:
    if not standing.missing_words:
        return []
    missing = ", ".join(repr(word) for word in standing.missing_words)
    return [f"none of its texts has {missing}"]


def _vectors_told(standing: Standing) -> list[str]:
    if not standing.vector_ranks:
        return ["it has no texts whose meaning can be compared, or meaning is not searched now"]
    field, rank = min(standing.vector_ranks.items(), key=lambda one: one[1])
    return [f"in meaning it is at best number {rank} (by {field}), and the first {standing.candidates} are taken"]


def _highlights(
    creator: Creator, accounts: Sequence[CreatorAccount], marker: Marker, met: set[str], *, look_closer: bool
) -> list[Highlight]:
    """``look_closer``: where it holds no word as it was typed, for one that was mistyped."""
    texts = _texts(creator, accounts)
    if marker.may_meet("\n".join([text for _, text, _ in texts])):
        return _marked(texts, marker, marker.marks, met)
    return _marked([one for one in texts if one[0] in NAMES], marker, marker.mistyped, met) if look_closer else []


def _marked(
    texts: Sequence[Text], marker: Marker, marks: Callable[[str], list[Span]], met: set[str]
) -> list[Highlight]:
    highlights: list[Highlight] = []
    seen: set[tuple[str, str]] = set()
    for field, text, account in texts:
        found = marks(text) if (field, text) not in seen else []
        seen.add((field, text))
        if found:
            met |= marker.words_at(text, found)
            shown, places = cut(text, found)
            highlights.append(Highlight(field=field, text=shown, marks=places, account=account))
    return highlights


def _texts(creator: Creator, accounts: Sequence[CreatorAccount]) -> list[Text]:
    texts: list[Text] = [("name", creator.name, None)]
    for account in accounts:
        key = account.key
        texts += [("name", account.display_name, key), ("handle", account.handle, key)]
        texts.append(("bio", account.bio[:BIO_CHARS], key))
    niches = " ".join([creator.primary_niche or "", *creator.secondary_niches]).strip()
    return [*texts, ("niche", niches, None), ("summary", creator.llm_summary, None)]


def _content(one: ShownCreator, marker: Marker, met: set[str]) -> list[ContentMatch]:
    best: dict[str, tuple[int, Title, Sequence[Span]]] = {}
    for account, titles in zip(one.accounts, one.titles, strict=True):
        field = CONTENT_FIELDS.get(account.platform, f"{account.platform.value}_content")
        for title in titles:
            found = marker.marks(title.title_or_caption)
            if found:
                words = marker.words_at(title.title_or_caption, found)
                met |= words
                if field not in best or len(words) > best[field][0]:
                    best[field] = (len(words), title, found)
    return [_content_match(field, title, found) for field, (_, title, found) in sorted(best.items())]


def _content_match(field: str, title: Title, found: Sequence[Span]) -> ContentMatch:
    shown, places = cut(title.title_or_caption, found)
    return ContentMatch(
        field=field,
        content_id=title.content_id,
        title=shown,
        marks=places,
        permalink=title.permalink,
        published_at=instant(title.published_at or None),
    )


def cut(text: str, found: Sequence[Span]) -> tuple[str, list[tuple[int, int]]]:
    """What surrounds the first mark, and the marks in it."""
    if len(text) <= SHOWN_CHARS:
        return text, list(found)
    first = max(found[0][0] - BEFORE_CHARS, 0)
    last = min(first + SHOWN_CHARS, len(text))
    inside = [(begin - first, end - first) for begin, end in found if first <= begin and end <= last]
    return text[first:last], inside
