"""What this process maps into its memory, as Linux tells it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def memory_maps() -> list[bytes]:
    """Lines of proc_pid_maps(5), in bytes as names of files are; none where they cannot be read."""
    with suppress(OSError):
        return Path("/proc/self/maps").read_bytes().split(b"\n")
    return []
