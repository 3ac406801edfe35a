"""What the doctor knows before it looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.config import Config, Loaded
from daemon.demo_note import DEMO_NOTE
from proto.api import AdminStatus


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """``status``: what the daemon that answers says of itself; None where none does. ``holder``: the process that has
    the data directory, 0 where none has, -1 where it is not known which."""

    loaded: Loaded
    data_dir: Path
    admin_socket: Path
    suppression_file: Path
    holder: int
    status: AdminStatus | None
    offline: bool
    now: float
    """The real time, in epoch seconds."""
    user_id: int
    """Of whoever runs the doctor."""
    tell: Callable[[str], None] = lambda _: None
    """How far a check is that takes long."""

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def map_bytes(self) -> int:
        return self.config.storage.map_size_gib << 30

    @property
    def is_demo(self) -> bool:
        """Whether `pokedexd demo` lives there, whose platforms are played."""
        return (self.data_dir / DEMO_NOTE).is_file()

    @property
    def has_store(self) -> bool:
        return (self.data_dir / "store" / "data.mdb").exists()
