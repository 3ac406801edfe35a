"""A store in which a creator's and an account's record were cut: the daemon serves all others, and says which they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from stores.codec import unpack_id
from stores.env import Environment, Txn
from tests.flow.processes import (
    Daemon,
    Simulator,
    environment,
    import_world,
    run_cli,
    simulator,
    wait_for,
)


class Damaged(NamedTuple):
    data: Path
    env: dict[str, str]
    creator: str
    account: str
    whole: set[str]
    """Ids of the creators of whom everything can be read."""


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator("--creators", "6", "--seed", "4") as running:
        yield running


@pytest.fixture(scope="module")
def damaged(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    data, env = tmp_path_factory.mktemp("damaged") / "data", environment(sim)
    import_world(sim, data, env)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        assert daemon.terminate() == 0
    with closing(Environment(data)) as store, store.snapshot() as txn:
        creators = dict(txn.scan("creators"))
        homes = {key[8:]: key[:8] for key, _ in txn.scan("account_by_creator")}
        cut = next(iter(creators))
        account = next(key for key, home in homes.items() if home != cut)
        values = {"creators": (cut, creators[cut]), "accounts": (account, txn.get("accounts", account) or b"")}

    def cut_each(txn: Txn) -> None:
        for database, (key, value) in values.items():
            txn.put(database, key, value[: len(value) // 2])

    with closing(Environment(data)) as store:
        store.write_now(cut_each)
    whole = {str(unpack_id(key)) for key in creators} - {str(unpack_id(cut)), str(unpack_id(homes[account]))}
    return Damaged(data, env, str(unpack_id(cut)), account.decode(), whole)


@pytest.mark.parametrize(
    "rebuilt",
    [pytest.param(False, id="indexes as they were", marks=pytest.mark.long), pytest.param(True, id="rebuilt")],
)
def test_the_daemon_serves_all_others_and_names_them(damaged: Damaged, tmp_path: Path, rebuilt: bool) -> None:
    data = tmp_path / "data"
    shutil.copytree(damaged.data, data)
    shutil.copy(damaged.data.with_suffix(".suppression"), data.with_suffix(".suppression"))
    if rebuilt:
        shutil.rmtree(data / "indexes")

    def ctl(*arguments: str) -> str:
        done = run_cli("ctl", *arguments, "--data-dir", str(data), env=damaged.env)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    names = (f"creators {damaged.creator}", f"accounts {damaged.account}")
    with Daemon(data, damaged.env) as daemon:
        wait_for(
            lambda: all(f"record_damaged {name}" in ctl("status") for name in names),
            "an event for each",
        )
        assert all(f"damaged record: {name}: stored" in ctl("status") for name in names)
        found = {creator_id for creator_id, _ in daemon.search("a", limit=50)}
        assert damaged.whole <= found
        assert damaged.creator not in found
        one = daemon.get(f"/v1/creators/{damaged.creator}")
        assert (one.status_code, one.json()["code"]) == (500, "record_damaged")
        assert f"creators {damaged.creator}" in one.text
        assert daemon.process.poll() is None, daemon.log()
        assert daemon.terminate() == 0, daemon.log()
    log = daemon.log()
    assert all(log.count(f"subject={name!r}") == 1 for name in names)
    assert "Traceback" not in log


def test_the_doctor_names_them_and_what_to_do(damaged: Damaged) -> None:
    done = run_cli("doctor", "--offline", "--data-dir", str(damaged.data), env=damaged.env)
    said = [" ".join(line.split()) for line in done.stdout.splitlines() if "record:" in line]
    assert done.returncode == 2
    assert len(said) == 2
    for line, name in zip(said, (f"accounts {damaged.account}", f"creators {damaged.creator}"), strict=True):
        assert line.startswith(f"fault: record: {name}: stored")
        assert "remedy: restore a backup" in line
