"""What happens to accounts, videos, tokens and the platforms themselves at some instant; the bodies of /_simulator/events."""

from __future__ import annotations

import random

import msgspec

from daemon.simulator.posting import DAY_SECONDS
from daemon.simulator.world import World

RENAMED_SHARE, DELETED_SHARE, RETURNING_SHARE, NICHE_CHANGED_SHARE = 0.005, 0.005, 0.4, 0.01
"""Of the accounts in a month; of the deleted ones that come back."""
MONTH_DAYS = 30
AWAY_DAYS = (2.0, 12.0)


class Event(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """Something that happens at once."""


class Timed(Event, kw_only=True, frozen=True):
    """``at`` is an epoch second, also one to come; None: now."""

    at: float | None = None


class OfAccount(Timed, kw_only=True, frozen=True):
    """``account`` is a channel id or an Instagram id."""

    account: str


class Rename(OfAccount, tag="rename", kw_only=True, frozen=True):
    """The handle or username becomes ``name``; the id stays."""

    name: str


class ChangeBio(OfAccount, tag="change_bio", kw_only=True, frozen=True):
    """The description or biography becomes ``text``."""

    text: str


class Delete(OfAccount, tag="delete", kw_only=True, frozen=True):
    """Deleted, or made private: no caller can tell."""


class Restore(OfAccount, tag="restore", kw_only=True, frozen=True):
    pass


class ChangeNiche(OfAccount, tag="change_niche", kw_only=True, frozen=True):
    """From then on the scheduled posts are about ``niche``, an id of the taxonomy; with ``bio`` also the bio."""

    niche: str
    bio: bool = False


class PostNow(OfAccount, tag="post", kw_only=True, frozen=True):
    """One post beside the schedule."""

    title: str = ""


class EditVideo(Timed, tag="edit_video", kw_only=True, frozen=True):
    video: str
    title: str


class DeleteVideo(Timed, tag="delete_video", kw_only=True, frozen=True):
    video: str
    private: bool = False


class RevokeToken(Event, tag="revoke_token", kw_only=True, frozen=True):
    """``name`` is the token's name, never its text."""

    name: str


class KillHub(Event, tag="kill_hub", kw_only=True, frozen=True):
    """The hub goes on accepting and delivers nothing more."""


class ReviveHub(Event, tag="revive_hub", kw_only=True, frozen=True):
    pass


class FeedsDown(Timed, tag="feeds_down", kw_only=True, frozen=True):
    """Feeds of this share of the channels answer 404 or 500 for that long."""

    share: float
    seconds: float


AccountEvent = Rename | ChangeBio | Delete | Restore | ChangeNiche | PostNow
VideoEvent = EditVideo | DeleteVideo
AnyEvent = AccountEvent | VideoEvent | RevokeToken | KillHub | ReviveHub | FeedsDown


def scheduled_events(world: World, seed: int, days: float = MONTH_DAYS) -> list[AccountEvent]:
    """What befalls the accounts of a living world in ``days`` after its ``now``, oldest first; a pure function."""
    niches = sorted({channel.truth.niche for channel in world.channels.values() if channel.truth})
    accounts = [(channel.id, channel.handle) for channel in world.channels.values()]
    accounts += [(profile.id, profile.username) for profile in world.profiles.values()]
    found: list[AccountEvent] = []
    for account, name in accounts:
        dice = random.Random(f"{seed}/events/{account}")
        found += _fate(dice, account, name, niches, world.now, days)
    return sorted(found, key=lambda event: (event.at or 0.0, event.account))


def niche_changes(world: World, seed: int, share: float, at: float) -> list[ChangeNiche]:
    """A share of the people turn to another niche at an instant, with all their accounts, posts and bios alike."""
    accounts = [(channel.id, channel.truth) for channel in world.channels.values()]
    accounts += [(profile.id, profile.truth) for profile in world.profiles.values()]
    niches = sorted({truth.niche for _, truth in accounts if truth})
    found: list[ChangeNiche] = []
    for account, truth in accounts:
        if truth is None:
            continue
        dice = random.Random(f"{seed}/drift/{truth.person}")
        others = [niche for niche in niches if niche != truth.niche]
        if dice.random() < share and others:
            found.append(ChangeNiche(at=at, account=account, niche=dice.choice(others), bio=True))
    return found


def _fate(
    dice: random.Random, account: str, name: str, niches: list[str], begin: int, days: float
) -> list[AccountEvent]:
    at, chance = begin + dice.uniform(0, days) * DAY_SECONDS, dice.random() * MONTH_DAYS / days
    if chance < RENAMED_SHARE:
        return [Rename(at=at, account=account, name=f"{name[:25]}{dice.randrange(10, 100)}")] if name else []
    chance -= RENAMED_SHARE
    if chance < DELETED_SHARE:
        back = at + dice.uniform(*AWAY_DAYS) * DAY_SECONDS
        returns = dice.random() < RETURNING_SHARE
        return [Delete(at=at, account=account), *([Restore(at=back, account=account)] if returns else [])]
    chance -= DELETED_SHARE
    if chance < NICHE_CHANGED_SHARE and niches:
        return [ChangeNiche(at=at, account=account, niche=dice.choice(niches))]
    return []
