"""Start, stop, reload, damage and bad input, with real processes."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proto.ids import Platform, account_key
from proto.messages import RawStored
from proto.records import JobKind, RawPage
from stores.env import Environment, Txn
from stores.raw import put_raw, seal
from stores.work import enqueue
from tests.flow.processes import (
    COMMAND,
    ROOT,
    Daemon,
    Simulator,
    environment,
    fingerprint,
    import_world,
    run_cli,
    simulator,
    wait_for,
)

CREATORS = 60


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator("--creators", str(CREATORS), "--seed", "3") as running:
        yield running


@pytest.fixture(scope="module")
def finished(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir whose world is wholly ingested and saved."""
    data = tmp_path_factory.mktemp("finished") / "data"
    env = environment(sim)
    import_world(sim, data, env)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        wait_for(lambda: daemon.get("/readyz").json()["dependencies"]["keyword_search"]["detail"] == "compact")
        assert daemon.terminate() == 0
    return data


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Path:
    """A copy, with its suppression journal."""
    shutil.copytree(finished, tmp_path / "data")
    shutil.copy(finished.with_name(finished.name + ".suppression"), tmp_path / "data.suppression")
    return tmp_path / "data"


QUERIES = ("workout", "receita", "tutorial", "travel", "game")


def answers(daemon: Daemon) -> list[list[tuple[str, float]]]:
    return [daemon.search(query) for query in QUERIES]


def test_sigterm_in_mid_flow_loses_nothing(sim: Simulator, finished: Path, tmp_path: Path) -> None:
    env = environment(sim)
    import_world(sim, tmp_path / "data", env)
    with Daemon(tmp_path / "data", env) as daemon:
        wait_for(lambda: daemon.get("/readyz").json()["counts"]["accounts"] > 0)
        assert daemon.get("/readyz").json()["counts"]["work_pending"] > 0
        started = time.monotonic()
        assert daemon.terminate() == 0
        assert time.monotonic() - started < 25
    with Daemon(tmp_path / "data", env) as again:
        again.wait_until_done()
        assert again.terminate() == 0
    assert fingerprint(tmp_path / "data") == fingerprint(finished)


FILE_BYTES = 64 << 10
"""Less than the store has, so that every commit meets it; more than the log."""


def let_files_grow_to(daemon: Daemon, size: int) -> None:
    """Beyond it the system refuses a write, as it does on a disk that is full."""
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk_in_mid_flow_holds_intake_and_loses_nothing(sim: Simulator, finished: Path, tmp_path: Path) -> None:
    env = environment(sim)
    import_world(sim, tmp_path / "data", env)
    with Daemon(tmp_path / "data", env) as daemon:

        def ready() -> Any:
            return daemon.get("/readyz").json()

        def disk() -> str:
            return str(ready()["dependencies"].get("disk", {}).get("state", ""))

        wait_for(lambda: ready()["counts"]["accounts"] > 0)
        let_files_grow_to(daemon, FILE_BYTES)
        wait_for(lambda: disk() == "full", "a full disk")
        held = ready()
        assert held["status"] == "degraded"
        assert held["counts"]["work_pending"] > 0
        assert "intake waits for room" in held["dependencies"]["disk"]["detail"]
        status = run_cli("ctl", "status", "--data-dir", str(tmp_path / "data"), env=env)
        assert status.returncode == 0, status.stderr
        assert "intake waits for room, search goes on" in " ".join(status.stdout.split())
        assert daemon.get("/v1/search", q="a", limit=5).status_code == 200
        written = daemon.get("/v1/lists")  # reading goes on; what somebody writes is refused with a word
        assert written.status_code == 200
        refused = daemon.post("/v1/lists", {"name": "full"})
        assert (refused.status_code, "full" in refused.json()["detail"]) == (503, True), refused.text
        assert ready()["counts"] == held["counts"]
        let_files_grow_to(daemon, resource.RLIM_INFINITY)
        daemon.wait_until_done()
        wait_for(lambda: disk() == "ok", "room")
        assert daemon.post("/v1/lists", {"name": "room"}).status_code == 201
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log()
    assert fingerprint(tmp_path / "data") == fingerprint(finished)


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, "glibc.malloc.hugetlb=1"), ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, "glibc.malloc.hugetlb=0")],
)
def test_a_daemon_lies_in_huge_pages_unless_it_is_told_otherwise(
    said: dict[str, str], found: str, sim: Simulator, data: Path
) -> None:
    env = {name: value for name, value in environment(sim).items() if name != "GLIBC_TUNABLES"}
    with Daemon(data, env | said) as daemon:
        began = Path(f"/proc/{daemon.process.pid}/environ").read_text().split("\0")
        assert (f"GLIBC_TUNABLES={found}" in began) is (bool(said) or not huge_pages_are_off())
        assert daemon.terminate() == 0


def test_a_daemon_whose_settings_of_glibc_are_taken_away_begins_again_only_once(tmp_path: Path) -> None:
    """As the system takes them from one with capabilities of its own."""
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f'#!/bin/sh\necho began >> {tmp_path}/begins\nunset GLIBC_TUNABLES\nexec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o700)
    script = f"import sys; sys.executable = {str(wrapper)!r}; from daemon.__main__ import main; sys.argv = ['pokedexd', 'serve', '--config', '{tmp_path}/absent.toml']; main()"
    environ = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "absent.toml" in done.stderr) == (1, True), done.stderr
    begins = (tmp_path / "begins").read_text() if (tmp_path / "begins").exists() else ""
    assert begins.count("began") == (0 if huge_pages_are_off() else 1)


def huge_pages_are_off() -> bool:
    switch = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return switch.exists() and "[never]" in switch.read_text()


def test_a_second_instance_is_refused_with_a_word(sim: Simulator, data: Path) -> None:
    env = environment(sim)
    with Daemon(data, env) as daemon:
        second = run_cli("serve", "--data-dir", str(data), "--port", "0", env=env)
        assert second.returncode == 1
        assert f"another pokedexd (pid {daemon.process.pid})" in second.stderr
        assert daemon.get("/healthz").status_code == 200


def test_a_start_on_a_port_that_is_taken_names_the_option_and_begins_no_data_directory(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        refused = run_cli("serve", "--data-dir", str(tmp_path / "data"), "--port", port)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}: Address already in use; choose another --port (http.port)" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_drained_daemon_says_so_and_what_ends_that(sim: Simulator, data: Path) -> None:
    """To who balances loads too, who has it answer still."""
    env = environment(sim, LOG__LEVEL="info")
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        assert run_cli("ctl", "drain", "--data-dir", str(data), env=env).returncode == 0
        reply = daemon.get("/readyz")
        assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
        assert "`pokedexd ctl resume`" in reply.json()["drained"]
        head = run_cli("ctl", "status", "--data-dir", str(data), env=env).stdout.splitlines()
        assert (head[0].endswith(" degraded"), head[1]) == (True, reply.json()["drained"])
        assert run_cli("ctl", "resume", "--data-dir", str(data), env=env).returncode == 0
        assert daemon.get("/readyz").json()["status"] == "ok"
        assert daemon.terminate() == 0
        assert "event='stopped'" in daemon.log().splitlines()[-1]


def test_what_speaks_to_no_daemon_says_how_to_start_one(tmp_path: Path) -> None:
    refused = run_cli("ctl", "status", "--data-dir", str(tmp_path))
    assert "start it, such as by `pokedexd serve`" in refused.stderr


def corrupt(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)


def flip_text(data: Path) -> None:
    corrupt(max(data.glob("indexes/text-*/*.idx"), key=lambda path: path.stat().st_size))


def flip_checkpoint(data: Path) -> None:
    corrupt(next(data.glob("indexes/text-*/checkpoint")))


def drop_text_meta(data: Path) -> None:
    next(data.glob("indexes/text-*/meta.json")).unlink()


def graph_of(data: Path, field: str) -> Path:
    return next(data.glob(f"indexes/{field}.*.hnsw"))


def truncate_graph(data: Path) -> None:
    path = graph_of(data, "yt_bio")
    path.write_bytes(path.read_bytes()[:1_000])


def flip_graph(data: Path) -> None:
    corrupt(graph_of(data, "yt_content"))


def drop_all(data: Path) -> None:
    shutil.rmtree(data / "indexes")


@pytest.mark.parametrize("damage", [flip_text, flip_checkpoint, drop_text_meta, truncate_graph, flip_graph, drop_all])
def test_damaged_indexes_are_rebuilt(damage: Callable[[Path], None], sim: Simulator, data: Path) -> None:
    env = environment(sim)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        before = answers(daemon)
        assert daemon.terminate() == 0
    damage(data)
    with Daemon(data, env) as daemon:
        ready = daemon.wait_until_done()
        wait_for(lambda: daemon.get("/readyz").json()["status"] == "ok")
        assert answers(daemon) == before
        assert ready["counts"]["creators"] == CREATORS
        assert daemon.terminate() == 0
        assert "is rebuilt" in daemon.log()


def test_reindex_gives_the_same_answers(sim: Simulator, data: Path) -> None:
    env = environment(sim)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        before = answers(daemon)
        refused = run_cli("reindex", "--data-dir", str(data), env=env)
        assert refused.returncode == 1
        assert "another pokedexd" in refused.stderr
        assert "`pokedexd ctl reindex`" in refused.stderr
        assert daemon.terminate() == 0
    done = run_cli("reindex", "--data-dir", str(data), env=env)
    assert done.returncode == 0, done.stderr
    assert not (data / "indexes").exists()
    with Daemon(data, env) as daemon:
        wait_for(lambda: daemon.get("/readyz").json()["status"] == "ok")
        assert answers(daemon) == before


def test_without_a_model_keyword_search_serves_and_the_remedy_is_named(sim: Simulator, tmp_path: Path) -> None:
    env = environment(sim, MODEL__DIR=str(tmp_path / "nowhere"))
    import_world(sim, tmp_path / "data", env)
    with Daemon(tmp_path / "data", env) as daemon:
        ready = daemon.wait_until_done()
        assert ready["status"] == "degraded"
        assert "pokedexd model build --from DIR" in ready["dependencies"]["model"]["detail"]
        answer = daemon.get("/v1/search", q="workout").json()
        assert "model" in " ".join(answer["warnings"])
        assert daemon.terminate() == 0
    with Daemon(tmp_path / "data", environment(sim)) as daemon:  # once there is a model, everyone is embedded
        daemon.wait_until_done()
        wait_for(lambda: daemon.get("/readyz").json()["status"] == "ok")
        parts = [
            part["name"]
            for part in daemon.get("/v1/search", q="workout").json()["hits"][0]["explanation"]["contributions"]
        ]
        assert "yt_bio" in parts
        assert daemon.terminate() == 0


def test_pages_of_a_platform_that_was_switched_off_are_still_read(sim: Simulator, tmp_path: Path) -> None:
    """What was fetched and paid for is not lost, and nothing new is asked of the platform."""
    data, channel = tmp_path / "data", "UC" + "q" * 22
    page = RawPage(
        platform=Platform.YOUTUBE,
        kind=JobKind.PROFILE,
        account_key=account_key(Platform.YOUTUBE, channel),
        fetched_at=sim.now,
        request="",
        body=json.dumps({"items": [{"id": channel, "snippet": {"title": "Quill Quokka"}}]}).encode(),
    )
    raw_id, body = seal(page)

    def arrive(txn: Txn) -> None:
        put_raw(txn, page, raw_id, body)
        enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), sim.now)

    env = Environment(data, map_size_bytes=1 << 30)
    env.write_now(arrive)
    env.close()
    before = sim.get("/_simulator/accounting")["calls"]
    with Daemon(data, environment(sim, PLATFORMS__YOUTUBE__ENABLED="false")) as daemon:
        wait_for(lambda: "Quill Quokka" in daemon.get("/v1/search", q="quokka").text)
        assert daemon.terminate() == 0
    assert sim.get("/_simulator/accounting")["calls"] == before


MALFORMED = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n\x00\xff\x00\xff",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !!!\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
    bytes(range(256)),
)


def test_malformed_requests_leave_the_daemon_alone(sim: Simulator, data: Path) -> None:
    with Daemon(data, environment(sim)) as daemon:
        port = int(daemon.url.rpartition(":")[2])
        for payload in MALFORMED:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(payload)
                connection.settimeout(0.3)
                try:
                    connection.recv(1024)
                except (TimeoutError, ConnectionError):
                    continue
        assert daemon.get("/healthz").status_code == 200
        assert daemon.terminate() == 0


def test_sighup_takes_over_what_can_change_and_keeps_running_on_nonsense(
    sim: Simulator, data: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "pokedexd.toml"
    settings.write_text("[search]\nquality_weight = 0.0\n")
    env = environment(sim, LOG__LEVEL="info")
    with Daemon(data, env, "--config", str(settings)) as daemon:
        wait_for(lambda: daemon.get("/readyz").json()["status"] == "ok")
        settings.write_text("[search]\nquality_weight = 0.5\n[http]\nmax_connections = 9\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings reloaded" in daemon.log())
        assert "search.quality_weight" in daemon.log()
        assert "needs_restart=['http.max_connections']" in daemon.log()
        parts = daemon.get("/v1/search", q="workout").json()["hits"][0]["explanation"]["contributions"]
        assert {part["name"]: part["weight"] for part in parts}["quality"] == 0.5
        settings.write_text("[serch]\nquality_weight = 1\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload refused" in daemon.log())
        assert daemon.get("/healthz").status_code == 200
        assert daemon.terminate() == 0


def test_bad_settings_name_file_key_and_near_match(tmp_path: Path) -> None:
    settings = tmp_path / "pokedexd.toml"
    settings.write_text('[http]\nprot = 1\nport = "many"\n')
    done = run_cli("config", "check", "--config", str(settings))
    assert done.returncode == 1
    for words in (str(settings), "http.prot", "http.port", "many", "int"):
        assert words in done.stderr, done.stderr


def test_an_unreadable_world_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "youtube_channels.jsonl.gz").write_bytes(gzip.compress(b'{"channel_id": "UCx"}\n{broken\n'))
    done = run_cli("demo", "--world", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert "youtube_channels.jsonl.gz, line 2" in done.stderr
    (tmp_path / "youtube_channels.jsonl.gz").write_bytes(gzip.compress(b'{"channel_id": "UCx"}\n' * 900)[:40])
    done = run_cli("demo", "--world", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert "youtube_channels.jsonl.gz" in done.stderr


def test_import_gives_a_verdict_for_every_row(sim: Simulator, data: Path, tmp_path: Path) -> None:
    env = environment(sim)
    ids: list[str] = sim.get("/_simulator/accounts?platform=youtube")
    listing = tmp_path / "list.jsonl"
    wanted = [
        ids[0],
        "@nobody_at_all_9",
        "https://www.youtube.com/watch?v=x",
        "https://www.tiktok.com/@x",
        "@nobody_at_all_9",
    ]
    listing.write_text("\n".join([*(json.dumps({"channel": one}) for one in wanted), "{broken"]))
    with Daemon(data, env) as daemon:  # through the running daemon
        done = run_cli("import", str(listing), "--data-dir", str(data), env=env)
        assert done.returncode == 0, done.stderr
        with Path(f"{listing}.verdicts.csv").open(newline="") as file:
            verdicts = [row["verdict"] for row in csv.DictReader(file)]
        assert verdicts == ["known", "added", "invalid", "unsupported", "duplicate", "invalid"]
        nonsense = tmp_path / "nonsense.csv"
        nonsense.write_text("two words\n")
        assert run_cli("import", str(nonsense), "--data-dir", str(data), env=env).returncode == 1
        missing = run_cli("import", str(tmp_path / "missing.csv"), "--data-dir", str(data), env=env)
        assert (missing.returncode, missing.stderr) == (
            1,
            f"error: {tmp_path / 'missing.csv'}: cannot be read: No such file or directory\n",
        )
        daemon.wait_until_done()
        status = run_cli("ctl", "status", "--data-dir", str(data), "--json", env=env)
        assert json.loads(status.stdout)["dead_letters"] == 1  # the handle that nobody has
        table = run_cli("ctl", "status", "--data-dir", str(data), env=env)
        assert "embedder" in table.stdout
        assert daemon.terminate() == 0


def test_another_data_dir_than_the_daemon_behind_the_socket_is_refused(
    sim: Simulator, data: Path, tmp_path: Path
) -> None:
    """Settings may name the socket, and the command line another directory than they do."""
    env = environment(sim, ADMIN__SOCKET=str(tmp_path / "named.sock"))
    rows = tmp_path / "one.csv"
    rows.write_text("instagram:somebody\n")
    with Daemon(data, env) as daemon:
        refused = run_cli("import", str(rows), "--data-dir", str(tmp_path / "other"), env=env)
        assert refused.returncode == 1
        assert f"has {data}, not {tmp_path / 'other'}" in refused.stderr.replace("\n", "")
        assert run_cli("import", str(rows), "--data-dir", str(data), env=env).returncode == 0
        assert daemon.terminate() == 0


def test_an_operator_says_what_matters(sim: Simulator, data: Path) -> None:
    env = environment(sim)
    with Daemon(data, env) as daemon:
        daemon.wait_until_done()
        (hit,) = daemon.get("/v1/search", q="", limit=1).json()["hits"]
        creator, key = hit["creator"]["creator_id"], f"youtube:{hit['creator']['accounts'][0]['platform_user_id']}"

        def schedule() -> dict[str, Any]:
            found: dict[str, Any] = daemon.get(f"/v1/creators/{creator}/schedule").json()["accounts"][0]
            return found

        before = schedule()
        assert (before["importance"], before["importance_source"]) == (1.0, "derived")
        said = run_cli("ctl", "importance", "0.2", key, "--data-dir", str(data), env=env)
        assert (said.returncode, said.stdout.strip()) == (0, f"{key}  1 → 0.2")
        after = schedule()
        assert (after["importance"], after["importance_source"], after["activity"]) == (0.2, "operator", "long_tail")
        refused = run_cli("ctl", "importance", "2", "@nobody.at.all", "--data-dir", str(data), env=env)
        assert (refused.returncode, "not known: import it first" in refused.stdout) == (1, True)
        absurd = run_cli("ctl", "importance", "1e9", key, "--data-dir", str(data), env=env)
        assert (absurd.returncode, "expected 0.01 to 100" in absurd.stderr) == (1, True)
        assert daemon.terminate() == 0


def test_the_demo_shows_progress_and_stops_at_sigterm(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--creators", "40", "--port", "0", "--data-dir", str(tmp_path / "demo")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if "metrics" in line:
            break
    text = "".join(lines)
    assert "ready after" in text
    accounts, searchable = re.findall(r"([\d,]+) accounts, .* ([\d,]+) creators searchable", text)[-1]
    assert int(accounts) > int(searchable) > 40  # some have accounts on both platforms and are one creator
    written = run_cli("export", "--creators", str(tmp_path / "out.jsonl"), "--data-dir", str(tmp_path / "demo"))
    assert (written.returncode, written.stdout) == (0, f"{searchable} creators in {tmp_path / 'out.jsonl'}\n"), written
    assert '"vectors"' in (tmp_path / "out.jsonl").read_text(), "a demo's folder brings its grant and its clock"
    demo.terminate()
    demo.stdout.read()
    demo.stdout.close()
    assert demo.wait(30) == 0


def test_commands_answer_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("pokedexd 0.")
    dump = run_cli(
        "config",
        "dump",
        env={
            "POKEDEXD_PLATFORMS__YOUTUBE__KEY": "s3cret-key",
            "POKEDEXD_PLATFORMS__YOUTUBE__DERIVED_DATA": "denied",
            "PATH": "/usr/bin:/bin",
        },
    )
    assert "s3cret-key" not in dump.stdout
    assert "********" in dump.stdout
