"""Run as a process of its own: migrates a copy of a data directory again and again, and each time dies at another write.

Arguments: the data directory, a folder for copies, the seed, how often. Prints one JSON line: how many writes a whole
migration has, and of each death at which write it was, and whether the old store or the new one was left.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb

from stores.env import DATABASES, Environment, Txn
from stores.migrations import Migration, migrate_store

TARGET = 3
KILLED = 77
MAP_BYTES = 1 << 28


def rename_names(txn: Txn) -> None:
    """Touches many rows, and makes some."""
    for key, value in list(txn.scan("creators")):
        txn.put("creators", key, value + b"\xc0")
        txn.put("meta", b"seen:" + key, b"1")


def drop_old(txn: Txn) -> None:
    for key, _ in list(txn.scan("raw_by_account")):
        txn.delete("raw_by_account", key)


STEPS = (
    Migration(to_version=2, text="creators end in nil", step=rename_names),
    Migration(to_version=3, text="no pages by account", step=drop_old, rebuilds_indexes=True),
)


def migrate(data_dir: Path) -> None:
    def back_up(env: Environment, version: int) -> Path:
        file = data_dir / f"before-{version}"
        shutil.rmtree(file, ignore_errors=True)
        file.mkdir()
        env.copy_to(file)
        return file

    migrate_store(data_dir, map_size_bytes=MAP_BYTES, backup=back_up, migrations=STEPS, target=TARGET)


class Deadly:
    """Counts what is written, and ends the process at one of them, before or after it is done."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._at, self._after, self.count = at, after, 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            mine = self.count == self._at
            if mine and not self._after:
                os._exit(KILLED)
            result = function(*arguments, **named)
            if mine:
                os._exit(KILLED)
            return result

        return counted

    def install(self) -> None:
        Txn.put = self.around(Txn.put)  # type: ignore[method-assign]
        Txn.delete = self.around(Txn.delete)  # type: ignore[method-assign]
        Environment.copy_to = self.around(Environment.copy_to)  # type: ignore[method-assign]
        Environment._commit = self.around(Environment._commit)  # type: ignore[method-assign]
        Environment.close = self.around(Environment.close)  # type: ignore[method-assign]
        Path.replace = self.around(Path.replace)  # type: ignore[method-assign]
        Path.mkdir = self.around(Path.mkdir)  # type: ignore[method-assign]
        shutil.rmtree = self.around(shutil.rmtree)  # type: ignore[assignment]
        os.fsync = self.around(os.fsync)


def in_child(work: Callable[[], None]) -> int:
    """Its exit code."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(data_dir: Path) -> dict[str, dict[bytes, bytes]]:
    """Of a store of any schema; a database that came later is empty."""
    found: dict[str, dict[bytes, bytes]] = {name: {} for name in DATABASES}
    with lmdb.open(str(data_dir / "store"), readonly=True, max_dbs=len(DATABASES)) as env:
        databases = {}
        for name in DATABASES:
            with suppress(lmdb.NotFoundError):
                databases[name] = env.open_db(name.encode(), create=False)
        with env.begin() as txn:
            return found | {name: dict(txn.cursor(db=database)) for name, database in databases.items()}


def main(source: Path, folder: Path, seed: int, times: int) -> None:
    whole = folder / "whole"
    shutil.copytree(source, whole)
    counter = Deadly(0, after=False)
    read, write = os.pipe()

    def count() -> None:
        counter.install()
        migrate(whole)
        os.write(write, str(counter.count).encode())

    assert in_child(count) == 0
    writes = int(os.read(read, 20))
    old, new = content(source), content(whole)
    generator = random.Random(seed)
    deaths = []
    for number, at in enumerate(sorted(generator.sample(range(1, writes + 1), times))):
        copy = folder / str(number)
        shutil.copytree(source, copy)
        after = generator.random() < 0.5

        def die(at: int = at, after: bool = after, copy: Path = copy) -> None:
            Deadly(at, after=after).install()
            migrate(copy)

        died = in_child(die)
        found = content(copy)
        left = "old" if found == old else "new" if found == new else "between"
        again = in_child(lambda copy=copy: migrate(copy))  # type: ignore[misc]
        ended = again == 0 and content(copy) == new and not (copy / "migrating").exists()
        deaths.append({"at": at, "after": after, "died": died == KILLED, "left": left, "ended": ended})
        shutil.rmtree(copy)
    print(json.dumps({"seed": seed, "writes": writes, "deaths": deaths}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
