"""An account's texts → what may tell that another account is the same person's. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from actors.extraction import Handle, handles, is_link_page
from actors.extraction_links import host_of, platform_of
from actors.extraction_tables import PROFILE_URLS
from actors.extraction_tables import words as word_table
from actors.identity_names import core, fan_words, is_fan_bio, skeleton, variants, words
from proto.identity import BlockKey, IdentityFacts, Name
from proto.ids import Platform
from proto.records import ContentItem, CreatorAccount
from stores.identity import WORD

_One = TypeVar("_One")

STRING, CORE, SITE, EMAIL, BIO, AVATAR = b"s", b"c", b"w", b"e", b"b", b"a"
"""Kinds of block keys; accounts that stand in one block may be one person's."""
OWNER, BIO_NAMES, CONTENT_NAMES = b"o", b"n", b"m"
"""Kinds of blocks of a name: who has it, whose bio says it, whose content says it. The first goes with the others."""
MOST_WORDS = 5
"""Of a display name; more make a sentence."""
LEAST_BIO_WORDS = 6
"""Shorter bios are alike by chance."""
LEAST_ALIAS_CHARS = 4
MOST_NAMED = 100
"""Accounts that one bio, or all the content of an account, may name; a catalogue of others says little of its owner."""
_PLATFORMS = tuple(Platform)
SHARED_SITES = word_table(
    """
    youtu.be bit.ly tinyurl.com goo.gl amzn.to amazon.com spoti.fi spotify.com open.spotify.com apple.com
    music.apple.com itunes.apple.com discord.gg discord.com patreon.com paypal.me paypal.com twitch.tv t.me telegram.me
    wa.me whatsapp.com soundcloud.com reddit.com linkedin.com pinterest.com tumblr.com medium.com wordpress.com
    blogspot.com wixsite.com google.com docs.google.com forms.gle gofundme.com ko-fi.com buymeacoffee.com teespring.com
    redbubble.com etsy.com shopify.com vk.com vk.cc weibo.com bilibili.com rumble.com parler.com gab.com odysee.com
    bitchute.com minds.com substack.com github.com wikipedia.org imdb.com creatoracademy.youtube.com naver.com line.me
    """
)
"""Hosts that many people have pages on, besides link pages and the platforms' own."""


def block_key(kind: bytes, value: str) -> BlockKey:
    return kind + hashlib.blake2b(value.encode(), digest_size=8).digest()


def named_key(platform: str, handle: str) -> Name:
    """Of an account as texts name it; begins with the platform's number (`platform_in`)."""
    number = _PLATFORMS.index(Platform(platform))
    return bytes((number,)) + hashlib.blake2b(handle.casefold().encode(), digest_size=8).digest()


def platform_in(key: Name) -> Platform:
    """Of a key made by `named_key`."""
    return _PLATFORMS[key[0]]


def facts_of(
    account: CreatorAccount,
    items: Sequence[ContentItem],
    *,
    former_handles: Iterable[str] = (),
    vector_hash: str = "",
    avatar: bytes = b"",
) -> IdentityFacts:
    """``items``: the newest, of which the texts count; ``former_handles``: links may still say them."""
    bio = [one for one in handles(account.bio) if not _is_own(one, account)]
    former = [one for one in former_handles if one.casefold() != account.handle.casefold()]
    facts = IdentityFacts(
        account_key=account.key,
        handle=skeleton(account.handle),
        former=_once(map(skeleton, former)),
        names=_once(map(skeleton, variants(account.display_name))),
        name=list(words(account.display_name)),
        aliases=_aliases(account, bio),
        markers=_markers(account),
        owned=_owned(account, former),
        left=_forms(account.platform, former),
        bio_named=_targets([*bio, *handles(account.website)])[:MOST_NAMED],
        content_named=_content_named(account, items),
        sites=_sites(account)[:MOST_NAMED],
        emails=_once(block_key(EMAIL, email) for email in account.emails)[:MOST_NAMED],
        bio=_bio_key(account.bio),
        language=account.language,
        country=account.country,
        vector_hash=vector_hash,
        avatar=avatar,
    )
    facts.keys = _keys(facts)
    return facts


def _markers(account: CreatorAccount) -> list[str]:
    said = ["fan bio"] if is_fan_bio(account.bio) else []
    return sorted({*said, *fan_words(account.handle), *fan_words(account.display_name)})


def _owned(account: CreatorAccount, former: Iterable[str]) -> list[Name]:
    forms = _forms(account.platform, [account.handle, *former])
    if account.platform is Platform.YOUTUBE:
        return [named_key(account.platform, account.platform_user_id), *forms]
    return forms


def _forms(platform: Platform, names: Iterable[str]) -> list[Name]:
    """As texts may write these handles."""
    forms = ("@{}", "user/{}", "c/{}") if platform is Platform.YOUTUBE else ("{}",)
    return [named_key(platform, form.format(name)) for name in _once(names) for form in forms]


def _keys(facts: IdentityFacts) -> list[BlockKey]:
    strings = _once([facts.handle, *facts.former, *facts.names])
    return _once(
        [
            *(block_key(STRING, one) for one in strings),
            *(block_key(CORE, core(one)) for one in (*strings, *facts.aliases)),
            *(block_key(WORD, word) for word in facts.name[:MOST_WORDS]),
            *(OWNER + name for name in facts.owned),
            *(BIO_NAMES + name for name in facts.bio_named),
            *(CONTENT_NAMES + name for name, _, _ in facts.content_named),
            *facts.sites,
            *facts.emails,
            *([facts.bio] if facts.bio else []),
            *([AVATAR + facts.avatar] if facts.avatar else []),
        ]
    )


def _targets(found: Iterable[Handle]) -> list[Name]:
    """Those on the platforms we follow."""
    known = {one.value for one in Platform}
    return _once(named_key(one.platform, one.handle) for one in found if one.platform in known)


def _content_named(account: CreatorAccount, items: Sequence[ContentItem]) -> list[tuple[Name, int, int]]:
    """On one's own platform collaborators are tagged, so that only other platforms' accounts tell something."""
    counts: Counter[Name] = Counter()
    firsts: Counter[Name] = Counter()
    for item in items:
        text = item.description or item.title_or_caption
        found = [one for one in handles(text) if one.platform != account.platform.value]
        first_of: dict[Platform, Name] = {}
        for target in _targets(found):
            counts[target] += 1
            first_of.setdefault(platform_in(target), target)
        firsts.update(first_of.values())
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_NAMED]
    return [(target, count, firsts[target]) for target, count in sorted(most)]


def _aliases(account: CreatorAccount, bio: Iterable[Handle]) -> list[str]:
    """One handle a platform where the bio names one alone, and the name of each website."""
    by_platform: defaultdict[str, list[str]] = defaultdict(list)
    for one in bio:
        if one.platform in PROFILE_URLS and one.platform != account.platform.value:
            by_platform[one.platform].append(one.handle)
    stated = [names[0] for names in by_platform.values() if len(names) == 1]
    sites = [host.rpartition(".")[0].rpartition(".")[2] or host for host in _own_hosts(account)]
    return [one for one in _once(map(skeleton, [*stated, *sites])) if len(one) >= LEAST_ALIAS_CHARS]


def _own_hosts(account: CreatorAccount) -> list[str]:
    hosts = (host_of(link) for link in (account.website, *account.links) if link)
    return _once(host for host in hosts if host and not _shared(host))


def _sites(account: CreatorAccount) -> list[BlockKey]:
    """Websites of one's own by their host; pages on hosts that many share, by their whole address."""
    stated = [link for link in (account.website, *account.links) if link]
    pages = [link.partition("//")[2].rstrip("/") for link in stated if is_link_page(link)]
    return _once(block_key(SITE, one.casefold()) for one in [*_own_hosts(account), *pages])


def _shared(host: str) -> bool:
    """Whether so many have pages there that it tells nothing."""
    parents = [host, *(host[at + 1 :] for at, mark in enumerate(host) if mark == ".")]
    return is_link_page(host) or platform_of(host) is not None or any(one in SHARED_SITES for one in parents)


def _bio_key(bio: str) -> BlockKey | None:
    found = words(bio[:2_000])
    return block_key(BIO, " ".join(found)) if len(found) >= LEAST_BIO_WORDS else None


def _is_own(one: Handle, account: CreatorAccount) -> bool:
    names = {account.handle.casefold(), account.platform_user_id.casefold()}
    return one.platform == account.platform.value and one.handle.casefold().lstrip("@") in names


def _once(found: Iterable[_One]) -> list[_One]:
    return list(dict.fromkeys(one for one in found if one))
