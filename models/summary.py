"""A creator in one line of at most twenty words, made only of facts that are shown elsewhere too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MAX_WORDS = 20
MAX_TOPICS = 3
PLATFORM_NAMES = {"youtube": "YouTube", "instagram": "Instagram", "tiktok": "TikTok", "x": "X"}
_DEMONYMS = """
AE Emirati|AR Argentine|AT Austrian|AU Australian|BD Bangladeshi|BE Belgian|BG Bulgarian|BO Bolivian|BR Brazilian
BY Belarusian|CA Canadian|CH Swiss|CL Chilean|CN Chinese|CO Colombian|CR Costa Rican|CU Cuban|CZ Czech|DE German
DK Danish|DO Dominican|DZ Algerian|EC Ecuadorian|EE Estonian|EG Egyptian|ES Spanish|ET Ethiopian|FI Finnish|FR French
GB British|GE Georgian|GH Ghanaian|GR Greek|HR Croatian|HU Hungarian|ID Indonesian|IE Irish|IL Israeli|IN Indian
IQ Iraqi|IR Iranian|IS Icelandic|IT Italian|JM Jamaican|JO Jordanian|JP Japanese|KE Kenyan|KR Korean|KW Kuwaiti
KZ Kazakh|LB Lebanese|LK Sri Lankan|LT Lithuanian|LV Latvian|MA Moroccan|MX Mexican|MY Malaysian|NG Nigerian
NL Dutch|NO Norwegian|NP Nepali|NZ New Zealand|PE Peruvian|PH Philippine|PK Pakistani|PL Polish|PR Puerto Rican
PT Portuguese|PY Paraguayan|QA Qatari|RO Romanian|RS Serbian|RU Russian|SA Saudi|SE Swedish|SG Singaporean|SI Slovenian
SK Slovak|TH Thai|TN Tunisian|TR Turkish|TW Taiwanese|UA Ukrainian|UG Ugandan|US American|UY Uruguayan|VE Venezuelan
VN Vietnamese|ZA South African
"""
DEMONYMS = {entry[:2]: entry[3:] for entry in _DEMONYMS.strip().replace("\n", "|").split("|")}
"""ISO 3166-1 code → adjective: of the country that the account states, not of a person. Others are left unsaid."""


class CreatorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary is made of. ``niche`` and ``topics`` are names as in the taxonomy, not ids; None is unknown."""

    platforms: tuple[str, ...] = ()
    country: str | None = None
    niche: str | None = None
    topics: tuple[str, ...] = ()
    followers: int | None = None
    posts_per_week: float | None = None


def summary(facts: CreatorFacts) -> str:
    """E.g. "Brazilian fitness creator on YouTube: home workouts, nutrition; 48k followers, posts 3 times a week".

    What is unknown is left out; topics give way when the words run out.
    """
    head = _head(facts)
    tail = ", ".join(filter(None, [_followers(facts.followers), _rhythm(facts.posts_per_week)]))
    line = _joined(head, [], tail)
    for count in range(1, min(len(facts.topics), MAX_TOPICS) + 1):
        longer = _joined(head, [_lower_first(topic) for topic in facts.topics[:count]], tail)
        if len(longer.split()) > MAX_WORDS:
            break
        line = longer
    return " ".join(line.split()[:MAX_WORDS])


def _head(facts: CreatorFacts) -> str:
    words = [DEMONYMS.get(facts.country or "", ""), _lower_first(facts.niche or ""), "creator"]
    text = " ".join(filter(None, words))
    names = [PLATFORM_NAMES.get(platform, platform) for platform in facts.platforms]
    on = f" on {_listed(names)}" if names else ""
    return text[0].upper() + text[1:] + on


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _joined(head: str, topics: Sequence[str], tail: str) -> str:
    return head + (f": {', '.join(topics)}" if topics else "") + (f"; {tail}" if tail else "")


def _lower_first(name: str) -> str:
    """``Home workouts`` → ``home workouts``, but ``DIY and crafts`` stays."""
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def _followers(count: int | None) -> str:
    if count is None:
        return ""
    return "1 follower" if count == 1 else f"{_short(count)} followers"


def _short(count: int) -> str:
    """Cut, not rounded up: 999,999 is not yet 1M."""
    for size, unit in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if count >= 10 * size:
            return f"{count // size}{unit}"
        if count >= size:
            return f"{count * 10 // size / 10:g}{unit}"
    return str(count)


def _rhythm(posts_per_week: float | None) -> str:
    if not posts_per_week:
        return ""
    for per_week, period in ((7.0, "day"), (1.0, "week"), (7 / 30, "month")):
        times = round(posts_per_week / per_week)
        if times > 1:
            return f"posts {times} times a {period}"
        if posts_per_week >= per_week:
            return f"posts once a {period}"
    return "posts rarely"
