"""An account of the identity world in the making: what it says of itself and others, and the records it becomes."""

from __future__ import annotations

import random

import msgspec

from actors.platforms.youtube import rounding_step
from actors.reading import with_extracted
from daemon.evaluation import identity_naming as naming
from daemon.evaluation.identity_tongues import Spelled, Tongue
from daemon.simulator.generator import CHANNEL_ENDS, DAY_SECONDS, ID_ALPHABET, NOW, VIDEO_ENDS
from proto.ids import Platform, account_key
from proto.records import ContentItem, ContentType, CreatorAccount, Normalised

YOUTUBE, INSTAGRAM = Platform.YOUTUBE, Platform.INSTAGRAM
FUSED_SHARE = 0.08
"""Of the descriptions; their newlines are lost, as in data that passed through tables."""


class Person(msgspec.Struct, kw_only=True):
    """The choices that one person's or brand's accounts share."""

    truth: str
    tongue: Tongue
    country: str
    given: Spelled
    family: Spelled
    name: str
    """As displayed."""
    parts: tuple[str, ...]
    """What the handle is made of."""
    followers: int
    alias: str = ""
    """Under which it has a website, an address and a page of links; nobody else has them. Empty until asked for."""


class Page(msgspec.Struct, kw_only=True):
    """An account in the making."""

    person: Person
    platform: Platform
    user_id: str
    handle: str
    name: str
    prose: list[str]
    says: list[list[str]]
    """Per item: the lines below its title."""
    lines: list[str] = []
    """Below the prose of the bio: links, addresses, other accounts."""
    website: str = ""
    """A profile on Instagram has one; on YouTube it stands among the lines."""

    def add(self, line: str) -> None:
        """To the website if it is one and there is room, else to the lines."""
        if self.platform is INSTAGRAM and line.startswith("http") and not self.website:
            self.website = line
        else:
            self.lines.append(line)


def link_to(dice: random.Random, page: Page) -> str:
    return link_to_channel(dice, page) if page.platform is YOUTUBE else link_to_instagram(dice, page.handle)


def link_to_instagram(dice: random.Random, handle: str) -> str:
    url = f"https://www.instagram.com/{handle}"
    return dice.choice((url, f"{url}/", f"Instagram: {url}", f"instagram.com/{handle}", f"Instagram: @{handle}"))


def link_to_channel(dice: random.Random, channel: Page) -> str:
    url = "https://www.youtube.com"
    by_handle, by_id = f"{url}/@{channel.handle}", f"{url}/channel/{channel.user_id}"
    return dice.choice((by_handle, by_handle, by_id, f"YouTube: @{channel.handle}"))


def site_of(dice: random.Random, host: str) -> str:
    return f"https://{dice.choice(('', 'www.'))}{host}.com"


def email_of(dice: random.Random, name: str) -> str:
    address = (
        f"{dice.choice(('', 'business.', 'contact.'))}{name}@{dice.choice(('gmail.com', 'gmail.com', 'outlook.com'))}"
    )
    return dice.choice((address, f"Business: {address}", f"📩 {address}"))


def elsewhere(dice: random.Random, handle: str) -> str:
    """The handle on a platform that is not of this world."""
    return dice.choice(("Twitter: @{}", "TikTok: @{}", "https://www.twitch.tv/{}")).format(handle)


def as_stored(dice: random.Random, page: Page) -> tuple[CreatorAccount, list[ContentItem]]:
    """As the normaliser would store it; no item has tags or disclosures to read."""
    items = [_item(dice, page, lines, age_days) for age_days, lines in enumerate(page.says, dice.randint(1, 90))]
    dice.shuffle(page.lines)
    account = _account(dice, page)
    return with_extracted(Normalised(account_key=account.key, account=account)).account or account, items


def _account(dice: random.Random, page: Page) -> CreatorAccount:
    """Instagram itself states neither country nor language; some imports do. A few creators state other ones."""
    person, on_youtube = page.person, page.platform is YOUTUBE
    followers = int(person.followers * (1 if on_youtube else dice.uniform(0.1, 2.0))) + 1_000
    step = rounding_step(followers) if on_youtube else None
    return CreatorAccount(
        platform=page.platform,
        platform_user_id=page.user_id,
        handle=page.handle,
        display_name=page.name,
        bio="\n".join([*page.prose, *page.lines]),
        website=page.website,
        followers=followers // step * step if step else followers,
        followers_step=step,
        media_count=dice.randint(10, 2_000),
        total_views=followers * dice.randint(20, 200) if on_youtube else None,
        country=_stated(dice, person.country, "US", 0.7 if on_youtube else 0.2),
        language=_stated(dice, person.tongue.code, "en", 0.4 if on_youtube else 0.2),
        created_at=NOW - dice.randint(800, 5_000) * DAY_SECONDS if on_youtube else None,
        fetched_at=NOW,
        content_fetched_at=NOW,
    )


def _stated(dice: random.Random, true: str, other: str, share: float) -> str | None:
    chance = dice.random()
    return None if chance > share else other if chance < share * 0.05 else true


def _item(dice: random.Random, page: Page, lines: list[str], age_days: int) -> ContentItem:
    person, on_youtube = page.person, page.platform is YOUTUBE
    title = naming.title(dice, person.tongue, person.given)
    below = [naming.title(dice, person.tongue, person.given), *lines] if on_youtube else [title, *lines]
    text = (naming.picked(dice, ("", " ")) if dice.random() < FUSED_SHARE else "\n").join(below)
    views = int(person.followers * dice.uniform(0.02, 0.5)) + 10
    return ContentItem(
        content_id=random_id(dice, 10) + naming.picked(dice, VIDEO_ENDS) if on_youtube else _number(dice),
        account_key=account_key(page.platform, page.user_id),
        content_type=ContentType.VIDEO if on_youtube else ContentType.POST,
        title_or_caption=title if on_youtube else text,
        description=text if on_youtube else "",
        published_at=NOW - age_days * DAY_SECONDS,
        views=views if on_youtube else None,
        likes=views // 20,
        comments=views // 300,
        duration_seconds=120 + views % 3_600 if on_youtube else None,
        fetched_at=NOW,
        detailed=True,
    )


def user_id_on(dice: random.Random, platform: Platform) -> str:
    return f"UC{random_id(dice, 21)}{dice.choice(CHANNEL_ENDS)}" if platform is YOUTUBE else _number(dice)


def _number(dice: random.Random) -> str:
    """17 digits, as Instagram counts accounts and media."""
    return str(17_841_400_000_000_000 + dice.randrange(10**15))


def random_id(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(ID_ALPHABET, k=length))
