"""A small demo, with what a frozen world lacks: weeks of readings, a pair that waits for a word, a letter that died."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio

from proto.identity import IdentityPair, Standing
from proto.ids import AccountKey, Platform
from proto.messages import CreatorResolved
from proto.records import CreatorAccount, DeadLetter, Job, JobKind, MetricSnapshot, Priority
from stores.codec import decode, encode
from stores.env import Environment, Txn
from stores.identity import put_pair
from stores.work import enqueue, put_dead_letter

ROOT = Path(__file__).parents[2]
CREATORS = 150
SEED = 7
DAYS = 45
PATIENCE_SECONDS = 240


def plant(data_dir: Path) -> None:
    """Into a demo that has been ended."""
    env = Environment(data_dir)
    try:
        trio.run(env.write, _plant)
    finally:
        env.close()


def _plant(txn: Txn) -> None:
    accounts = [decode(CreatorAccount, value) for _, value in txn.scan("accounts")]
    now = max(account.fetched_at for account in accounts)
    for number, account in enumerate(accounts):
        if account.followers and number % 8:
            for snapshot in _readings(account, number):
                key = account.key.encode() + b"\0" + snapshot.day.to_bytes(3, "big")
                txn.put("metrics", key, encode(snapshot))
        if account.creator_id is not None:
            enqueue(txn, CreatorResolved(creator_id=account.creator_id), now)
    first, second = _strangers(accounts)
    put_pair(
        txn,
        IdentityPair(
            first=first,
            second=second,
            score=1.4,
            evidence=[("handle:similar", 2.1), ("name:same", 3.2), ("country:differs", -1.3)],
            standing=Standing.REVIEW,
        ),
    )
    job = Job(
        platform=Platform.YOUTUBE,
        kind=JobKind.LOOKUP,
        entity="nobody-has-this-handle",
        account_key=None,
        priority=Priority.DISCOVERY,
        due_at=now,
    )
    put_dead_letter(
        txn,
        DeadLetter(
            letter_id="",
            stage="fetcher",
            entity=job.entity,
            reason="malformed answer",
            detail="the platform answered with something else",
            payload=msgspec.msgpack.encode(job),
            first_seen_at=now - 7_200,
            last_seen_at=now - 3_600,
            count=3,
        ),
    )


def _readings(account: CreatorAccount, number: int) -> Iterator[MetricSnapshot]:
    """One a day up to yesterday; every third account was out of reach for nine days."""
    assert account.followers is not None
    today = account.fetched_at // 86_400
    for back in range(DAYS, 0, -1):
        if number % 3 == 0 and 14 < back < 24:
            continue
        share = 1 - back * (number % 11 - 2) * 0.0012 + 0.006 * math.sin(back / 4 + number)
        yield MetricSnapshot(
            entity=account.key,
            day=today - back,
            followers=int(account.followers * share),
            views=int(account.total_views * (1 - back * 0.004)) if account.total_views else None,
            read_at=account.fetched_at - back * 86_400,
        )


def _strangers(accounts: list[CreatorAccount]) -> tuple[AccountKey, AccountKey]:
    """Accounts of different creators on different platforms, in order."""
    one = next(each for each in accounts if each.platform is Platform.YOUTUBE and each.creator_id)
    other = next(
        each
        for each in accounts
        if each.platform is Platform.INSTAGRAM and each.creator_id and each.creator_id != one.creator_id
    )
    first, second = sorted((one.key, other.key))
    return first, second


@contextmanager
def demo(data_dir: Path) -> Iterator[str]:
    """The address of the page, once everything can be found."""
    log = data_dir.parent / f"{data_dir.name}.log"
    command = [sys.executable, "-m", "daemon", "demo", "--port", "0", "--data-dir", str(data_dir)]
    command += ["--creators", str(CREATORS), "--seed", str(SEED)]
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("ready"):
                return line.split()[-1]
        time.sleep(0.05)
    raise AssertionError(f"the demo did not start: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if not folder.exists():
        with demo(folder):
            pass
        plant(folder)
    with demo(folder) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()
