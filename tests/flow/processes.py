"""Real processes: the simulator and the daemon as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from daemon.demo import SIMULATED_TOKENS
from proto.records import Creator
from stores.codec import decode, encode
from stores.content import Block
from stores.env import Environment

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "daemon")
PATIENCE_SECONDS = 300
"""Other tests, and other people's work, share the two cores."""
UNLIMITED = ("--instagram-calls", "10000000")


class Simulator:
    """The simulated platforms in a process of their own."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daemon.simulator", "--port", "0", "--parent-pipe", *UNLIMITED, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self.url: str = said["url"]
        self.now: int = said["now"]
        self._client = httpx2.Client(base_url=self.url, trust_env=False, timeout=30)

    def get(self, path: str) -> Any:
        return self._client.get(path).json()

    def close(self) -> None:
        self._client.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def simulator(*arguments: str) -> Iterator[Simulator]:
    running = Simulator(*arguments)
    try:
        yield running
    finally:
        running.close()


def environment(sim: Simulator, **extra: str) -> dict[str, str]:
    """What points a daemon at a simulated world with a quota to match."""
    settings = {
        "PLATFORMS__YOUTUBE__BASE_URL": f"{sim.url}/youtube/v3",
        "PLATFORMS__YOUTUBE__FEEDS_URL": f"{sim.url}/feeds/videos.xml",
        "PLATFORMS__YOUTUBE__FEEDS_PER_SECOND": "100000",
        "PLATFORMS__YOUTUBE__KEY": "demo-key",
        "PLATFORMS__YOUTUBE__DERIVED_DATA": "granted",
        "PLATFORMS__YOUTUBE__GENERAL_UNITS_PER_DAY": "10000000",
        "PLATFORMS__YOUTUBE__REQUESTS_PER_SECOND": "100000",
        "PLATFORMS__YOUTUBE__BACKFILL_ITEMS": "0",
        "PLATFORMS__INSTAGRAM__BASE_URL": f"{sim.url}/graph/v25.0",
        "PLATFORMS__INSTAGRAM__TOKENS": SIMULATED_TOKENS,
        "PLATFORMS__INSTAGRAM__CALLS_PER_HOUR": "10000000",
        "PLATFORMS__INSTAGRAM__REQUESTS_PER_SECOND": "100000",
        "PLATFORMS__INSTAGRAM__BACKFILL_ITEMS": "0",
        "DAEMON__CLOCK_AT": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(sim.now)),
        "DAEMON__CLOCK_FROZEN": "true",
        "LOG__LEVEL": "warning",
    } | extra
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}
    return clean | {f"POKEDEXD_{name}": value for name, value in settings.items()}


class Daemon:
    """`pokedexd serve` on a data dir."""

    def __init__(
        self, data_dir: Path, env: dict[str, str], *arguments: str, command: tuple[str, ...] = COMMAND
    ) -> None:
        self.data_dir = data_dir
        self._client = httpx2.Client(trust_env=False, timeout=30)
        self._log = (data_dir.parent / f"{data_dir.name}.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "serve", "--data-dir", str(data_dir), "--port", "0", *arguments],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line:
            self.close()
            raise AssertionError(f"the daemon did not start: {self.log()[-2000:]}")
        self.said = line
        self.url = line.split()[-1]

    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def get(self, path: str, **params: Any) -> httpx2.Response:
        """Over one connection: to make a client costs more than most answers do."""
        with self._telling_of_its_death():
            return self._client.get(f"{self.url}{path}", params=params)

    def post(self, path: str, body: object) -> httpx2.Response:
        with self._telling_of_its_death():
            return self._client.post(f"{self.url}{path}", json=body)

    @contextmanager
    def _telling_of_its_death(self) -> Iterator[None]:
        """A connection that is refused says nothing of why; the daemon's exit code and log do."""
        try:
            yield
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as refused:
            try:
                code = self.process.wait(5)
            except subprocess.TimeoutExpired:
                raise refused from None
            raise AssertionError(f"the daemon died with {code}: {self.log()[-6000:]}") from refused

    def search(self, text: str, limit: int = 10) -> list[tuple[str, float]]:
        answer = self.get("/v1/search", q=text, limit=limit).json()
        return [(hit["creator"]["creator_id"], round(hit["score"], 5)) for hit in answer["hits"]]

    def wait_until_done(self, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Until everything known is fetched and searchable; the last `/readyz`."""
        deadline = time.monotonic() + patience_seconds
        ready: dict[str, Any] = {}
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the daemon died: {self.log()[-3000:]}"
            reply = self.get("/readyz")
            ready = reply.json()
            loading = [part for part in ready["dependencies"].values() if part["state"] == "loading"]
            if not loading and ready["counts"]["work_pending"] == 0 and ready["counts"]["accounts"]:
                return ready
            time.sleep(0.1)
        raise AssertionError(f"not done after {patience_seconds} s: {ready}\n{self.log()[-3000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def terminate(self, patience_seconds: float = 30) -> int:
        self.process.terminate()
        try:
            return self.process.wait(patience_seconds)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._client.close()
        self._log.close()


def wait_for(look: Callable[[], Any], what: str = "it", patience_seconds: float = PATIENCE_SECONDS) -> Any:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {patience_seconds} s")


def run_cli(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


def import_world(sim: Simulator, data_dir: Path, env: dict[str, str]) -> list[str]:
    """Imports every channel of the world through the command; returns their ids."""
    ids: list[str] = sim.get("/_simulator/accounts?platform=youtube")
    listing = data_dir.parent / f"{data_dir.name}.csv"
    listing.write_text("channel_id\n" + "\n".join(ids))
    done = run_cli("import", str(listing), "--data-dir", str(data_dir), env=env)
    assert done.returncode == 0, done.stderr
    return ids


DERIVED = (
    "accounts",
    "creators",
    "content",
    "embeddings",
    "account_vectors",
    "work",
    "dead_letters",
    "account_by_handle",
)


def fingerprint(data_dir: Path) -> dict[str, dict[str, str]]:
    """Everything that does not depend on the order of arrival, readable when a comparison fails."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    try:
        with env.snapshot() as txn:
            found = {name: {key.hex(): value.hex() for key, value in txn.scan(name)} for name in DERIVED}
            found["creators"] = {key.hex(): _without_row(value) for key, value in txn.scan("creators")}
            return found
    finally:
        env.close()


def _without_row(value: bytes) -> str:
    creator = decode(Creator, value)
    return encode(msgspec.structs.replace(creator, row=0)).hex()


def stored_content(data_dir: Path) -> dict[str, list[str]]:
    """Ids of all stored content by platform user id, as the store's blocks hold them."""
    env = Environment(data_dir, map_size_bytes=64 << 30)
    found: dict[str, list[str]] = {}
    try:
        with env.snapshot() as txn:
            for key, value in txn.scan("content"):
                user_id = key[2:].decode().partition(":")[2]
                found.setdefault(user_id, []).extend(item.content_id for item in decode(Block, value).items)
    finally:
        env.close()
    return found
