from __future__ import annotations

from functools import partial

import pytest

from proto.records import DeadLetter
from stores.env import Environment
from stores.work import Work, put_dead_letter
from tests.stores.conformance.work import WorkConformance


class TestLmdbWork(WorkConformance):
    @pytest.fixture
    def work(self, env: Environment) -> Work:
        return Work(env)


async def test_the_same_failure_again_raises_the_count(env: Environment) -> None:
    for at in (10, 20):
        letter = DeadLetter(
            letter_id="", stage="fetcher", entity="x", reason="r", detail="d", first_seen_at=at, last_seen_at=at
        )
        await env.write(partial(put_dead_letter, letter=letter))
    (kept,) = await Work(env).dead_letters()
    assert (kept.count, kept.first_seen_at, kept.last_seen_at) == (2, 10, 20)
