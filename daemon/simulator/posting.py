"""When accounts post: a schedule that depends on nothing but the seed, the account and the time.

A Poisson process of sessions, most of them in the account's habitual hours, each of one post or a burst of several.
Time is cut into blocks with dice of their own, so that any span can be asked for without playing what was before.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec

DAY_SECONDS = 86_400
BLOCK_SECONDS = 28 * DAY_SECONDS
OVERHANG_SECONDS = DAY_SECONDS
"""A session begins inside its block and is over this much later at the latest."""

POSTS_PER_DAY = {"active": 0.5, "semi_active": 0.1, "long_tail": 0.005}
"""Means by activity (platform-apis 6)."""
MOST_POSTS_PER_DAY = 8.0
SPREAD = 0.6
"""Sigma of the lognormal by which accounts of one activity differ."""
HABITUAL_SHARE = 0.85
"""Of the sessions: within the habitual hours, the others at any hour."""
HABITUAL_HOURS = 4
LONGEST_BURST = 12
CACHED_BLOCKS = 200_000


class Habit(msgspec.Struct, kw_only=True, frozen=True):
    """How one account posts."""

    account: str
    posts_per_day: float
    first_hour: int
    """0..23 UTC; the habitual hours are this and the following ones."""
    posts_per_session: float


class Slot(NamedTuple):
    """One post of the schedule; (block, place) name it for ever."""

    at: int
    block: int
    place: int


class Posting:
    """The schedules of all accounts under one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._blocks: dict[tuple[str, int], tuple[Slot, ...]] = {}

    def habit(self, account: str, activity: str) -> Habit:
        """``activity`` is a key of POSTS_PER_DAY; anything else counts as the long tail."""
        dice = random.Random(f"{self.seed}/habit/{account}")
        mean = POSTS_PER_DAY.get(activity, POSTS_PER_DAY["long_tail"])
        rate = mean * dice.lognormvariate(-SPREAD * SPREAD / 2, SPREAD)
        return Habit(
            account=account,
            posts_per_day=min(rate, MOST_POSTS_PER_DAY),
            first_hour=dice.randrange(24),
            posts_per_session=dice.choice((1.0, 1.0, 1.5, 3.0)),
        )

    def posts_between(self, habit: Habit, begin: float, end: float) -> list[Slot]:
        """Slots with ``begin <= at < end`` (epoch seconds), oldest first."""
        first = int((begin - OVERHANG_SECONDS) // BLOCK_SECONDS)
        last = int(end // BLOCK_SECONDS)
        slots = [slot for number in range(first, last + 1) for slot in self.block(habit, number)]
        return sorted(slot for slot in slots if begin <= slot.at < end)

    def block(self, habit: Habit, number: int) -> tuple[Slot, ...]:
        """The slots whose session begins in this block; kept, since the same ones are asked for again and again."""
        key = (habit.account, number)
        if key not in self._blocks:
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.clear()
            self._blocks[key] = block_of(self.seed, habit, number)
        return self._blocks[key]


def block_of(seed: int, habit: Habit, number: int) -> tuple[Slot, ...]:
    dice = random.Random(f"{seed}/posts/{habit.account}/{number}")
    sessions_per_day = habit.posts_per_day / habit.posts_per_session
    instants: list[int] = []
    begin, day = number * BLOCK_SECONDS, dice.expovariate(sessions_per_day)
    while day < BLOCK_SECONDS / DAY_SECONDS:
        instants += _session(dice, habit, begin + int(day) * DAY_SECONDS)
        day += dice.expovariate(sessions_per_day)
    return tuple(Slot(at, number, place) for place, at in enumerate(sorted(instants)))


def _session(dice: random.Random, habit: Habit, midnight: int) -> list[int]:
    """Instants of one session on the day that begins at ``midnight`` (UTC)."""
    if dice.random() < HABITUAL_SHARE:
        hour = (habit.first_hour + dice.randrange(HABITUAL_HOURS)) % 24
    else:
        hour = dice.randrange(24)
    at = midnight + hour * 3_600 + dice.randrange(3_600)
    instants = [at]
    while len(instants) < LONGEST_BURST and dice.random() < 1 - 1 / habit.posts_per_session:
        at += dice.randint(600, 5_400)
        instants.append(at)
    return instants
