"""Where the daemon's threads spend their time: their stacks, sampled for some seconds, the most frequent first."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from types import FrameType

from proto.errors import Malformed

MOST_SECONDS = 60.0
EVERY_SECONDS = 0.01
DEEPEST = 60
"""Frames of a stack that are kept, the innermost."""
MOST_STACKS = 5_000
"""Different ones; samples of others are only counted."""
SHOWN = 30
IDLE = ("WorkerThread._work ", "_worker ", "EpollIOManager.get_events ", "Condition.wait ")
"""How the innermost frame of a thread begins that waits for something to do."""


def check_seconds(seconds: float) -> None:
    """Raises Malformed."""
    if not 0 < seconds <= MOST_SECONDS:  # also what is no number
        raise Malformed(f"seconds: expected more than 0 and at most {MOST_SECONDS:g}, not {seconds:g}")


def sample(
    seconds: float, *, every_seconds: float = EVERY_SECONDS, cancelled: Callable[[], object] = lambda: None
) -> str:
    """Blocking, for a thread of its own, which it leaves out. ``cancelled``: raises when nobody waits for it any more.

    Threads that wait for something to do are told in a line each.
    """
    stacks: Counter[tuple[str, ...]] = Counter()
    rounds = others = 0
    began = time.monotonic()
    while not rounds or time.monotonic() - began < min(seconds, MOST_SECONDS):
        cancelled()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == threading.get_ident():
                continue
            stack = (names.get(ident, "unnamed"), *_words(frame))
            if stack in stacks or len(stacks) < MOST_STACKS:
                stacks[stack] += 1
            else:
                others += 1
        rounds += 1
        time.sleep(every_seconds)
    return _text(stacks, rounds, others, time.monotonic() - began)


def _words(frame: FrameType | None) -> tuple[str, ...]:
    """Innermost first."""
    found: list[str] = []
    while frame is not None and len(found) < DEEPEST:
        code = frame.f_code
        file = "/".join(code.co_filename.split("/")[-2:])
        found.append(f"{code.co_qualname} ({file}:{frame.f_lineno})")
        frame = frame.f_back
    return tuple(found)


def _text(stacks: Counter[tuple[str, ...]], rounds: int, others: int, seconds: float) -> str:
    lines = [f"{rounds} samples in {seconds:.1f} s, {len(stacks)} different stacks; innermost frame first"]
    busy = Counter({stack: count for stack, count in stacks.items() if not _is_idle(stack)})
    for (thread, *frames), count in islice(busy.most_common(), SHOWN):
        lines += ["", f"{count / rounds:7.1%}  {thread}", *(f"         {frame}" for frame in frames)]
    left = others + sum(busy.values()) - sum(count for _, count in busy.most_common(SHOWN))
    if left:
        lines += ["", f"{left} samples of other stacks are not shown"]
    idle = Counter[str]()
    for stack, count in stacks.items():
        idle[stack[0]] += count if _is_idle(stack) else 0
    lines += ["", "idle:", *(f"{count / rounds:7.1%}  {thread}" for thread, count in idle.most_common() if count)]
    return "\n".join(lines) + "\n"


def _is_idle(stack: tuple[str, ...]) -> bool:
    return len(stack) > 1 and stack[1].startswith(IDLE)
