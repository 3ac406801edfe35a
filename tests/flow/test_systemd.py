"""What a real daemon says to systemd, which is played here."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto.ids import Platform, account_key
from proto.messages import RawStored
from proto.records import JobKind, RawPage
from stores.env import Environment, Txn
from stores.raw import put_raw, seal
from stores.work import enqueue
from tests.flow.processes import PATIENCE_SECONDS, Daemon

HANGING = """
import trio
from actors.normaliser import Normaliser

async def hang(self, *_):
    await trio.sleep_forever()

Normaliser._handle = hang
from daemon.__main__ import main
main()
"""
"""The daemon with a stage that takes work and never comes back from it."""

PING_SECONDS = 0.2


class Systemd:
    """The listening end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE_SECONDS)

    def next(self) -> list[str]:
        return self._socket.recv(4_096).decode().split("\n")

    def until(self, begin: str) -> tuple[list[str], str]:
        """What was said before a line with this beginning, and that line."""
        before: list[str] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < deadline, f"no {begin}: {before[-20:]}"
            lines = self.next()
            found = next((line for line in lines if line.startswith(begin)), None)
            if found is not None:
                return before, found
            before += lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    played = Systemd(tmp_path / "notify.sock")
    yield played
    played.close()


@pytest.fixture
def env(systemd: Systemd, tmp_path: Path) -> dict[str, str]:
    """No platform, no model: what starts at once."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}
    return clean | {
        "NOTIFY_SOCKET": str(systemd.path),
        "WATCHDOG_USEC": str(int(2 * PING_SECONDS * 1_000_000)),
        "POKEDEXD_PLATFORMS__YOUTUBE__ENABLED": "false",
        "POKEDEXD_PLATFORMS__YOUTUBE__CALL_TIMEOUT_SECONDS": "0.5",
        "POKEDEXD_PLATFORMS__INSTAGRAM__ENABLED": "false",
        "POKEDEXD_PLATFORMS__INSTAGRAM__CALL_TIMEOUT_SECONDS": "0.5",
        "POKEDEXD_MODEL__DIR": str(tmp_path / "nowhere"),
    }


def test_ready_alive_reloading_and_stopping(systemd: Systemd, env: dict[str, str], tmp_path: Path) -> None:
    settings = tmp_path / "pokedexd.toml"
    settings.write_text("")
    with Daemon(tmp_path / "data", env, "--config", str(settings)) as daemon:
        before, _ = systemd.until("READY=1")
        assert before == []
        systemd.until("STATUS=degraded")  # it is there, and lacks its model
        for _ in range(3):
            systemd.until("WATCHDOG=1")
        settings.write_text("[serch]\n")  # what is refused ends like what is taken over
        daemon.process.send_signal(signal.SIGHUP)
        lines: list[str] = []
        while "RELOADING=1" not in lines:
            lines = systemd.next()
        assert lines[1].startswith("MONOTONIC_USEC=")
        before, _ = systemd.until("READY=1")
        assert "STOPPING=1" not in before
        assert "reload refused" in daemon.log()
        daemon.process.send_signal(signal.SIGTERM)
        systemd.until("STOPPING=1")
        assert daemon.process.wait(PATIENCE_SECONDS) == 0


def test_no_sign_of_life_while_a_stage_hangs(systemd: Systemd, env: dict[str, str], tmp_path: Path) -> None:
    put_page(tmp_path / "data")
    command = (sys.executable, "-c", HANGING)
    with Daemon(tmp_path / "data", env | {"POKEDEXD_DAEMON__HANG_SECONDS": "1"}, command=command) as daemon:
        before, _ = systemd.until("STATUS=normaliser hangs: no step for")
        assert "WATCHDOG=1" in before
        after = [line for _ in range(5) for line in systemd.next()]
        assert all(line.startswith("STATUS=normaliser hangs") for line in after), after
        assert "no sign of life is given" in daemon.log()


def put_page(data: Path) -> None:
    """Work for the Normaliser; of today, since what is too old to be kept is taken out before it is read."""
    now = int(time.time())
    page = RawPage(
        platform=Platform.YOUTUBE,
        kind=JobKind.PROFILE,
        account_key=account_key(Platform.YOUTUBE, "UC" + "q" * 22),
        fetched_at=now,
        request="",
        body=b"{}",
    )
    raw_id, body = seal(page)

    def arrive(txn: Txn) -> None:
        put_raw(txn, page, raw_id, body)
        enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), now)

    env = Environment(data, map_size_bytes=1 << 30)
    env.write_now(arrive)
    env.close()
