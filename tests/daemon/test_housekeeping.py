from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from daemon.config import InstagramToken
from daemon.housekeeping import DAY_SECONDS, expiry_words, warn_of_expiry
from proto.records import Event
from stores.env import Environment
from stores.journal import Journal

NOW = 1_790_000_000


def token(days_left: float | None, name: str = "a") -> InstagramToken:
    ends = "" if days_left is None else datetime.fromtimestamp(NOW + days_left * DAY_SECONDS, UTC).isoformat()
    return InstagramToken(name=name, access_token="secret", ig_user_id="1", expires_at=ends)


@pytest.mark.parametrize(
    ("days_left", "words"),
    [(None, ""), (11, ""), (9.5, "ends in 9.5 days"), (0.5, "ends in 0.5 days"), (-2, "ended 2.0 days ago")],
)
def test_a_token_that_ends_soon_is_told_of(days_left: float | None, words: str) -> None:
    found = expiry_words(token(days_left), 10, NOW)
    assert words in found
    assert bool(found) == bool(words)
    assert "secret" not in found


async def test_it_is_told_once_a_day_until_the_stop(env: Environment, autojump_clock: trio.testing.MockClock) -> None:
    told: list[Event] = []
    stop, began = trio.Event(), trio.current_time()
    tokens = [token(12, "a"), token(None, "b")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            warn_of_expiry, tokens, 10, Journal(env, told.append), lambda: NOW + trio.current_time() - began, stop
        )
        await trio.sleep(5.5 * DAY_SECONDS)
        stop.set()
    assert [event.subject for event in told] == ["instagram/a"] * 4
    assert autojump_clock.current_time() - began < 6 * DAY_SECONDS
