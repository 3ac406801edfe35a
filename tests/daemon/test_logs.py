from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import hpack
import pytest
import structlog
import structlog.testing
import trio

from daemon.app import open_stores
from daemon.config import load
from daemon.logs import configure, set_level
from daemon.metrics import Metrics


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is the process's own: whatever a test configures is taken back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_an_event_is_one_line_of_keys_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    structlog.get_logger("web").info("connection dropped", error="two\nlines")
    (line,) = lines(capsys)
    assert line.startswith("timestamp='20")
    assert line.endswith(r"level='info' logger='web' event='connection dropped' error='two\nlines'")


def test_json_is_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.get_logger("web").warning("slow", seconds=1.5)
    (line,) = lines(capsys)
    body = json.loads(line)
    assert {key: body[key] for key in ("level", "logger", "event", "seconds")} == {
        "level": "warning", "logger": "web", "event": "slow", "seconds": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure("info", form)
    structlog.get_logger("web").error("failed", exc_info=ValueError("what went wrong"))
    (line,) = lines(capsys)
    assert "what went wrong" in line


def test_libraries_speak_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    logging.getLogger("some.library").warning("told %s", "so")
    logging.getLogger("httpx2").info("a line for every request")
    (line,) = lines(capsys)
    assert line.endswith("level='warning' logger='some.library' event='told so'")


def test_at_debug_no_key_of_a_client_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "text")
    head = hpack.Encoder().encode([("authorization", "Bearer hidden-key")])
    assert "hidden-key" in str(hpack.Decoder().decode(head))
    assert lines(capsys) == []


def test_the_level_can_change_while_running(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "text")
    log = structlog.get_logger("web")
    log.info("not yet")
    set_level("info")
    log.info("now")
    set_level("error")
    log.warning("no more")
    assert [line.rpartition("event=")[2] for line in lines(capsys)] == ["'now'"]


def test_bound_values_follow(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    with structlog.contextvars.bound_contextvars(actor="fetcher"):
        structlog.get_logger("web").info("working")
    assert "actor='fetcher'" in lines(capsys)[0]


@pytest.mark.parametrize(("share", "told"), [("0", 1), ("0.01", 0)])
def test_settings_by_which_nothing_new_is_fetched_are_told_at_the_start(share: str, told: int, tmp_path: Path) -> None:
    config = load(None, {"POKEDEXD_INGESTION__BACKFILL_SHARE": share}, {}).config
    with (
        structlog.testing.capture_logs() as logs,
        open_stores(config, tmp_path / "data", tmp_path / "suppression", Metrics(), trio.to_thread.run_sync),
    ):
        pass
    assert ["ingestion.backfill_share is 0" in entry["reason"] for entry in logs] == [True] * told
