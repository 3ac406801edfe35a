"""What speaks for and against two accounts being one person's: each kind of evidence a pure function → its level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product

from actors.identity_facts import (
    AVATAR,
    BIO_NAMES,
    CONTENT_NAMES,
    CORE,
    MOST_WORDS,
    OWNER,
    STRING,
    block_key,
    platform_in,
)
from actors.identity_names import ABOUT, core, likeness
from proto.identity import BlockKey, IdentityFacts
from proto.ids import Platform, split_account_key
from stores.identity import WORD

Crowd = Callable[[BlockKey], int]
"""How many accounts stand in a block."""

Evidence = list[tuple[str, str]]
"""Kind and level, one a kind."""

SHORT_CHARS = 5
"""Names up to this length are often common ones."""
NEAR, PARTLY = 0.93, 0.82
"""Jaro–Winkler likeness of names that differ in spelling, and of such that resemble each other."""
STEADY = 3
"""Items from which on a link that comes again and again, and alone, is the owner's."""
FEW, MANY = 2, 4
"""Up to so many accounts a block's value is its owner's alone (one on each side), or that of a few."""
COMMON, EVERYDAY = 20, 200
"""Words in more display names than so many make no name rare: there are people called so by chance, or many."""
SAME_BIO, LIKE_BIO, UNLIKE_BIO = 0.9, 0.7, 0.3
"""Cosine of bio vectors."""
LIKE_BITS = 6
"""Of the 64 of a picture's hash, so many differ at most when it is scaled or compressed anew."""


def evidence_of(one: IdentityFacts, other: IdentityFacts, crowd: Crowd, bio_cosine: float | None = None) -> Evidence:
    """Everything that can be said of the pair; symmetric. ``bio_cosine``: of their bio vectors, None without both."""
    handles, links = handle(one, other, crowd), link(one, other, crowd)
    names = name(one, other, handles)
    if links == "mutual":  # whoever links each other, and nobody else, needs no equal names
        handles, names = "" if handles in ("other", "partly") else handles, ""
    found = {
        "handle": handles,
        "name": names,
        "link": links,
        "accord": accord(handles, names, links),
        "elsewhere": elsewhere(one, other, links),
        "alias": alias(one, other, handles, links),
        "site": shared(one.sites, other.sites, crowd),
        "email": shared(one.emails, other.emails, crowd),
        "bio": bio(one, other, bio_cosine),
        "avatar": avatar(one, other, crowd),
        "language": agreement(one.language, other.language),
        "country": agreement(one.country, other.country),
        "fan": fan(one, other),
    }
    return [(kind, level) for kind, level in found.items() if level]


def handle(one: IdentityFacts, other: IdentityFacts, crowd: Crowd) -> str:
    """Handles, or the name of an account without one: the rarer in the corpus, and the longer, the better.

    Many share a name and show it, yet nobody else has a handle: where both have one, a name that equals the other's
    handle says less (``named``). Two equal names alone are `name`'s.
    """
    pairs = _handle_pairs(one, other)
    if not pairs:
        return ""
    if same := {mine for mine, theirs in pairs if mine == theirs}:
        return "same_" + _rarity(STRING, same, _least_common(one, other, crowd), crowd)
    cores = [(core(mine), core(theirs)) for mine, theirs in pairs]
    if same := {mine for mine, theirs in cores if mine == theirs}:
        return "core_" + _rarity(CORE, same, _least_common(one, other, crowd), crowd)
    if one.handle and other.handle and (one.handle in other.names or other.handle in one.names):
        return "named"
    if any(_begins_or_ends(mine, theirs) for mine, theirs in cores):
        return "within"
    best = max(likeness(mine, theirs) for mine, theirs in cores)
    if best >= NEAR:
        return "near"
    return "partly" if best >= PARTLY or _word_within(one, other) or _word_within(other, one) else "other"


def name(one: IdentityFacts, other: IdentityFacts, handles: str) -> str:
    """Display names, where both have one; a single word says less. Equal handles leave nothing to say but a conflict:
    two people with two names, one handle each."""
    level = _names_alike(one, other)
    if handles.startswith(("same", "core")):
        own = any(facts.handle in facts.names for facts in (one, other))
        return "conflict" if level == "other" and not own else ""
    return level


def _names_alike(one: IdentityFacts, other: IdentityFacts) -> str:
    if not one.names or not other.names:
        return ""
    pairs = [(core(mine), core(theirs)) for mine in one.names for theirs in other.names]
    if any(mine == theirs for mine, theirs in pairs) or sorted(one.name) == sorted(other.name):
        return "same" if min(len(one.name), len(other.name)) > 1 else "same_word"
    best = max(likeness(mine, theirs) for mine, theirs in pairs)
    common = len(set(one.name) & set(other.name))
    if best >= NEAR or common > 1:
        return "near"
    return "partly" if best >= PARTLY or common else "other"


def link(one: IdentityFacts, other: IdentityFacts, crowd: Crowd) -> str:
    """Who names whom: in the bio, or only in content, alone of its platform or among others.

    A name that several accounts have, or had one after the other, leads to none of them for sure: who takes one over
    and names its namer is not named back, while who had it and names its namer still is. How many others name one of
    two that name each other says nothing: anybody can name anybody.
    """
    if name_each_other(one, other):
        crowd = partial(_unnamed_by_others, crowd)
    there, back = _names(one, other, crowd), _names(other, one, crowd)
    if "bio" in there + back and _leads_to(other, one, there) and _leads_to(one, other, back):
        return "mutual" if "bio_sole" in (there, back) else "mutual_among"
    best = min(there or _NOT_NAMED, back or _NOT_NAMED, key=_LINKS.index)
    return "" if best == _NOT_NAMED else best


def accord(handles: str, names: str, links: str) -> str:
    """Whether somebody is named who also goes by the same name: together they say more than each by itself."""
    alike = handles.startswith(("same", "core", "within", "named")) or names in ("same", "same_word")
    return "link_and_name" if alike and links in _LINKS[: _LINKS.index("content_sole") + 1] else ""


def elsewhere(one: IdentityFacts, other: IdentityFacts, links: str) -> str:
    """Whether a bio names another account of the other's platform, and not this one; or content where no bio does."""
    for mine, theirs in ((one, other), (other, one)):
        named = [target for target in mine.bio_named if platform_in(target) is _platform(theirs)]
        if named and not set(named) & set(theirs.owned):
            return "bio"
    if links.startswith(("mutual", "bio")):
        return ""
    for mine, theirs in ((one, other), (other, one)):
        told = {target: count for target, count, _ in mine.content_named if platform_in(target) is _platform(theirs)}
        if told and not told.keys() & set(theirs.owned):
            return "content_again" if max(told.values()) > 1 else "content"
    return ""


def alias(one: IdentityFacts, other: IdentityFacts, handles: str, links: str) -> str:
    """Whether the handles that the one states of itself elsewhere are the other's, as people keep theirs.

    Where the two have one handle, or a bio names the other account itself, that is said already.
    """
    mine, theirs = {*one.aliases}, {*other.aliases}
    if not mine and not theirs:
        return ""
    said = handles.startswith(("same", "core")) or links.startswith(("mutual", "bio"))
    if other.handle in mine or one.handle in theirs:
        return "" if said else "same"
    mine, theirs = {*map(core, mine)}, {*map(core, theirs)}
    if core(other.handle) in mine or core(one.handle) in theirs or mine & theirs:
        return "" if said else "core"
    return "other"


def shared(mine: Sequence[BlockKey], theirs: Sequence[BlockKey], crowd: Crowd) -> str:
    """Websites or addresses that both state; an agency's is stated by many."""
    same = set(mine) & set(theirs)
    if same:
        return "same_" + _by_crowd(min(map(crowd, same)))
    return "other" if mine and theirs else ""


def bio(one: IdentityFacts, other: IdentityFacts, cosine: float | None) -> str:
    if one.bio is not None and one.bio == other.bio:
        return "same"
    if cosine is None:
        return ""
    if cosine >= SAME_BIO:
        return "same"
    return "like" if cosine >= LIKE_BIO else "unlike" if cosine < UNLIKE_BIO else "neutral"


def avatar(one: IdentityFacts, other: IdentityFacts, crowd: Crowd) -> str:
    """Pictures alike; one that a platform gives to whoever has none is many people's. Others say nothing."""
    if not one.avatar or not other.avatar:
        return ""
    differing = int.from_bytes(one.avatar, "big") ^ int.from_bytes(other.avatar, "big")
    if differing.bit_count() > LIKE_BITS:
        return ""
    return "same_" + _by_crowd(max(crowd(AVATAR + facts.avatar) for facts in (one, other)))


def agreement(mine: str | None, theirs: str | None) -> str:
    if not mine or not theirs:
        return ""
    return "same" if mine == theirs else "other"


def fan(one: IdentityFacts, other: IdentityFacts) -> str:
    """Whether one of them calls itself a fan, or an archive, of what the other does not; or may do so."""
    if set(one.markers) ^ set(other.markers):
        return "one"
    short, long = sorted((one.handle, other.handle), key=len)
    rest = long.removeprefix(short) if long.startswith(short) else long.removesuffix(short)
    return "perhaps" if short and rest in ABOUT else ""


def name_each_other(one: IdentityFacts, other: IdentityFacts) -> bool:
    """Whether each one's bio names the other."""
    return bool(set(one.bio_named) & set(other.owned)) and bool(set(other.bio_named) & set(one.owned))


def explicit(one: IdentityFacts, other: IdentityFacts, evidence: Evidence) -> bool:
    """Whether two accounts of one platform may be one person's: twins name each other too, yet go by two names."""
    levels = dict(evidence)
    undisputed = name_each_other(one, other) and levels.get("link", "").startswith("mutual")
    return undisputed and levels.get("handle", "").startswith(("same", "core", "within", "named"))


def _unnamed_by_others(crowd: Crowd, key: BlockKey) -> int:
    return 1 if key[:1] in (BIO_NAMES, CONTENT_NAMES) else crowd(key)


def _leads_to(named: IdentityFacts, namer: IdentityFacts, level: str) -> bool:
    """Whether the namer means this account, as far as names tell: of a name that others had, the one that left it."""
    return bool(level) and (level != "disputed" or bool(set(namer.bio_named) & set(named.left)))


_NOT_NAMED = "not_named"
_LINKS = (
    "mutual",
    "mutual_among",
    "bio_sole",
    "content_steady",
    "content_again",
    "content_mostly",
    "bio_among",
    "content_sole",
    "content_first",
    "content_among",
    "bio_popular",
    "content_popular",
    "disputed",
    _NOT_NAMED,
)
"""Best first."""


def _names(one: IdentityFacts, other: IdentityFacts, crowd: Crowd) -> str:
    platform = _platform(other)
    in_bio = [target for target in one.bio_named if platform_in(target) is platform]
    if met := set(in_bio) & set(other.owned):
        if min(crowd(OWNER + target) for target in met) > 1:
            return "disputed"
        if min(crowd(BIO_NAMES + target) for target in met) > MANY:
            return "bio_popular"
        return "bio_sole" if len(in_bio) == 1 else "bio_among"
    told = {target: (count, first) for target, count, first in one.content_named if platform_in(target) is platform}
    hits = set(told) & set(other.owned)
    if not hits:
        return ""
    if min(crowd(OWNER + target) for target in hits) > 1:
        return "disputed"
    if min(crowd(CONTENT_NAMES + target) for target in hits) > MANY:
        return "content_popular"
    count, first = max(told[target] for target in hits)
    rivals = [told[target] for target in told if target not in hits]
    most = max((rival for rival, _ in rivals), default=0)
    if count >= STEADY and not rivals:
        return "content_steady"
    if count >= 2 and count >= 2 * most:
        return "content_again" if not rivals else "content_mostly"
    if not rivals:
        return "content_sole"
    return "content_first" if count >= most and first >= max(rival for _, rival in rivals) else "content_among"


def _rarity(kind: bytes, same: Iterable[str], word_crowd: int, crowd: Crowd) -> str:
    """``word_crowd``: of the least common word of the display names."""
    rarest = min(same, key=lambda value: (crowd(block_key(kind, value)), -len(value), value))
    alone = _by_crowd(crowd(block_key(kind, rarest)))
    if alone == "rare" and word_crowd > COMMON:
        return "everyday" if word_crowd > EVERYDAY else "common"
    return f"short_{alone}" if len(rarest) <= SHORT_CHARS else alone


def _least_common(one: IdentityFacts, other: IdentityFacts, crowd: Crowd) -> int:
    """In how many display names the least common word stands, of the one of the two names that is the more common."""
    named = [facts.name[:MOST_WORDS] for facts in (one, other) if facts.name]
    return max((min(crowd(block_key(WORD, word)) for word in words) for words in named), default=0)


def _by_crowd(accounts: int) -> str:
    return "rare" if accounts <= FEW else "few" if accounts <= MANY else "many"


def _handle_pairs(one: IdentityFacts, other: IdentityFacts) -> list[tuple[str, str]]:
    """A handle of the one side, at whatever time, and what it may equal on the other."""
    mine, theirs = _handles(one), _handles(other)
    if not mine and not theirs:
        return []
    return list(product(mine or one.names, theirs or other.names))


def _handles(facts: IdentityFacts) -> list[str]:
    """The present one first."""
    return [handle for handle in (facts.handle, *facts.former) if handle]


def _begins_or_ends(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return len(short) > SHORT_CHARS and (long.startswith(short) or long.endswith(short))


def _word_within(one: IdentityFacts, other: IdentityFacts) -> bool:
    """Whether a word of the one's name, long enough to be one, stands in the other's handle."""
    return any(len(word) > SHORT_CHARS and word in other.handle for word in one.name)


def _platform(facts: IdentityFacts) -> Platform:
    return split_account_key(facts.account_key)[0]
