"""A store is not used without its own suppression journal: whoever was forgotten would come back unnoticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proto.ids import Platform
from stores.env import Environment, Txn
from stores.suppression import KNOWN, Suppression, journal_id, journal_in
from tests.flow.processes import Daemon, run_cli

ANNA = "UC4RqWPDDs0KvlpZNW3F-6gQ"
MAP_BYTES = 1 << 30


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No platform, no model."""
    home = tmp_path_factory.mktemp("home")
    off = {f"POKEDEXD_PLATFORMS__{name}__ENABLED": "false" for name in ("YOUTUBE", "INSTAGRAM")}
    return {"PATH": "/usr/bin", "HOME": str(home), **off, "POKEDEXD_MODEL__DIR": str(home / "nowhere")}


def ask(folder: Path, env: dict[str, str], *command: str) -> tuple[int, str]:
    done = run_cli(*command, "--data-dir", str(folder), env=env)
    return done.returncode, done.stdout + done.stderr


def import_anna(folder: Path, env: dict[str, str]) -> tuple[int, str]:
    listing = folder.parent / "list.csv"
    listing.write_text(f"account\n{ANNA}\n")
    return ask(folder, env, "import", str(listing))


def journal_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".suppression")


def known(folder: Path) -> str:
    return in_store(folder, journal_in)


def in_store(folder: Path, change: Callable[[Txn], str]) -> str:
    env = Environment(folder, map_size_bytes=MAP_BYTES)
    try:
        return env.write_now(change)
    finally:
        env.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Path:
    """Where Anna was forgotten, without a daemon; and a backup of it."""
    folder = tmp_path_factory.mktemp("lived") / "data"
    assert import_anna(folder, env)[0] == 0
    code, said = ask(folder, env, "forget", ANNA)
    assert code == 0, said
    assert "1 forgotten" in import_anna(folder, env)[1]
    assert known(folder) == journal_id(journal_of(folder)) != ""
    assert ask(folder, env, "backup", str(folder.with_name("one.backup")))[0] == 0
    return folder


@pytest.fixture
def data(lived: Path, tmp_path: Path) -> Path:
    """A copy, with its journal."""
    shutil.copytree(lived, tmp_path / "data")
    shutil.copy(journal_of(lived), journal_of(tmp_path / "data"))
    return tmp_path / "data"


def refusals(folder: Path, env: dict[str, str]) -> list[str]:
    """What everything says that could take somebody in, or note somewhere else who was forgotten."""
    commands = (["serve", "--port", "0"], ["forget", ANNA], ["reprocess", "--apply"])
    answers = [import_anna(folder, env), *(ask(folder, env, *command) for command in commands)]
    assert [code for code, _ in answers] == [1] * len(answers), answers
    return [said for _, said in answers]


def test_a_data_directory_that_was_moved_without_its_journal_is_refused(data: Path, env: dict[str, str]) -> None:
    moved = data.with_name("moved")
    data.rename(moved)
    for said in refusals(moved, env):
        assert f"{journal_of(moved)}: the store's suppression journal is not there" in said
        assert "adopt-journal" in said
    assert not journal_of(moved).exists()
    code, said = ask(moved, env, "doctor", "--offline")
    assert code == 2
    assert f"fault: suppression: {journal_of(moved)}: the store's suppression journal is not there" in said
    journal_of(data).rename(journal_of(moved))
    assert "1 forgotten" in import_anna(moved, env)[1]
    assert "suppression" not in ask(moved, env, "doctor", "--offline")[1]


@pytest.mark.parametrize("left", [b"", b"0"])
def test_a_journal_of_which_nothing_is_left_is_as_good_as_none(data: Path, env: dict[str, str], left: bytes) -> None:
    journal_of(data).write_bytes(left)
    code, said = import_anna(data, env)
    assert (code, "is not there" in said) == (1, True)
    assert journal_of(data).read_bytes() == left


def test_the_journal_of_another_store_is_refused(data: Path, env: dict[str, str]) -> None:
    other = data.with_name("other")
    assert import_anna(other, env)[0] == 0
    shutil.copy(journal_of(other), journal_of(data))
    for said in refusals(data, env):
        assert f"{journal_of(data)}: is another suppression journal than the store's" in said
    assert f"{journal_of(data)}: is another" in ask(data, env, "doctor", "--offline")[1]


def test_another_journal_can_be_begun_knowingly(data: Path, env: dict[str, str]) -> None:
    before = known(data)
    journal_of(data).unlink()
    code, said = ask(data, env, "adopt-journal")
    assert code == 0, said
    assert "can be taken in again" in said
    assert known(data) == journal_id(journal_of(data)) != before
    assert f"suppression journal {known(data)} in place of {before}" in ask(data, env, "audit", "tail", "--json")[1]
    assert "1 added" in import_anna(data, env)[1]
    assert "can be" not in ask(data, env, "adopt-journal")[1]
    with Daemon(data, env) as daemon:
        assert daemon.terminate() == 0


def test_an_older_store_takes_the_journal_that_it_meets(data: Path, env: dict[str, str]) -> None:
    in_store(data, lambda txn: str(txn.delete("meta", KNOWN)))
    with Daemon(data, env) as daemon:
        assert daemon.terminate() == 0
    assert known(data) == journal_id(journal_of(data))
    assert "1 forgotten" in import_anna(data, env)[1]


def test_a_start_that_ended_between_journal_and_store_is_taken_up(tmp_path: Path, env: dict[str, str]) -> None:
    """The journal is on the disk before the store knows it."""
    Suppression.open(tmp_path / "data.suppression").close()
    Environment(tmp_path / "data", map_size_bytes=MAP_BYTES).close()
    assert import_anna(tmp_path / "data", env)[0] == 0
    assert known(tmp_path / "data") == journal_id(tmp_path / "data.suppression")


def test_a_restore_obeys_the_journal_of_the_store_and_no_other(
    lived: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    file, new, foreign = lived.with_name("one.backup"), tmp_path / "new", tmp_path / "foreign"
    with_other = Suppression.open(foreign)
    with_other.add([(Platform.YOUTUBE, ANNA)])
    with_other.close()
    restore = ("restore", str(file), "--suppression-file")
    for more in (["--drill"], []):
        code, said = ask(new, env, *restore, str(foreign), *more)
        assert (code, f"{foreign}: is another suppression journal" in said) == (1, True), said
    assert not new.exists()
    assert ask(new, env, *restore, str(journal_of(lived)))[0] == 0
    assert known(new) == known(lived) == journal_id(journal_of(new))
    assert "1 forgotten" in import_anna(new, env)[1]
    third = tmp_path / "third"
    code, said = ask(third, env, *restore, str(foreign), "--adopt-journal")
    assert code == 0, said
    assert known(third) == journal_id(foreign)
    trail = [json.loads(line)["action"] for line in ask(third, env, "audit", "tail", "--json")[1].splitlines()]
    assert trail[-1] == "journal"
    assert "1 forgotten" in import_anna(third, env)[1]


def test_a_restore_without_a_journal_begins_one(lived: Path, tmp_path: Path, env: dict[str, str]) -> None:
    new = tmp_path / "new"
    assert ask(new, env, "restore", str(lived.with_name("one.backup")), "--without-suppression")[0] == 0
    assert known(new) == ""
    assert "1 added" in import_anna(new, env)[1]
    assert known(new) == journal_id(journal_of(new)) != known(lived)
