"""Word to systemd: ready, reloading, stopping, and the watchdog's sign of life."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import structlog
import trio

log = structlog.get_logger("systemd")

STATUS_SECONDS = 10.0
"""Between looks whether the status has changed, where there is no watchdog."""


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


async def tell_systemd(trouble: Callable[[], str], status: Callable[[], str]) -> None:
    """Twice an interval a sign of life, only while there is no trouble, of which it is told instead; and the status,
    whenever it is another one. Runs until it is cancelled; where nobody listens it ends at once."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    interval_seconds = watchdog_seconds()
    told = ""
    while True:
        wrong = trouble()
        said = wrong or status()
        lines = [f"STATUS={said}"] if wrong or said != told else []
        if interval_seconds and not wrong:
            lines.append("WATCHDOG=1")
        if wrong and wrong.partition(":")[0] != told.partition(":")[0]:
            log.error("no sign of life is given", reason=wrong)
        if lines:
            sd_notify(*lines)
        told = said
        await trio.sleep(interval_seconds / 2 if interval_seconds else STATUS_SECONDS)
