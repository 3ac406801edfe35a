"""Whole creators by the command: out of one daemon's store, into another's, and the same to whoever searches."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from daemon.indexing import drop_indexes
from proto.ids import Platform, Row, account_key, creator_id_of
from proto.messages import CreatorEnriched
from proto.records import Creator, EmbeddingRecord
from stores.catalog import put_creator_embeddings, vital_signs_of
from stores.checking import Fault, find_faults
from stores.codec import decode
from stores.env import DATABASES, Environment, Txn
from stores.work import enqueue
from tests.flow.processes import COMMAND, ROOT, Daemon, environment, run_cli, simulator, wait_for
from tests.flow.test_forgetting import files_holding
from tests.flow.test_identity import ctl, import_everybody

CREATORS = 24
QUERIES = ("home workout", "receita fácil", "python tutorial", "travel vlog", "게임", "beauty")
MAP_BYTES = 1 << 30
Lines = list[dict[str, Any]]


class Lived(msgspec.Struct, kw_only=True):
    """A store that was filled by the stages, and what was exported of it while its daemon ran."""

    env: dict[str, str]
    data: Path
    file: Path
    results: dict[str, Any]
    counts: dict[str, int]

    @property
    def lines(self) -> Lines:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("lived")
    data, file = folder / "data", folder / "creators.jsonl"
    with simulator("--creators", str(CREATORS), "--seed", "5") as world:
        env = environment(world)
        import_everybody(world, data, env)
        with Daemon(data, env) as daemon:
            counts = daemon.wait_until_done()["counts"]
            done = run_cli("export", "--creators", str(file), "--data-dir", str(data), env=env)
            assert done.returncode == 0, done.stderr
            assert f"{counts['creators']} creators" in done.stdout
            found = results(daemon)
            assert daemon.terminate() == 0
    yield Lived(env=env, data=data, file=file, results=found, counts=counts)


def results(daemon: Daemon) -> dict[str, Any]:
    """What a user sees of everybody, and of topics."""
    everybody = daemon.get("/v1/search", q="", limit=100).json()
    shown = {hit["creator"]["creator_id"]: hit["creator"] for hit in everybody["hits"]}
    assert len(shown) == everybody["total"]
    return {
        "shown": shown,
        "facets": daemon.get("/v1/search", q="", facets="niche,country,platform,language").json().get("facets"),
        "found": {text: daemon.search(text, limit=50) for text in QUERIES},
    }


def written(path: Path, lines: Lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def imported(file: Path, daemon: Daemon, env: dict[str, str]) -> str:
    """What the command says of a file; it waits for a daemon that still opens its indexes."""
    done = run_cli("import", "--creators", str(file), "--data-dir", str(daemon.data_dir), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_open(daemon: Daemon) -> bool:
    parts = daemon.get("/readyz").json()["dependencies"].values()
    return not any(one["state"] == "loading" for one in parts)


def has_more_than(daemon: Daemon, creators: int) -> bool:
    return creators_of(daemon) > creators


@contextmanager
def background(*arguments: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with running:
        try:
            yield running
        finally:
            running.kill()


def creators_of(daemon: Daemon) -> int:
    return int(daemon.get("/readyz").json()["counts"]["creators"])


def verdicts(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.with_name(file.name + ".verdicts.csv").read_text().splitlines()))


def stored(data: Path) -> dict[str, Any]:
    """Creators and their vectors, without what says when and in which order they came; of a store without faults."""
    assert faults_in(data) == []
    env = Environment(data, map_size_bytes=MAP_BYTES)
    try:
        with env.snapshot() as txn:
            creators = {key: decode(Creator, value) for key, value in txn.scan("creators")}
            assert txn.entries("identity_backlog") == txn.entries("work") == txn.entries("dead_letters") == 0
            vectors = {
                key: msgspec.structs.replace(decode(EmbeddingRecord, value), updated_at=0)
                for name in ("embeddings", "account_vectors")
                for key, value in txn.scan(name)
            }
        signs = {key: vital_signs_of(one) for key, one in creators.items()}
        return {
            "creators": {
                key: msgspec.structs.replace(one, row=Row(0), created_at=0, vital_signs=b"")
                for key, one in creators.items()
            },
            "signs": {key: one and one.overall for key, one in signs.items()},
            "vectors": vectors,
        }
    finally:
        env.close()


def sure(found: dict[str, Any]) -> dict[str, Any]:
    """As results would be where a person had said who is one person: so it is in a file."""
    return found | {"shown": {key: one | {"identity_confidence": 1.0} for key, one in found["shown"].items()}}


def test_what_was_exported_is_the_same_in_another_store(lived: Lived, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Daemon(data, lived.env) as daemon:
        assert f"{lived.counts['creators']} added" in imported(lived.file, daemon, lived.env)
        assert verdicts(lived.file) == []
        assert daemon.wait_until_done()["counts"] == lived.counts
        assert results(daemon) == sure(lived.results)

        assert f"{lived.counts['creators']} known" in imported(lived.file, daemon, lived.env)
        assert daemon.get("/readyz").json()["counts"] == lived.counts, "known creators were work"
        assert results(daemon) == sure(lived.results)
        assert daemon.terminate() == 0
    theirs = stored(lived.data)
    assert any(one.identity_confidence < 1 for one in theirs["creators"].values())
    for one in theirs["creators"].values():
        one.identity_confidence = 1.0
    assert stored(data) == theirs


def thinned(lines: Lines) -> Lines:
    """In turn whole, without vectors, without labels, and without either."""
    made = []
    for at, line in enumerate(lines):
        one = json.loads(json.dumps(line))
        if at % 4 in (1, 3):
            for account in one["accounts"]:
                account.pop("vectors", None)
        if at % 4 in (2, 3):
            for name in ("primary_niche", "secondary_niches", "content_style", "llm_summary", "enrichment"):
                one.pop(name, None)
        made.append(one)
    return made


def test_what_lacks_vectors_or_labels_gets_them(lived: Lived, tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "thin.jsonl.zst"
    lines = [json.dumps(line).encode() for line in thinned(lived.lines)]
    lines.insert(3, b'{"accounts": [{"platform": "youtube", "platform_user_id": "UC x"}]}')
    lines.insert(5, b"")
    lines.append(b'{"accounts": "nobody"}')
    file.write_bytes(zstandard.compress(b"\n".join(lines)))
    with Daemon(data, lived.env) as daemon:
        assert imported(file, daemon, lived.env).startswith(f"{lived.counts['creators']} added, 2 invalid\n")
        assert [(row["line"], row["verdict"]) for row in verdicts(file)] == [
            ("4", "invalid"),
            (str(len(lines)), "invalid"),
        ]
        assert "$.accounts[0]" in verdicts(file)[0]["detail"]
        assert daemon.wait_until_done()["counts"] == lived.counts
        assert results(daemon) == sure(lived.results)

        a_held_stage_refuses_more(daemon, lived, file)
        news_reach_who_is_known(daemon, lived, tmp_path)
        the_backup_is_whole(daemon, lived, tmp_path)
        names = the_forgotten_leave_no_trace(daemon, lived, tmp_path)
        assert daemon.terminate() == 0
    assert not any(name in row.lower() for name in names for row in rows_of(data))


def a_held_stage_refuses_more(daemon: Daemon, lived: Lived, file: Path) -> None:
    """In words, at once, and not for ever."""
    for hold, resume, expected in (
        (("pause", "enricher", "--reason", "a look"), ("resume", "enricher"), "enricher is paused"),
        (("drain",), ("resume",), "drained by an operator"),
    ):
        ctl(daemon.data_dir, lived.env, *hold)
        done = run_cli("import", "--creators", str(file), "--data-dir", str(daemon.data_dir), env=lived.env)
        assert (done.returncode, expected in done.stderr) == (1, True), done.stderr
        status = run_cli("ctl", "status", "--data-dir", str(daemon.data_dir), env=lived.env).stdout
        assert hold[0] == "pause" or expected in status
        ctl(daemon.data_dir, lived.env, *resume)
    assert f"{lived.counts['creators']} known, 2 invalid" in imported(file, daemon, lived.env)


def news_reach_who_is_known(daemon: Daemon, lived: Lived, folder: Path) -> None:
    """An account that is another's meanwhile stays there; a new one of the same line comes in by itself."""
    known = lived.lines[0]["accounts"][0]
    fresh = {"platform": "instagram", "platform_user_id": "177", "handle": "zyxomma.qua", "bio": "Brontosaurus riding."}
    news = known | {"display_name": "Quetzalcoatl Renamed", "fetched_at": known["fetched_at"] + 60}
    file = written(folder / "news.jsonl", [{"accounts": [news, fresh]}])
    assert imported(file, daemon, lived.env).startswith("1 known\n")
    counts = daemon.wait_until_done()["counts"]
    assert counts["creators"] == lived.counts["creators"] + 1
    (renamed,) = (hit["creator"] for hit in daemon.get("/v1/search", q="Quetzalcoatl", limit=1).json()["hits"])
    assert [one["platform_user_id"] for one in renamed["accounts"]].count(known["platform_user_id"]) == 1
    (other,) = (hit["creator"] for hit in daemon.get("/v1/search", q="zyxomma.qua", limit=1).json()["hits"])
    assert [one["handle"] for one in other["accounts"]] == ["zyxomma.qua"]


def the_backup_is_whole(daemon: Daemon, lived: Lived, folder: Path) -> None:
    file = folder / "store.backup"
    for command in (("backup", str(file), "--data-dir", str(daemon.data_dir)), ("verify", str(file))):
        done = run_cli(*command, env=lived.env)
        assert done.returncode == 0, done.stdout + done.stderr
    file.unlink()


def rows_of(data: Path) -> list[bytes]:
    """Of a store without faults."""
    stored(data)
    env = Environment(data, map_size_bytes=MAP_BYTES)
    try:
        with env.snapshot() as txn:
            return [key + value for database in DATABASES for key, value in txn.scan(database)]
    finally:
        env.close()


def the_forgotten_leave_no_trace(daemon: Daemon, lived: Lived, folder: Path) -> list[bytes]:
    """Their names."""
    line = next(line for line in lived.lines if len(line["accounts"]) == 2)
    first, second = line["accounts"]
    for path in folder.glob("*.jsonl*"):
        path.unlink()
    assert files_holding(folder, first["platform_user_id"])
    references = [f"{one['platform']}:{one['platform_user_id']}" for one in (first, second)]
    done = run_cli("forget", *references, "--data-dir", str(daemon.data_dir), env=lived.env)
    assert done.returncode == 0, done.stderr
    daemon.wait_until_done()
    names = [name for one in (first, second) for name in (one["platform_user_id"], one["handle"])]
    assert files_holding(folder, *names) == ["data/store/data.mdb"], "its free pages, until the next start"
    assert not any(one["canonical_handle"] in names for one in results(daemon)["shown"].values())
    file = written(folder / "again.jsonl", [line])
    assert imported(file, daemon, lived.env).startswith("1 forgotten\n")
    out = folder / "out.jsonl"
    done = run_cli("export", "--creators", str(out), "--data-dir", str(daemon.data_dir), env=lived.env)
    assert done.returncode == 0, done.stderr
    assert not any(name in out.read_text() for name in names)
    return [name.lower().encode() for name in names]


BOM, GOOD = "UCaaaaaaaaaaaaaaaaaaaaaA", "UCbbbbbbbbbbbbbbbbbbbbbA"


def test_texts_without_meaning_to_the_model_end_nothing(lived: Lived, tmp_path: Path) -> None:
    """Nor does a store that has them as vectors of no length, with work on them left."""
    data = tmp_path / "data"
    accounts = (
        {"platform": "youtube", "platform_user_id": BOM, "handle": "bom", "bio": "\ufeff"},
        {"platform": "youtube", "platform_user_id": GOOD, "handle": "good", "bio": "pasta and cooking"},
    )
    file = written(tmp_path / "odd.jsonl", [{"accounts": [one]} for one in accounts])
    with Daemon(data, lived.env) as daemon:
        assert imported(file, daemon, lived.env).startswith("2 added")
        both_are_found(daemon)
        assert daemon.terminate() == 0
    for rebuilt in (False, True):
        give_vectors_of_no_length(data)
        if rebuilt:
            drop_indexes(data)
        with Daemon(data, lived.env) as daemon:
            both_are_found(daemon)
            assert daemon.terminate() == 0
        assert "actor failed" not in daemon.log()


def both_are_found(daemon: Daemon) -> None:
    assert daemon.wait_until_done()["counts"]["creators"] == 2
    for handle in ("bom", "good"):
        (hit,) = daemon.get("/v1/search", q=f"@{handle}", limit=1).json()["hits"]
        assert hit["creator"]["canonical_handle"] == handle


def give_vectors_of_no_length(data: Path) -> None:
    """To the creator that lacks one, as they were kept once."""
    owner = creator_id_of(account_key(Platform.YOUTUBE, BOM))

    def change(txn: Txn) -> None:
        (vector, *_) = (decode(EmbeddingRecord, value) for _, value in txn.scan("embeddings"))
        nothing = msgspec.structs.replace(vector, vector=bytes(len(vector.vector)))
        put_creator_embeddings(txn, owner, [nothing])
        enqueue(txn, CreatorEnriched(creator_id=owner), 1)

    env = Environment(data, map_size_bytes=MAP_BYTES)
    env.write_now(change)
    env.close()


def crowd(lived: Lived, count: int) -> Lines:
    """Many who have nothing in common but what they make."""
    lines = [line for line in lived.lines if len(line["accounts"]) == 1]
    made = []
    for number in range(count):
        line = json.loads(json.dumps(lines[number % len(lines)]))
        (account,) = line["accounts"]
        word = "".join("bcdfghjklm"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{number * 7919:07d}")
        account |= {"platform": "instagram", "platform_user_id": str(10**9 + number), "handle": word}
        account |= {"items": account["items"][:2], "display_name": word, "bio": "", "links": [], "named_accounts": []}
        made.append(line)
    return made


def test_what_is_interrupted_goes_on_with_the_same_command(lived: Lived, tmp_path: Path) -> None:
    data, count = tmp_path / "data", 4_000
    file = written(tmp_path / "crowd.jsonl", crowd(lived, count))
    command = ("import", "--creators", str(file), "--data-dir", str(data))
    for end in (Daemon.terminate, Daemon.kill):
        with Daemon(data, lived.env) as daemon:
            wait_for(partial(is_open, daemon), "the indexes")
            before = creators_of(daemon)
            with background(*command, env=lived.env) as running:
                wait_for(partial(has_more_than, daemon, before), "a piece")
                end(daemon)
                said = running.communicate(timeout=60)
            assert running.returncode == 1, said
            assert "no daemon answers" in said[1] or "about to end" in said[1]
            assert "is taken in, and the same command goes on from there" in said[1]
            assert "Traceback" not in said[1]
    with Daemon(data, lived.env) as daemon:
        assert 0 < creators_of(daemon) < count
        assert "invalid" not in imported(file, daemon, lived.env)
        wait_for(lambda: daemon.get("/v1/search", q="", limit=1).json()["total"] >= count, "everybody")
        assert daemon.get("/v1/search", q="", limit=1).json()["total"] == count
        counts = daemon.get("/readyz").json()["counts"]
        assert (counts["creators"], counts["accounts"]) == (count, count)
        assert daemon.terminate() == 0
    assert faults_in(data) == []


def test_what_nobody_may_derive_is_left_out_with_a_word(lived: Lived, tmp_path: Path) -> None:
    data = tmp_path / "data"
    youtube = {"DERIVED_DATA": "", "ENABLED": "false"}  # of a platform that is asked it must be stated
    env = lived.env | {f"POKEDEXD_PLATFORMS__YOUTUBE__{name}": value for name, value in youtube.items()}
    on_youtube = sum(any(one["platform"] == "youtube" for one in line["accounts"]) for line in lived.lines)
    left_out = "left out: nothing may be derived of youtube's data (platforms.youtube.derived_data)"
    with Daemon(data, env) as daemon:
        said = imported(lived.file, daemon, env)
        assert f"of {on_youtube} lines: vectors are {left_out}" in said
        assert f"what was not simply added: {lived.file}.verdicts.csv" in said
        noted = verdicts(lived.file)
        assert len(noted) == on_youtube
        assert all(f"vectors are {left_out}" in row["detail"] for row in noted)
        daemon.wait_until_done()
        examined = run_cli("doctor", "--data-dir", str(data), env=env)
        assert "they are found by their words alone" in " ".join(examined.stdout.split())
        assert daemon.terminate() == 0


def faults_in(data: Path) -> list[Fault]:
    env = Environment(data, map_size_bytes=MAP_BYTES)
    try:
        with env.snapshot() as txn:
            return find_faults(txn, {}, lambda *_: None)
    finally:
        env.close()


def test_nobody_answers_or_the_file_is_none(lived: Lived, tmp_path: Path) -> None:
    for path, content, expected in (
        (tmp_path / "sound.jsonl", lived.file.read_bytes(), "pokedexd serve"),
        (tmp_path / "absent.jsonl", None, "absent.jsonl: cannot be read: No such file"),
    ):
        if content is not None:
            path.write_bytes(content)
        done = run_cli("import", "--creators", str(path), "--data-dir", str(tmp_path / "data"), env=lived.env)
        assert done.returncode == 1
        assert expected in done.stderr
    done = run_cli("export", "--creators", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data"), env=lived.env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
