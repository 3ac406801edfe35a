"""A brief's words → filters: "brazilian gaming youtubers with 10-50k subscribers". Pure; the words themselves are data.

Precision comes first, since a filter that was not meant hides creators and a word that was not understood is still
searched for. So nothing is applied unless the text shows that it is a brief and not a name:

- *Strong* signs are a band of followers or another measure, a noun for creators (in English the plural: "channels", not
  "channel"), how often they post, "with e-mail". With one of them everything that is understood is applied, but where a
  place is a subject ("Italian food", "history of Rome").
- Without one, only what a small word marks as meant is: "in Brazil", "auf Deutsch", "not on Instagram"; and that only
  in a text that does not look like a title (all longer words capitalised, or no word besides).
- A niche or a style alone, or with another one only, is a boost: its words stay in the text that is searched for. It
  becomes a filter beside any other filter, unless a word stands beside it that changes its meaning ("science fiction").
- What is named without being applied is a boost of low confidence, and its words stay as well.
"""

from __future__ import annotations

import string

import msgspec

from stores.analysis import MAX_QUERY_CHARS
from stores.briefs_mentions import BESIDE_HEAD, Mention, Scene, beside_head, mentions
from stores.briefs_numbers import Measure, measures
from stores.briefs_text import Part, language_of, looks_like_a_title, parts_of
from stores.briefs_words import BriefVocabulary, Term
from stores.filter_ast import And, In, Node, Not, Range
from stores.filter_columns import TRUE

__all__ = ["Brief", "BriefVocabulary", "Interpretation", "Term", "parse_brief"]

PLATFORMS = ("youtube", "instagram", "tiktok", "x")
PLATFORM_NAMES = {"youtube": "YouTube", "instagram": "Instagram", "tiktok": "TikTok", "x": "X"}
COUNTED = frozenset(("youtube", "instagram"))
"""Platforms whose followers have a column of their own."""
COLUMN_OF = {
    "platform": "platform",
    "place": "country",
    "language": "language",
    "niche": "any_niche",
    "subject": "any_niche",
    "style": "style",
    "tier": "tier",
    "activity": "activity",
}
ONE_VALUED = frozenset(("country", "language", "style", "tier", "activity"))
"""Columns in which a creator has one value: two of them asked for mean either."""
ALONE = frozenset((",", ";", "|", "/", "(", ")", "-", "–", "."))
"""Punctuation around what is said by itself."""
EDGE = frozenset(string.whitespace + "\u00a0\u202f,;:.!?/|&+()[]{}–—…<>=≤≥~'’%")
"""Punctuation that goes from the edges of what is left; quotes and a minus before a word mean something to the search."""
EDGE_AFTER = EDGE | {"-"}
SUBJECTS = frozenset(("niche", "style", "subject"))
SMALL = (
    *("filler", "article", "locative", "of", "and", "or", "nor", "with", "both", "only", "negated_follow"),
    *("between", "from", "to", "topic", "in_language"),
)
"""Kinds of words that go when they stand at the edge of what is left."""
CUED, PLAIN = 0.95, 0.8
LOW, SUBJECT = 0.3, 0.5
"""Confidences: with a word that marks it, without; boosts of places and platforms, of subjects."""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the brief: ``brief.text[begin:end] == text``."""

    text: str
    begin: int
    end: int


class Interpretation(msgspec.Struct, frozen=True, kw_only=True):
    """What some words were taken to mean."""

    id: str
    """Field and place: the same for the same brief, and the caller's handle to drop it."""
    field: str
    """A column of the filters."""
    value: str
    """For people."""
    words: Words
    confidence: float
    """0..1."""
    kind: str
    """``filter`` or ``boost``."""
    filter: Node


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """A brief as it was understood. Every word is in ``rest``, in the words of a filter, or ``ignored``."""

    text: str
    interpreted: tuple[Interpretation, ...]
    """The filters, in the order of the words; they do not overlap."""
    boosts: tuple[Interpretation, ...]
    """What should rank higher. Their words are in ``rest`` too."""
    rest: str
    """What is left to search for; the whole text where nothing was applied."""
    ignored: tuple[Words, ...]
    """Words like "creators", "looking for", "with", once something was applied."""
    loose: tuple[tuple[int, int, bool], ...] = ()
    """(begin, end, whether also amid other words) of all words that can be ignored."""

    @property
    def filter(self) -> And:
        """All filters at once; values of one column with one value a creator are alternatives."""
        wanted: dict[str, list[str]] = {}
        others: list[Node] = []
        for interpretation in self.interpreted:
            node = interpretation.filter
            if isinstance(node, In) and node.column in ONE_VALUED:
                wanted.setdefault(node.column, []).extend(node.values)
            else:
                others.append(node)
        joined = [In(column=column, values=tuple(dict.fromkeys(values))) for column, values in wanted.items()]
        return And(of=(*joined, *others))

    def without(self, *ids: str) -> Brief:
        """The brief with these interpretations dropped and their words back in the rest. Unknown ids change nothing."""
        return _brief(
            self.text,
            tuple(one for one in self.interpreted if one.id not in ids),
            tuple(one for one in self.boosts if one.id not in ids),
            self.loose,
        )


def parse_brief(text: str, vocabulary: BriefVocabulary) -> Brief:
    """Never raises. Looks at the first `MAX_QUERY_CHARS` characters; what follows is left as it is. Whether the text is
    a name or handle that is known is for the caller to ask, before."""
    parts = parts_of(text[:MAX_QUERY_CHARS], vocabulary)
    measured = measures(parts)
    taken = {at for measure in measured for at in range(measure.first, measure.last + 1)}
    scene = Scene(parts, taken, language_of(parts))
    applied, boosts = _Judge(text, scene, measured, mentions(scene), vocabulary).judged()
    return _brief(text, applied, boosts, _loose(parts))


class _Judge:
    """Decides what is applied."""

    def __init__(
        self, text: str, scene: Scene, measured: list[Measure], named: list[Mention], vocabulary: BriefVocabulary
    ) -> None:
        self._text, self._scene, self._measured, self._vocabulary = text, scene, measured, vocabulary
        self._mentions = [mention for mention in named if self._can_be_meant(mention)]
        title = looks_like_a_title(scene.parts)
        self._strong = bool(measured) or any(map(self._is_strong, self._mentions)) or self._has_strong_head(title)
        self._title = title and not self._strong

    def judged(self) -> tuple[tuple[Interpretation, ...], tuple[Interpretation, ...]]:
        """(filters, boosts), each in the order of the words."""
        subjects = [mention for mention in self._mentions if mention.group in SUBJECTS]
        others = [mention for mention in self._mentions if mention.group not in SUBJECTS]
        meant = [mention for mention in others if self._is_meant(mention)]
        meant += [mention for mention in subjects if mention.negated and not self._title]
        if meant or self._measured:
            meant += [mention for mention in subjects if not mention.negated and self._filters(mention)]
        self._platforms = self._named_platforms(meant)
        applied = [self._measure(measure) for measure in self._measured]
        applied += [self._interpretation(mention, "filter") for mention in meant]
        boosts = [
            self._interpretation(mention, "boost")
            for mention in self._mentions
            if mention not in meant and not mention.negated and not mention.topical and mention.group in COLUMN_OF
        ]
        return _ordered(applied), _ordered(boosts)

    def _can_be_meant(self, mention: Mention) -> bool:
        if mention.group in BESIDE_HEAD and "long_tail" not in mention.values:
            tier_named = self._scene.is_a(mention.last + 1, "tier_noun")
            return tier_named or mention.negated or beside_head(self._scene, mention.names[0], mention.names[-1])
        if mention.group == "has":
            return mention.negated or self._scene.is_a(mention.first - 1, "with") or self._follows_contact(mention)
        return True

    def _follows_contact(self, mention: Mention) -> bool:
        """ "with e-mail and website", "with an e-mail"."""
        for at in range(mention.first - 1, mention.first - 4, -1):
            if self._scene.is_a(at, "with"):
                return True
            if not self._scene.is_a(at, "and", "or", "has", "engaged", "article", "filler"):
                return False
        return False

    def _is_strong(self, mention: Mention) -> bool:
        return mention.group in ("cadence", "has")

    def _has_strong_head(self, title: bool) -> bool:
        """A title may end with one noun for creators; then a brief shows by another sign."""
        parts = [self._scene.parts[at] for at in self._scene.heads]
        heads = [
            part for part in parts if part.senses.get("creator") != ("one",) and not (title and part.is_a("person"))
        ]
        return bool(heads) and not (title and len(self._mentions) <= 1)

    def _is_meant(self, mention: Mention) -> bool:
        if mention.topical:
            return False
        cued = mention.cued or mention.group in ("cadence", "has")
        if self._strong:
            return cued or mention.marked or mention.kinds[0] != "city" or self._is_set_off(mention)
        return cued and not self._title and len(self._scene.parts) > 1 + mention.last - mention.first

    def _is_set_off(self, mention: Mention) -> bool:
        """ "…, London": between commas or at an end."""
        before, after = self._scene.parts[mention.first].gap.strip(), self._scene.parts[mention.last].after.strip()
        return (not mention.first or before in ALONE) and (mention.last + 1 == len(self._scene.parts) or after in ALONE)

    def _filters(self, mention: Mention) -> bool:
        """A niche or style whose words mean just that: nothing beside it that changes them."""
        if mention.group == "subject":
            return False
        for at, beside in ((mention.first - 1, mention.first), (mention.last + 1, mention.last + 1)):
            if 0 <= at < len(self._scene.parts) and self._scene.joined(beside) and self._changes(mention, at):
                return False
        return True

    def _changes(self, mention: Mention, at: int) -> bool:
        """Part ``at``, which stands beside the mention, makes other words of it."""
        part = self._scene.parts[at]
        if at in self._scene.taken:
            return False
        if not part.senses:
            return part.number is None
        kind = self._scene.kind_at(at)
        if kind is None:
            return part.is_a("opaque")
        return {kind, mention.group} <= {"niche", "subject"} and not self._same_niche(mention, at, kind)

    def _same_niche(self, mention: Mention, at: int, kind: str) -> bool:
        values = self._scene.parts[at].senses[kind]
        return {self._vocabulary.parents.get(value, value) for value in values} <= set(mention.values)

    def _named_platforms(self, meant: list[Mention]) -> set[str]:
        return {value for one in meant if one.group == "platform" and not one.negated for value in one.values}

    # What it becomes

    def _measure(self, measure: Measure) -> Interpretation:
        if measure.column == "followers":
            platform = measure.platform or self._platform_beside(measure)
            if platform in COUNTED:
                measure.column = f"followers.{platform}"
        return self._made(
            measure.column,
            _in_words(measure),
            measure.first,
            measure.last,
            measure.confidence,
            "filter",
            measure.filter,
        )

    def _platform_beside(self, measure: Measure) -> str | None:
        """The platform named right after the band, right before it, or the only one."""
        for mention in self._mentions:
            if mention.group == "platform" and not mention.negated and len(mention.values) == 1:
                beside = measure.last + 1 == mention.first and self._scene.joined(mention.first)
                if beside and mention.first != mention.names[0]:
                    return mention.values[0]
        return next(iter(self._platforms)) if len(self._platforms) == 1 else None

    def _interpretation(self, mention: Mention, kind: str) -> Interpretation:
        column, node, value = self._filter_of(mention)
        if mention.negated:
            node, value = Not(of=node), f"not {value}"
        if kind == "boost":
            confidence = SUBJECT if mention.group in SUBJECTS else LOW
        else:
            confidence = CUED if mention.cued else PLAIN
        return self._made(column, value, mention.first, mention.last, confidence, kind, node)

    def _filter_of(self, mention: Mention) -> tuple[str, Node, str]:
        """(column, what must hold, the same for people)."""
        if mention.group == "has":
            (column,) = mention.values[:1]
            return column, In(column=column, values=(TRUE,)), "stated"
        if mention.group in ("growth", "engaged", "cadence"):
            column = {"growth": "growth_30d", "engaged": "engagement_rate"}.get(mention.group, "posts_per_week")
            least = float(mention.values[0])
            return column, Range(column=column, gte=least), f"at least {_figure(column, least)}"
        column = COLUMN_OF[mention.group]
        names = [self._name(mention.group, value) for value in mention.values]
        if mention.every:
            each = tuple(In(column=column, values=(value,)) for value in mention.values)
            return column, And(of=each), " and ".join(names)
        node: Node = In(column=column, values=mention.values)
        if mention.only and not mention.negated:
            others = tuple(platform for platform in PLATFORMS if platform not in mention.values)
            return column, And(of=(node, Not(of=In(column=column, values=others)))), " or ".join(names) + " only"
        return column, node, " or ".join(names)

    def _name(self, group: str, value: str) -> str:
        if group == "platform":
            return PLATFORM_NAMES.get(value, value)
        key = "country" if group == "place" else group
        return self._vocabulary.names.get((key, value), value.replace("_", " "))

    def _made(
        self, field: str, value: str, first: int, last: int, confidence: float, kind: str, node: Node
    ) -> Interpretation:
        begin, end = self._scene.parts[first].begin, self._scene.parts[last].end
        words = Words(text=self._text[begin:end], begin=begin, end=end)
        return Interpretation(
            id=f"{field}@{begin}", field=field, value=value, words=words, confidence=confidence, kind=kind, filter=node
        )


def _ordered(found: list[Interpretation]) -> tuple[Interpretation, ...]:
    return tuple(sorted(found, key=lambda one: (one.words.begin, one.id)))


def _in_words(measure: Measure) -> str:
    texts = {"gte": "at least", "gt": "more than", "lte": "at most", "lt": "under"}
    figures = {bound: _figure(measure.column, value) for bound, value in measure.bounds.items()}
    if len(figures) == 2:
        return f"{figures['gte']} to {figures['lte']}"
    return " ".join(f"{texts[bound]} {figure}" for bound, figure in figures.items())


def _figure(column: str, value: float) -> str:
    if column in ("engagement_rate", "growth_30d"):
        return f"{value * 100:g} %"
    return f"{value:,.0f}" if value >= MIN_GROUPED else f"{value:g}"


MIN_GROUPED = 1000


def _loose(parts: list[Part]) -> tuple[tuple[int, int, bool], ...]:
    return tuple(
        (part.begin, part.end, part.is_a("creator")) for part in parts if part.is_a("creator") or part.is_a(*SMALL)
    )


def _brief(
    text: str,
    applied: tuple[Interpretation, ...],
    boosts: tuple[Interpretation, ...],
    loose: tuple[tuple[int, int, bool], ...],
) -> Brief:
    if not applied:
        return Brief(text=text, interpreted=(), boosts=boosts, rest=text.strip(), ignored=(), loose=loose)
    rest, ignored = _rest(text, [(one.words.begin, one.words.end) for one in applied], loose)
    return Brief(text=text, interpreted=applied, boosts=boosts, rest=rest, ignored=ignored, loose=loose)


def _rest(
    text: str, claimed: list[tuple[int, int]], loose: tuple[tuple[int, int, bool], ...]
) -> tuple[str, tuple[Words, ...]]:
    """(what is left of the text, what was left out of it besides the claimed places)."""
    free = _outside(loose, sorted(claimed))
    ignored = [(begin, end) for begin, end, anywhere in free if anywhere]
    left: list[str] = []
    at = position = 0
    for begin, end in [*sorted([*claimed, *ignored]), (len(text), len(text))]:
        small: list[tuple[int, int]] = []
        while position < len(free) and free[position][1] <= begin:
            small.append(free[position][:2])
            position += 1
        kept_begin, kept_end, trimmed = _trimmed(text, at, begin, [one for one in small if one[0] >= at])
        ignored += trimmed
        if kept_begin < kept_end:
            left.append(text[kept_begin:kept_end])
        at = max(at, end)
    return " ".join(left), tuple(Words(text=text[begin:end], begin=begin, end=end) for begin, end in sorted(ignored))


def _outside(loose: tuple[tuple[int, int, bool], ...], claimed: list[tuple[int, int]]) -> list[tuple[int, int, bool]]:
    """Those that no claimed place touches; both in their order."""
    found, position = [], 0
    for one in loose:
        while position < len(claimed) and claimed[position][1] <= one[0]:
            position += 1
        if position == len(claimed) or one[1] <= claimed[position][0]:
            found.append(one)
    return found


def _trimmed(text: str, begin: int, end: int, small: list[tuple[int, int]]) -> tuple[int, int, list[tuple[int, int]]]:
    """A piece without small words and punctuation at its edges: (begin, end, what went)."""
    gone: list[tuple[int, int]] = []
    first, last = 0, len(small)
    while True:
        while begin < end and (text[begin] in EDGE or text[begin : begin + 2] in ("-", "- ")):
            begin += 1
        if first == last or small[first][0] != begin:
            break
        gone.append(small[first])
        begin = small[first][1]
        first += 1
    while True:
        while begin < end and text[end - 1] in EDGE_AFTER:
            end -= 1
        if first == last or small[last - 1][1] != end:
            break
        last -= 1
        gone.append(small[last])
        end = small[last][0]
    return begin, end, gone
