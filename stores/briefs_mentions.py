"""The things that a brief names: platforms, places, languages, subjects, kinds of creators; with what is said around them."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from stores.briefs_text import Part

GROUP_OF = {
    "opaque": "",
    "platform_creator": "platform",
    "platform": "platform",
    "speaking": "language",
    "country": "place",
    "demonym": "place",
    "city": "place",
    "language": "language",
    "has": "has",
    "cadence": "cadence",
    "growth": "growth",
    "engaged": "engaged",
    "activity": "activity",
    "tier": "tier",
    "size": "tier",
    "niche": "niche",
    "style": "style",
    "subject": "subject",
}
"""Kinds that are mentions, the surest reading first; kinds of one group can stand in one list."""

BESIDE_HEAD = frozenset(("growth", "engaged", "activity", "tier"))
"""Groups whose words mean a creator only right beside a noun for creators."""
MAX_BETWEEN = 6
"""Parts between such a word and the noun."""
MAX_NEGATED = 4
"""Parts between a negation and what it negates."""


class Mention(msgspec.Struct, kw_only=True):
    """Parts ``first`` to ``last`` (with it), and the values that they name."""

    group: str
    kinds: tuple[str, ...]
    values: tuple[str, ...]
    first: int
    last: int
    names: tuple[int, ...]
    """The parts that are the names themselves, without what introduces and joins them."""
    cued: bool = False
    """The words around say that it is meant as a filter."""
    marked: bool = False
    """They may: "de", "of"."""
    negated: bool = False
    topical: bool = False
    """It is what contents are about, or of what kind."""
    every: bool = False
    """Each of the values, not one of them."""
    only: bool = False


class Scene:
    """The parts of a brief, asked what stands where."""

    def __init__(self, parts: list[Part], taken: Collection[int], language: str) -> None:
        self.parts, self.taken, self.language = parts, taken, language
        for part in parts:
            if part.is_a("accented") and part.raw.isascii():
                part.senses = {kind: values for kind, values in part.senses.items() if kind != "locative"}
        self._kinds: dict[int, str | None] = {}
        self.heads = [at for at, part in enumerate(parts) if part.is_a("creator", "platform_creator", "person")]

    def is_a(self, at: int, *kinds: str) -> bool:
        return 0 <= at < len(self.parts) and at not in self.taken and not self.parts[at].senses.keys().isdisjoint(kinds)

    def joined(self, at: int) -> bool:
        """Part ``at`` follows the one before it without punctuation."""
        return 0 < at < len(self.parts) and self.parts[at].joined

    def names_creators(self, at: int) -> bool:
        return self.is_a(at, "creator", "platform_creator", "person")

    def kind_at(self, at: int) -> str | None:
        """The surest kind of mention that begins here."""
        if not 0 <= at < len(self.parts) or at in self.taken or self.parts[at].senses.keys().isdisjoint(GROUP_OF):
            return None
        if at not in self._kinds:
            self._kinds[at] = self._surest(at)
        return self._kinds[at]

    def _surest(self, at: int) -> str | None:
        senses = self.parts[at].senses
        kinds = [kind for kind in GROUP_OF if kind in senses and self._possible(at, kind)]
        if not kinds or kinds[0] == "opaque" or (kinds[0] == "subject" and "creator" in senses):
            return None
        if "language" in kinds and self.speaks(at):
            return "language"
        return kinds[0]

    def speaks(self, at: int) -> bool:
        """The words beside say that a language is meant."""
        if self.is_a(at + 1, "after_language") and self.joined(at + 1) and self.parts[at + 1].folded != "content":
            return True
        before = at - 1
        if not self.joined(at) or not self.is_a(before, "in_language", "speak"):
            return False
        return not (self.joined(at + 1) and self.is_a(at + 1, "cultural", "creator", "platform_creator"))

    def _possible(self, at: int, kind: str) -> bool:
        part = self.parts[at]
        if kind == "country" and part.folded == "us":
            return self._means_the_states(at)
        if kind in ("niche", "style") and part.is_a("homonym"):
            spoken = part.senses["spoken"]
            return not self.language or not {self.language, "en", ""}.isdisjoint(spoken)
        if kind in ("city", "country") and part.is_a("unsure"):
            return self._placed(at)
        return True

    def _means_the_states(self, at: int) -> bool:
        if self.parts[at].raw == "US":
            return True
        introduced = self.is_a(at - 1, "article") and self.is_a(at - 2, "locative", "of", "negator")
        return introduced or self.is_a(at + 1, "based") or self.names_creators(at + 1)

    def _placed(self, at: int) -> bool:
        if self.is_a(at + 1, "based") and self.joined(at + 1):
            return True
        if not self.joined(at):  # "Córdoba, Argentina", "Spain, Valencia"
            return at > 0 and self.is_a(at - 1, "city", "country")
        skips = self.is_a(at - 1, "article") and not self.is_a(at - 1, "locative", "of")
        return self.is_a(at - 2 if skips else at - 1, "locative", "of", "or", "and", "negator")


def mentions(scene: Scene) -> list[Mention]:
    """All of them, in their order, without overlap."""
    found: list[Mention] = []
    at = 0
    while at < len(scene.parts):
        kind = scene.kind_at(at)
        if kind is not None:
            mention = _listed(scene, at, kind)
            _introduce(scene, mention, found[-1].last + 1 if found else 0)
            found.append(mention)
            at = mention.last
        at += 1
    return found


def _values(scene: Scene, at: int, kind: str) -> tuple[str, ...]:
    return tuple(value for joined in scene.parts[at].senses[kind] for value in joined.split("|"))


def _listed(scene: Scene, at: int, kind: str) -> Mention:
    """The mention that begins here with what is listed after it: "Mexico or Colombia", "TikTok, Instagram"."""
    group, names, kinds, connections = GROUP_OF[kind], [at], [kind], []
    values = list(_values(scene, at, kind))
    last = at
    while True:
        following, connection = _connected(scene, last, group)
        if following is None:
            break
        kind_after = scene.kind_at(following)
        assert kind_after is not None
        names.append(following)
        kinds.append(kind_after)
        connections.append(connection)
        values += [value for value in _values(scene, following, kind_after) if value not in values]
        last = following
    every = bool(connections) and "and" in connections and "or" not in connections and set(kinds) == {"platform"}
    return Mention(
        group=group,
        kinds=tuple(kinds),
        values=tuple(values),
        first=at,
        last=last,
        names=tuple(names),
        every=every,
    )


def _connected(scene: Scene, last: int, group: str) -> tuple[int | None, str]:
    """(the next name of the list, "and", "or" or ","); None where the list ends."""
    if group in ("has", "cadence", "engaged", "activity", "growth", "style"):
        return None, ""
    at, connection = last + 1, ""
    if at >= len(scene.parts):
        return None, ""
    gap = scene.parts[at].gap.strip()
    if gap in ("/", ",", "&", "+", "|"):
        connection = "and" if gap in "&+" else ","
    elif gap not in ("", "-"):
        return None, ""
    if scene.is_a(at, "or", "nor"):
        at, connection = at + 1, "or"
    elif scene.is_a(at, "and"):
        at, connection = at + 1, "and"
    if not connection:
        return None, ""
    for _ in range(2):
        if scene.is_a(at, "locative", "article", "of") and GROUP_OF.get(scene.kind_at(at) or "") != group:
            at += 1
    kind = scene.kind_at(at)
    if kind is None or GROUP_OF[kind] != group:
        return None, ""
    return at, connection


def _introduce(scene: Scene, mention: Mention, least: int) -> None:
    """Grows the mention over the words before and after it that say how it is meant."""
    after = mention.last + 1
    if scene.is_a(after, "based") and scene.joined(after) and mention.group == "place":
        mention.last, mention.cued = after, True
    if mention.group == "language":
        _introduce_language(scene, mention, least)
    if mention.group == "platform" and scene.is_a(after, "only"):
        mention.last, mention.only = after, True
    at = _back_over(scene, mention, least)
    if scene.joined(at + 1) or at < least:
        negation = _negation_before(scene, mention, at, least)
        if negation is not None:
            mention.negated, mention.cued, mention.first = True, True, negation
    if mention.negated and mention.last > mention.names[0]:
        _end_negation(scene, mention)
    if not mention.negated and mention.group == "place":
        _see_topic(scene, mention)
    in_a_list = len(mention.names) > 1 and mention.group == "platform"
    tells = not {"platform_creator", "speaking"}.isdisjoint(mention.kinds)
    mention.every = mention.every and not mention.negated  # "not on A and B": on neither
    mention.cued = mention.cued or mention.every or mention.only or in_a_list or tells


def _introduce_language(scene: Scene, mention: Mention, least: int) -> None:
    first, after = mention.names[0], mention.last + 1
    if scene.is_a(after, "after_language") and scene.joined(after):
        mention.last, mention.cued = after, True
    if first > least and scene.is_a(first - 1, "in_language", "speak") and scene.joined(first) and scene.speaks(first):
        mention.first, mention.cued = first - 1, True
    if "language" in mention.kinds and not mention.cued and _beside_head(scene, mention):
        mention.cued = True
    if scene.is_a(first - 1, "learn"):
        mention.topical, mention.cued = True, False


def _back_over(scene: Scene, mention: Mention, least: int) -> int:
    """The part before the article and the preposition, which become the mention's."""
    at = mention.first - 1
    if mention.group not in ("place", "platform"):
        while (
            at >= least and scene.joined(at + 1) and scene.is_a(at, "article", "of") and not scene.is_a(at, "locative")
        ):
            at -= 1
        return at
    reached = at
    while reached >= least and scene.joined(reached + 1) and scene.is_a(reached, "article", "both", "only"):
        if scene.is_a(reached, "locative", "of"):
            break
        _note_only(scene, mention, reached)
        reached -= 1
    if reached >= least and scene.joined(reached + 1):
        if scene.is_a(reached, "locative") and not _negates(scene, reached, mention):
            mention.first, mention.cued = reached, True
            while reached - 1 >= least and scene.joined(reached) and scene.is_a(reached - 1, "both", "only", "based"):
                reached -= 1
                _note_only(scene, mention, reached)
                mention.first = reached
            return reached - 1
        if scene.is_a(reached, "of") and not scene.is_a(reached, "topic"):
            mention.first, mention.marked = reached, True
            return reached - 1
    if scene.is_a(mention.first - 1, "both", "only"):
        mention.first = reached + 1
    return reached


def _note_only(scene: Scene, mention: Mention, at: int) -> None:
    if mention.group == "platform":
        mention.only = mention.only or scene.is_a(at, "only")
        mention.every = mention.every or (
            scene.is_a(at, "both") and len(mention.values) > 1 and "or" not in _words(scene, mention)
        )


def _words(scene: Scene, mention: Mention) -> set[str]:
    return {scene.parts[at].folded for at in range(mention.first, mention.last + 1)}


def _negation_before(scene: Scene, mention: Mention, at: int, least: int) -> int | None:
    """Where the negation begins that holds for the mention."""
    for back in range(at, max(least, at - MAX_NEGATED) - 1, -1):
        if scene.is_a(back, "negator") and _negates(scene, back, mention):
            return back
        small = scene.is_a(back, "negated_follow", "article", "locative", "of", "in_language", "only", "with", "filler")
        if not small or scene.names_creators(back) or (back <= at and not scene.joined(back)):
            return None
    return None


def _negates(scene: Scene, at: int, mention: Mention) -> bool:
    """Portuguese "no" means "in the"; before a place or a platform it is that unless the brief is another language's."""
    part = scene.parts[at]
    if not part.is_a("negator"):
        return False
    if part.folded != "no":
        return True
    if mention.group not in ("place", "platform"):
        return scene.language != "pt"
    if scene.language == "es" or at + 1 < mention.names[0]:
        return True
    return scene.language in ("en", "de", "fr") or (scene.language == "" and not _iberian(scene))


def _iberian(scene: Scene) -> bool:
    """Some word is Portuguese and not English."""
    told = [part.senses.get(kind, ()) for part in scene.parts for kind in ("telling", "creator", "spoken")]
    return any("pt" in languages and "en" not in languages for languages in told)


def _end_negation(scene: Scene, mention: Mention) -> None:
    """A comma ends what is negated: "no gaming, comedy"."""
    for before, name in zip(mention.names, mention.names[1:], strict=False):
        if name == before + 1 or "," in scene.parts[before + 1].gap:
            kept = tuple(at for at in mention.names if at <= before)
            mention.values = tuple(
                value for at, kind in zip(kept, mention.kinds, strict=False) for value in _values(scene, at, kind)
            )
            mention.names, mention.kinds, mention.last = kept, mention.kinds[: len(kept)], before
            return


def _see_topic(scene: Scene, mention: Mention) -> None:
    """ "videos about Japan", "history of Rome", "Italian food"."""
    first, last = mention.names[0], mention.names[-1]
    before = mention.first - 1
    introduced = mention.first != first
    if introduced and scene.is_a(mention.first, "of") and not scene.is_a(mention.first, "locative"):
        mention.topical = scene.is_a(before, "cultural") and not scene.names_creators(before)
    elif introduced:
        mention.topical = scene.joined(mention.first) and scene.is_a(before, "learn")
    else:
        back = before - 1 if scene.is_a(before, "article") else before
        mention.topical = (
            scene.joined(first) and scene.is_a(back, "topic", "learn") and not scene.is_a(back, "locative")
        )
    if mention.kinds[0] == "demonym":
        mention.topical = mention.topical or _is_of_a_kind(scene, first, last)
    if mention.topical:
        mention.cued = mention.marked = False


def _is_of_a_kind(scene: Scene, first: int, last: int) -> bool:
    """A people's name that belongs to a subject: "Italian food", "comida mexicana"; not "criadores de música brasileiros",
    which agrees with the creators."""
    after = last + 1
    if scene.joined(after) and scene.is_a(after, "cultural") and not scene.names_creators(after):
        glued = scene.names_creators(after + 1) and scene.parts[after + 1].gap in ("", "-")
        return not glued
    before = first - 1
    if not (scene.joined(first) and scene.is_a(before, "cultural")) or scene.names_creators(last + 1):
        return False
    return scene.parts[first].folded.endswith("s") <= scene.parts[before].folded.endswith("s")


def _beside_head(scene: Scene, mention: Mention) -> bool:
    return beside_head(scene, mention.names[0], mention.names[-1])


def beside_head(scene: Scene, first: int, last: int) -> bool:
    """Only what is known stands between these parts and a noun for creators."""
    for step, start in ((1, last), (-1, first)):
        for distance in range(1, MAX_BETWEEN + 1):
            at = start + step * distance
            if not 0 <= at < len(scene.parts):
                break
            if scene.names_creators(at):
                return True
            known = scene.kind_at(at) is not None or scene.is_a(
                at, "and", "or", "of", "article", "filler", "with", "posted"
            )
            if not known and at not in scene.taken:
                break
    return False
