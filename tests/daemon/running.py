"""Operations over lanes and gates, without stages."""

from __future__ import annotations

import trio

from actors.gate import Gate
from actors.lane import Lane
from daemon.draining import Draining
from daemon.looking import Looking
from daemon.operations import Operations
from daemon.ordering import Backfills, refresh
from daemon.pausing import Pausing
from daemon.supervisor import StageEntry
from daemon.tasks import Tasks, Tell
from proto.ids import Platform
from proto.messages import Stage
from stores.blocking import Blocking
from stores.env import Environment

NOW = 1_790_000_000.0


class FakePipeline:
    """Lanes and gates, without stages."""

    def __init__(self) -> None:
        self.lanes = {platform: Lane({}) for platform in (Platform.YOUTUBE, Platform.INSTAGRAM)}
        self.gates = {stage: Gate() for stage in (Stage.EMBEDDER, Stage.INDEXER)}

    @property
    def adapters(self) -> dict[Platform, Lane]:
        return self.lanes

    @property
    def platforms(self) -> list[Platform]:
        return list(self.lanes)

    def set_intake(self, by: str, reason: str, platforms: list[Platform] | None = None) -> None:
        for one in self.lanes if platforms is None else platforms:
            self.lanes[one].paused_by.pop(by, None)
            if reason:
                self.lanes[one].paused_by[by] = reason

    def held(self) -> list[str]:
        lanes = [one.value for one, lane in self.lanes.items() if lane.paused_by]
        return lanes + [stage.value for stage, gate in self.gates.items() if gate.held]


async def forever(tell: Tell) -> None:
    tell(3, 10)
    await trio.sleep_forever()


def operations_of(env: Environment, pipeline: FakePipeline) -> Operations:
    """Whose rebuild of the keyword index never ends."""
    pausing = Pausing(env, pipeline, now=lambda: NOW)  # type: ignore[arg-type]
    return Operations(
        pausing,
        Tasks(env, now=lambda: NOW),
        reindex=forever,
        actors=lambda: [StageEntry("indexer", lambda: 3).status()],
        refresh=lambda references: refresh(env, references, NOW),
        backfills=Backfills(env, now=lambda: NOW),
        draining=Draining(env, pipeline),  # type: ignore[arg-type]
        look=Looking(Blocking("profile", 1), pausing.note),
    )
