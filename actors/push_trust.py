"""Whether the hub that pushes news can be relied on: posts first seen by push against posts first seen by poll. Pure.

The hub says nothing when it stops delivering, and has stopped more than once (platform-apis 2.2). So each post of a
subscribed channel is counted under the hour in which it came out: as pushed when the push was first, as polled when a
poll found it and no push had come within `stores.subscriptions.PATIENCE_SECONDS`.

How soon a dead hub is noticed: let the subscribed channels publish ``n`` posts a day, and each be polled every ``p``
days. A post that is not pushed is found ``p`` / 2 days later on average, ``p`` at most. After ``t`` <= ``p`` days
``n`` t² / 2p of those not pushed have been found, later ``n`` (t - p / 2). The verdict falls with number `SILENT`:

    t = sqrt(2 * SILENT * p / n) while that is at most p, else SILENT / n + p / 2

A thousand channels with a post every other day, polled daily, are 4.8 hours; with polls stretched to three days 8.3.
And never later than `WINDOW_SECONDS`, since a hub of which nothing was heard for so long is not trusted either. To all
of this comes an hour at most, since the posts of the hour of the last push tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from stores.subscriptions import Subscription, Tally

DAY_SECONDS = 86_400
WINDOW_SECONDS = 2 * DAY_SECONDS
"""Posts that came out earlier count no more."""
SILENT = 10
"""So many polled posts that came out after the last pushed one: silence. By chance, at one lost push in five, once in
ten million runs."""
TRUST_HITS = 20
"""Trust needs so many pushed posts in the window: at most two days after a hub came back, if it pushes as many."""
TRUST_MISSES = 0.1
"""Trust is given at this share of polled posts or less."""
DISTRUST_MISSES = 0.25
"""Trust is lost above this share, of `SILENT` posts or more."""
STRETCH = 3.0
"""Polls of subscribed channels may be so many times as far apart: three days keeps the notice time above short."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the window says of the hub."""

    trusted: bool
    """Polls of the channels that it covers may be stretched, see `poll_stretch`."""
    hits: int
    """Posts pushed first."""
    misses: int
    """Posts polled first."""
    silent: bool
    """Nothing is delivered while posts come out."""


def judge(tallies: Sequence[Tally], now: float, *, trusted: bool) -> Verdict:
    """``tallies``: hours in any order; ``trusted``: the verdict so far. A hub of which nothing is known is not."""
    recent = [tally for tally in tallies if now - tally.hour_at <= WINDOW_SECONDS]
    hits, misses = sum(tally.pushed for tally in recent), sum(tally.polled for tally in recent)
    heard_at = max((tally.hour_at for tally in recent if tally.pushed), default=0)
    silent = sum(tally.polled for tally in recent if tally.hour_at > heard_at) >= SILENT
    return Verdict(trusted=not silent and _sound(hits, misses, trusted), hits=hits, misses=misses, silent=silent)


def poll_stretch(told: Subscription | None, now: float, *, trusted: bool) -> float:
    """By what the interval between polls of a channel may be multiplied: `STRETCH` while a trusted hub covers it."""
    return STRETCH if trusted and told is not None and told.covered_since <= now < told.lease_ends_at else 1.0


def notice_seconds(posts_per_day: float, poll_seconds: float) -> float:
    """How long a dead hub is believed: see above.

    ``posts_per_day``: of all subscribed channels together; ``poll_seconds``: between two polls of one of them.
    """
    if posts_per_day <= 0:
        return WINDOW_SECONDS
    silent_seconds = SILENT * DAY_SECONDS / posts_per_day
    early = math.sqrt(2 * silent_seconds * poll_seconds)
    return min(early if early <= poll_seconds else silent_seconds + poll_seconds / 2, WINDOW_SECONDS)


def _sound(hits: int, misses: int, trusted: bool) -> bool:
    """Losing trust takes more than not gaining it, so that a share near the limit does not flap."""
    share = misses / max(hits + misses, 1)
    if trusted:
        return hits > 0 and (share <= DISTRUST_MISSES or hits + misses < SILENT)
    return hits >= TRUST_HITS and share <= TRUST_MISSES
