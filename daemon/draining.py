"""A daemon that takes no new work: what is under way is finished, and then it says so."""

from __future__ import annotations

import trio

from daemon.pipeline import Pipeline
from daemon.tasks import Tell
from proto.errors import Conflict, Unavailable
from stores.env import Environment
from stores.work import ROWS

DRAIN = "drain"
"""Who holds the lanes back."""
LOOK_SECONDS = 0.2
MOST_SECONDS = 86_400.0
"""That a drain may be given."""
QUIET_LOOKS = 2
"""A round of a Scheduler that had begun before may lease a call after the first."""
WORDS = "drained by an operator: nothing is taken in, search goes on; `pokedexd ctl resume` or a restart ends that"


class Draining:
    def __init__(self, env: Environment, pipeline: Pipeline) -> None:
        self._env, self._pipeline = env, pipeline
        self.holds = False
        """Whether platforms are held back by a drain, under way or done."""

    def refuse_held(self) -> None:
        """Raises Conflict while a stage is paused: its work would never get done."""
        held = [stage.value for stage, gate in self._pipeline.gates.items() if gate.held]
        if held:
            raise Conflict(f"{', '.join(held)} is paused, and its work would not get done; resume it first")

    def let_go(self) -> None:
        """Ends what a drain holds back."""
        self.holds = self._pipeline.put_off = False
        self._pipeline.set_intake(DRAIN, "")

    async def run(self, tell: Tell, seconds: float) -> None:
        """Holds every platform back until nothing is fetched and no stage has work left. They stay held back then; where it
        fails or is cancelled they go on. Raises Unavailable after so many seconds, and Conflict
        once it was let go."""
        self.holds = self._pipeline.put_off = True
        self._pipeline.set_intake(DRAIN, WORDS)
        drained = False
        try:
            with trio.move_on_after(seconds):
                await self._until_idle(tell)
                drained = True
            if not drained:
                raise Unavailable(f"{await self._left():,} pieces of work were left after {seconds:g} s; it goes on")
        finally:
            if not drained:
                self.let_go()

    async def _until_idle(self, tell: Tell) -> None:
        most = quiet = 0
        while quiet < QUIET_LOOKS:
            if not self.holds:
                raise Conflict("resumed by an operator")
            left = await self._left()
            quiet = 0 if left else quiet + 1
            most = max(most, left)
            tell(most - left, most)
            await trio.sleep(LOOK_SECONDS)

    async def _left(self) -> int:
        """Calls that are out or about to be, and work that stages have not done yet."""
        return await self._env.read(lambda txn: txn.entries("leases") + txn.counter(ROWS))
