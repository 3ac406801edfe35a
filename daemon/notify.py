"""Word to systemd: ready, reloading, stopping, and the watchdog's sign of life."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import trio


def sd_notify(*lines: str) -> bool:
    """Sends a notification; False without a listener. Never blocks: a full queue must not stall the loop."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.connect(address)
            sender.send("\n".join(lines).encode())
        except OSError:
            return False
    return True


def sd_reloading() -> bool:
    """Type=notify-reload wants the time in the same datagram."""
    return sd_notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000}")


def watchdog_seconds() -> float | None:
    """The interval within which systemd wants a sign of life from this process."""
    micros, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not micros or (pid and int(pid) != os.getpid()):
        return None
    return int(micros) / 1_000_000


async def ping_watchdog(alive: Callable[[], bool]) -> None:
    """Twice an interval, and only while the flow is alive; ends with the nursery, or at once without a watchdog."""
    interval_seconds = watchdog_seconds()
    while interval_seconds:
        if alive():
            sd_notify("WATCHDOG=1")
        await trio.sleep(interval_seconds / 2)
