"""Accounts of a world in which it is known who is who: what identity resolution is measured on.

Most are ordinary people and brands; about one in eight belongs to a trap, in which strangers look like one person.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from daemon.evaluation import identity_naming as naming
from daemon.evaluation.identity import Known
from daemon.evaluation.identity_pages import (
    INSTAGRAM,
    YOUTUBE,
    Page,
    Person,
    as_stored,
    elsewhere,
    email_of,
    link_to,
    link_to_channel,
    link_to_instagram,
    random_id,
    site_of,
    user_id_on,
)
from daemon.evaluation.identity_tongues import BRANCHES, EMOJI, TOPICS, WORDS, Spelled, Tongue
from proto.ids import Platform

HOUSEHOLDS = ((YOUTUBE, INSTAGRAM), (YOUTUBE,), (INSTAGRAM,))
HOUSEHOLD_SHARES = (0.45, 0.33, 0.22)
BRAND_SHARE, SECOND_CHANNEL_SHARE = 0.2, 0.014
SAME_HANDLE_SHARE, VARIANT_SHARE = 0.55, 0.25
"""Of the second accounts; the rest go by another nickname."""
MIN_HANDLE_CHARS = 3
FAN_HANDLES = (
    *("{}fans", "daily.{}", "{}_fanpage", "{}clips", "{}.archive", "team{}", "best.of.{}", "{}updates", "{}.edits"),
    *("{}daily", "{}_fc"),
)
FAN_WORDS = ("Fans", "Clips", "Daily", "Archive", "Fanpage", "Updates", "Moments")
FAN_BIOS = ("Fan page of {}", "Daily clips of {}", "Not affiliated with {}", "Best moments of {}", "We love {}", "{}")


def known_accounts(count: int, seed: int) -> list[Known]:
    """A pure function of both; the first accounts of a larger count are those of a smaller one."""
    population = _Population(seed)
    while len(population.known) < count:
        population.grow()
    return population.known[:count]


class _Population:
    """All accounts so far, and the names they have taken."""

    def __init__(self, seed: int) -> None:
        self.known: list[Known] = []
        self.instagrammers: list[str] = []
        self.people = 0
        self._seed, self._groups = seed, 0
        self._aliases: set[str] = set()
        self._owners_elsewhere: dict[str, str] = {}
        self._taken: dict[Platform, set[str]] = {YOUTUBE: set(), INSTAGRAM: set()}
        self._trapped: Counter[str] = Counter()

    def grow(self) -> None:
        """Adds some people who have to do with each other, of a trap that is due or of none."""
        group = _Group(self, random.Random(f"{self._seed}/{self._groups}"))
        self._groups += 1
        trap = self._due()
        (TRAPS[trap].make if trap else _ordinary)(group)
        self._trapped[trap] += len(group.pages)
        self.instagrammers += (page.handle for page in group.pages if page.platform is INSTAGRAM)
        for page in group.pages:
            account, items = as_stored(group.dice, page)
            self.known.append(Known(account=account, items=items, person=page.person.truth, trap=trap))

    def _due(self) -> str:
        """A trap that is behind its share by half of what it adds at once: so shares hold in small worlds too."""
        for name, trap in TRAPS.items():
            if self._trapped[name] + trap.accounts / 2 < trap.share * len(self.known):
                return name
        return ""

    def is_free(self, platform: Platform, handle: str) -> bool:
        return len(handle) >= MIN_HANDLE_CHARS and handle.lower() not in self._taken[platform]

    def claim(self, dice: random.Random, platform: Platform, wanted: str) -> str:
        """The wanted handle, or what people make of it when it is taken."""
        handle = naming.fitting(platform, wanted)
        while not self.is_free(platform, handle):
            handle = naming.fitting(platform, naming.variation(dice, wanted))
        self._taken[platform].add(handle.lower())
        return handle

    def alias_of(self, dice: random.Random, person: Person) -> str:
        if not person.alias:
            person.alias = "".join(person.parts)
            while person.alias in self._aliases:
                person.alias += str(dice.randint(1, 9))
            self._aliases.add(person.alias)
        return person.alias

    def has_elsewhere(self, person: Person, handle: str) -> bool:
        """Whether the handle on other platforms is theirs: who asks first has it."""
        return self._owners_elsewhere.setdefault(handle, person.truth) == person.truth


class _Group:
    """People who have to do with each other, made with dice of their own."""

    def __init__(self, population: _Population, dice: random.Random) -> None:
        self.dice, self.pages = dice, list[Page]()
        self._population = population

    def happens(self, share: float) -> bool:
        return self.dice.random() < share

    def person(self, tongue: Tongue | None = None, *, brand: bool = False) -> Person:
        dice = self.dice
        tongue = tongue or naming.drawn_tongue(dice)
        given, family = naming.drawn_name(dice, tongue)
        parts = naming.brand_parts(dice) if brand else naming.person_parts(dice, given, family)
        written = " ".join(parts).title()
        named = not brand and (given.latin in parts or self.happens(0.5))
        self._population.people += 1
        return Person(
            truth=f"person-{self._population.people}",
            tongue=tongue,
            country=dice.choice(tongue.countries),
            given=given,
            family=family,
            name=naming.full_name(tongue, given, family) if named else written,
            parts=parts,
            followers=int(min(max(dice.lognormvariate(10.3, 1.7), 1_000), 20_000_000)),
        )

    def page(self, person: Person, platform: Platform, wanted: str = "") -> Page:
        dice = self.dice
        handle = self.claim(platform, wanted or naming.joined(dice, person.parts))
        dressed = f"{person.name} {dice.choice(EMOJI)}" if platform is INSTAGRAM else f"{person.name} Channel"
        page = Page(
            person=person,
            platform=platform,
            user_id=user_id_on(dice, platform),
            handle=handle,
            name=dressed if self.happens(0.12) else handle if self.happens(0.05) else person.name,
            prose=naming.prose(dice, person.tongue, person.given),
            says=[self._chatter(platform) for _ in range(dice.randint(3, 6))],
        )
        self.pages.append(page)
        return page

    def claim(self, platform: Platform, wanted: str) -> str:
        return self._population.claim(self.dice, platform, wanted)

    def alias(self, person: Person) -> str:
        return self._population.alias_of(self.dice, person)

    def elsewhere(self, page: Page) -> list[str]:
        """The page's handle on another platform, unless that is somebody else's there."""
        handle = page.handle.lower().replace(".", "_")
        return [elsewhere(self.dice, handle)] if self._population.has_elsewhere(page.person, handle) else []

    def free_on_both(self, given: Spelled) -> str:
        """A short handle that many would like, and that nobody has yet."""
        wanted = given.latin
        while not all(self._population.is_free(platform, wanted) for platform in (YOUTUBE, INSTAGRAM)):
            first = self.dice.choice((given.latin, naming.nickname(self.dice, 2)))
            wanted = first + self.dice.choice(("", *TOPICS, *WORDS))
        return wanted

    def stranger(self) -> str:
        """The Instagram handle of somebody who has no part in this."""
        others = self._population.instagrammers
        return self.dice.choice(others) if others else self.claim(INSTAGRAM, naming.nickname(self.dice, 3))

    def pair(self, person: Person, first: str = "") -> tuple[Page, Page]:
        """The person's channel and profile, with what tells that they are one's."""
        channel = self.page(person, YOUTUBE, first)
        profile = self.page(person, INSTAGRAM, self._second_handle(channel))
        _leave_traces(self, channel, profile)
        return channel, profile

    def household(self, person: Person) -> list[Page]:
        """The person's accounts, on one platform or both."""
        platforms = self.dice.choices(HOUSEHOLDS, HOUSEHOLD_SHARES)[0]
        if len(platforms) == 2:
            return list(self.pair(person))
        page = self.page(person, platforms[0])
        _leave_loose_ends(self, page)
        return [page]

    def _second_handle(self, first: Page) -> str:
        parts, chance = first.person.parts, self.dice.random()
        if chance < SAME_HANDLE_SHARE:
            return first.handle
        if chance < SAME_HANDLE_SHARE + VARIANT_SHARE:
            rejoined = len(parts) > 1 and self.happens(0.3)
            return naming.joined(self.dice, parts) if rejoined else naming.variation(self.dice, first.handle)
        return self.dice.choice((naming.nickname(self.dice, 3), "".join(naming.invented_words(self.dice))))

    def _chatter(self, platform: Platform) -> list[str]:
        """Lines that say nothing of who owns the account."""
        if platform is INSTAGRAM:
            return [f"📷 @{self.stranger()}"] if self.happens(0.15) else []
        lines = ["Gear: https://amzn.to/" + random_id(self.dice, 7)] if self.happens(0.2) else []
        if self.happens(0.12):
            lines.append(f"With my friend {link_to_instagram(self.dice, self.stranger())}")
        return lines


def _ordinary(group: _Group) -> None:
    pages = group.household(group.person(brand=group.happens(BRAND_SHARE)))
    if pages[0].platform is YOUTUBE and group.happens(SECOND_CHANNEL_SHARE):
        _add_second_channel(group, pages[0])


def _add_second_channel(group: _Group, first: Page) -> None:
    second = group.page(first.person, YOUTUBE, first.handle + group.dice.choice(("2", "vlogs", "plus", "shorts")))
    second.lines.append(f"Main channel: {link_to_channel(group.dice, first)}")
    first.lines.append(f"Second channel: {link_to_channel(group.dice, second)}")


def _common_handle(group: _Group) -> None:
    """Two people of one handle on two platforms, or of one full name; half of the former have a true second account."""
    if group.happens(0.4):
        return _namesakes(group)
    one, other = group.person(), group.person()
    while other.tongue is one.tongue or other.country == one.country:
        other = group.person()
    wanted = group.free_on_both(one.given)
    channel, profile = group.page(one, YOUTUBE, wanted), group.page(other, INSTAGRAM, wanted)
    if group.happens(0.6):
        channel.name = profile.name = wanted.title()
    if group.happens(0.5):
        own = group.page(one, INSTAGRAM, naming.variation(group.dice, wanted))
        _leave_traces(group, channel, own)
        channel.lines.append(link_to_instagram(group.dice, own.handle))
    if group.happens(0.5):
        own = group.page(other, YOUTUBE, naming.variation(group.dice, wanted))
        _leave_traces(group, own, profile)
        own.lines.append(link_to_instagram(group.dice, profile.handle))
    return None


def _namesakes(group: _Group) -> None:
    one = group.person()
    name, parts = naming.full_name(one.tongue, one.given, one.family), (one.given.latin, one.family.latin)
    for person in (one, group.person(one.tongue)):
        person.name, person.parts = name, parts
        channel, profile = group.pair(person)
        channel.lines.append(link_to_instagram(group.dice, profile.handle))


def _twins(group: _Group) -> None:
    """Siblings with both accounts each, who name each other wherever they can."""
    dice, one = group.dice, group.person()
    other = group.person(one.tongue)
    while other.given is one.given:
        other.given = dice.choice(one.tongue.given)
    other.family, other.country = one.family, one.country
    near = group.happens(0.4)
    pairs = []
    for person in (one, other):
        person.name = naming.full_name(person.tongue, person.given, person.family)
        family, given = person.family.latin, person.given.latin
        person.parts = (family, "twin", given[:2]) if near else (family, given)
        pairs.append(group.pair(person))
    relation = dice.choice(("twin", "sister", "brother", "sibling", "other half"))
    for own, others in (pairs, pairs[::-1]):
        _name_each_other(group, own, others, relation)
    if group.happens(0.4):
        _share_lines(group, group.pages, [f"both.{group.alias(one)}@gmail.com"], 0.9)
    if group.happens(0.3):
        _share_lines(group, group.pages, [site_of(dice, f"{group.alias(one)}twins")], 0.9)


def _name_each_other(group: _Group, own: Sequence[Page], others: Sequence[Page], relation: str) -> None:
    """Each page links an account of the other person in its bio, and half of them in what they publish."""
    for page in own:
        named = group.dice.choice(others)
        said = f"My {relation}: {link_to(group.dice, named)}"
        if group.happens(0.8):
            page.lines.append(said)
        if group.happens(0.5):
            _say(group, page, said)


def _fan(group: _Group) -> None:
    """A star and one to three pages of fans, each somebody else; most link the star."""
    dice, star = group.dice, group.person()
    star.followers *= 20
    pages = group.household(star)
    base = pages[0].handle.lower().strip("._")
    for _ in range(dice.randint(1, 3)):
        fan = group.person(star.tongue if group.happens(0.6) else None)
        wanted = dice.choice(FAN_HANDLES).format(base)
        page = group.page(fan, dice.choice((YOUTUBE, INSTAGRAM)), wanted)
        page.name = star.name if group.happens(0.5) else f"{star.name} {dice.choice(FAN_WORDS)}"
        page.prose = [dice.choice(FAN_BIOS).format(star.name)] if group.happens(0.8) else list(pages[0].prose)
        named = dice.choice(pages)
        if group.happens(0.85):
            page.lines.append(link_to(dice, named))
        if group.happens(0.5):
            _say(group, page, f"All credits: {link_to(dice, named)}")


def _agency(group: _Group) -> None:
    """Creators, or the two to four of an office, who share a website, an e-mail address or both."""
    dice = group.dice
    size = dice.randint(10, 60) if group.happens(0.4) else dice.randint(2, 4)
    for _ in range(size):
        group.household(group.person())
    host = naming.nickname(dice, 4) + dice.choice(("media", "mgmt", "talent", "agency"))
    site, email = f"https://www.{host}.com", f"Business: {dice.choice(('hello', 'talent', 'booking'))}@{host}.com"
    _share_lines(group, group.pages, dice.choice(([site], [email], [site, email])), 0.85)


def _guest(group: _Group) -> None:
    """A channel whose every item links guests, sometimes one alone, or always the same editor."""
    dice, host = group.dice, group.person()
    channel = group.pair(host)[0] if group.happens(0.5) else group.page(host, YOUTUBE)
    crew = f"{dice.choice(('Editor', 'Photographer', 'Camera'))}: {link_to_instagram(dice, group.stranger())}"
    has_crew = group.happens(0.4)
    for lines in channel.says:
        guests = [group.stranger() for _ in range(1 if group.happens(0.2) else dice.randint(2, 4))]
        lines += [f"{dice.choice(('Guest', 'With', 'Follow'))}: {link_to_instagram(dice, guest)}" for guest in guests]
        lines += [crew] if has_crew else []


def _brand_family(group: _Group) -> None:
    """A brand's branches are creators of their own, yet all link the one profile, which is the main channel's."""
    dice, brand = group.dice, group.person(brand=True)
    channel, profile = group.pair(brand)
    channel.lines.append(link_to_instagram(dice, profile.handle))
    for branch in dice.sample(BRANCHES, dice.randint(2, 5)):
        person = group.person(brand=True)
        person.parts, person.name = (*brand.parts, branch.lower().replace("ñ", "n")), f"{brand.name} {branch}"
        page = group.page(person, YOUTUBE)
        if group.happens(0.9):
            page.lines.append(link_to_instagram(dice, profile.handle))
        if group.happens(0.7):
            _say(group, page, link_to_instagram(dice, profile.handle))
    _share_lines(group, group.pages, [site_of(dice, group.alias(brand))], 0.6)


def _leave_traces(group: _Group, channel: Page, profile: Page) -> None:
    """What tells that both are one person's, each drawn by itself."""
    dice, pages = group.dice, (channel, profile)
    if group.happens(0.5):
        channel.lines.append(link_to_instagram(dice, profile.handle))
    if group.happens(0.6):
        _say(group, channel, link_to_instagram(dice, profile.handle))
    if group.happens(0.35):
        profile.add(link_to_channel(dice, channel))
    if group.happens(0.2):
        _share_lines(group, pages, [site_of(dice, group.alias(channel.person))], 1.0)
    if group.happens(0.25):
        _share_lines(group, pages, [email_of(dice, group.alias(channel.person))], 1.0)
    if group.happens(0.25):
        profile.prose = channel.prose[: dice.randint(1, 3)]
    if group.happens(0.1):
        _share_lines(group, pages, [f"https://linktr.ee/{group.alias(channel.person)}"], 1.0)
    if group.happens(0.3):
        _share_lines(group, pages, group.elsewhere(dice.choice(pages)), 0.7)
    for page in pages:
        _leave_loose_ends(group, page, share=0.1)


def _leave_loose_ends(group: _Group, page: Page, share: float = 0.2) -> None:
    """What a page says whether or not another one answers to it, each with that share."""
    dice = group.dice
    if group.happens(share):
        page.add(site_of(dice, group.alias(page.person)))
    if group.happens(share):
        page.lines.append(email_of(dice, group.alias(page.person)))
    if group.happens(share):
        page.lines += group.elsewhere(page)
    if page.platform is YOUTUBE and group.happens(share):
        shop = group.claim(INSTAGRAM, f"{naming.nickname(dice, 3)}shop")
        page.lines.append(f"Merch: {link_to_instagram(dice, shop)}")


def _share_lines(group: _Group, pages: Sequence[Page], lines: list[str], share: float) -> None:
    """Each page says them, with that chance."""
    for page in pages:
        if group.happens(share):
            for line in lines:
                page.add(line)


def _say(group: _Group, page: Page, line: str) -> None:
    """In all items, or in some of them and at least one."""
    share = 1.0 if group.happens(0.6) else 0.4
    said = [lines for lines in page.says if group.happens(share)] or page.says[:1]
    for lines in said:
        lines.insert(group.dice.randint(0, len(lines)), line)


class Trap(msgspec.Struct, frozen=True):
    """How many of all accounts are part of it, how many it adds at once about, and what adds them."""

    share: float
    accounts: int
    make: Callable[[_Group], None]


TRAPS = {
    "common_handle": Trap(0.03, 3, _common_handle),
    "twins": Trap(0.02, 4, _twins),
    "fan": Trap(0.025, 4, _fan),
    "agency": Trap(0.025, 24, _agency),
    "guest": Trap(0.01, 2, _guest),
    "brand_family": Trap(0.01, 6, _brand_family),
}
