"""What a demo notes in its data directory, for commands that look into that without the demo's settings."""

from __future__ import annotations

import os
from datetime import datetime

import msgspec

from daemon.config import Config, data_dir

DEMO_NOTE = "demo.json"


class DemoNote(msgspec.Struct):
    """Which world lives there, when its time began to run, and what the clock said as the demo was last started."""

    world: str
    started_at: float
    clock_at: str = ""


def as_of_demo(config: Config) -> Config:
    """With a demo's clock, and the grant that it plays, where its data directory is looked into and the settings say nothing
    of either."""
    try:
        note = msgspec.json.decode((data_dir(config, os.environ) / DEMO_NOTE).read_bytes(), type=DemoNote)
        datetime.fromisoformat(note.clock_at)
    except (OSError, msgspec.DecodeError, ValueError):
        return config
    youtube = config.platforms.youtube
    return msgspec.structs.replace(
        config,
        daemon=msgspec.structs.replace(config.daemon, clock_at=config.daemon.clock_at or note.clock_at),
        platforms=msgspec.structs.replace(
            config.platforms,
            youtube=msgspec.structs.replace(youtube, derived_data=youtube.derived_data or "granted"),
        ),
    )
