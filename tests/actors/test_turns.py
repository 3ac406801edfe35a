from __future__ import annotations

import trio

from actors.turns import Turns


class Steps:
    """Steps of a second each, and how many there were at once."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._now = turns, 0
        self.most, self.done = 0, list[int]()

    async def run(self, number: int) -> None:
        async with self._turns.step():
            self._now += 1
            self.most = max(self.most, self._now)
            await trio.sleep(1)
            self._now -= 1
            self.done.append(number)

    async def run_all(self, count: int) -> float:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(self.run, number)
                await trio.sleep(0.01)
        return trio.current_time() - began


async def test_steps_go_on_side_by_side_while_nobody_searches(autojump_clock: trio.testing.MockClock) -> None:
    steps = Steps(Turns(lambda: False))
    assert await steps.run_all(4) < 1.1
    assert steps.most == 4


async def test_one_at_a_time_in_their_order_while_somebody_searches(autojump_clock: trio.testing.MockClock) -> None:
    steps = Steps(Turns(lambda: True))
    assert await steps.run_all(4) >= 4
    assert (steps.most, steps.done) == (1, [0, 1, 2, 3])


async def test_what_fails_or_is_given_up_leaves_the_turn(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(lambda: True)
    with trio.move_on_after(1):
        async with turns.step():
            await trio.sleep_forever()
    try:
        async with turns.step():
            raise ValueError
    except ValueError:
        pass
    with trio.fail_after(1):
        async with turns.step():
            pass
