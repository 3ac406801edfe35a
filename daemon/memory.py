"""How much memory a process may take, as the system tells it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MAX, HIGH = "memory.max", "memory.high"
"""Of a control group: what it may not take, and from where on the kernel takes back and slows down."""


def available_bytes(resident_bytes: int, root: Path = Path("/")) -> int | None:
    """To be had without swapping (proc(5), MemAvailable), within this process's control groups; None where the system does
    not say. ``resident_bytes``: what the process has of its own."""
    machine = _available_on_machine(root / "proc/meminfo")
    limit = unit_limit_bytes(os.getpid(), root, (MAX, HIGH))
    return machine if machine is None or not limit else min(machine, max(limit - resident_bytes, 0))


def _available_on_machine(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def unit_limit_bytes(pid: int, root: Path = Path("/"), kinds: Sequence[str] = (MAX,)) -> int:
    """The least limit of the control groups that a process is in; 0 where there is none."""
    if pid <= 0:
        return 0
    try:
        lines = (root / "proc" / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return 0
    name = next((line.partition("::")[2] for line in lines if line.startswith("0::")), "")
    folder, limits = root / "sys/fs/cgroup" / name.lstrip("/"), []
    while folder.is_relative_to(root / "sys/fs/cgroup"):
        for kind in kinds:
            with suppress(OSError, ValueError):  # no such file at the top; "max" is no limit
                limits.append(int((folder / kind).read_text()))
        folder = folder.parent
    return min(limits, default=0)
