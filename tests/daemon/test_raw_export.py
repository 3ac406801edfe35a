from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.raw_export import MASK, ExportedPage, export_raw, find_account, mask_secrets
from proto.errors import Malformed, NotFound, Unavailable
from proto.ids import AccountKey, Platform, account_key
from proto.records import CreatorAccount, JobKind, RawPage
from stores.catalog import put_account
from stores.codec import SCHEMA_VERSION, pack_id
from stores.env import SCHEMA, Environment, Txn, look_on
from stores.raw import put_raw, raw_id_of, seal
from tests.flow.processes import run_cli

T = TypeVar("T")

NOW = 1_790_000_000
ANA, BEN = "UC" + "a" * 21 + "A", "UC" + "b" * 21 + "A"
ANA_KEY, BEN_KEY = account_key(Platform.YOUTUBE, ANA), account_key(Platform.YOUTUBE, BEN)


def page(body: bytes, *, key: AccountKey = ANA_KEY, at: int = NOW, request: str = "GET /channels?id=1") -> RawPage:
    return RawPage(
        platform=Platform(key.partition(":")[0]),
        kind=JobKind.PROFILE,
        account_key=key,
        fetched_at=at,
        request=request,
        body=body,
    )


def keep(txn: Txn, one: RawPage) -> None:
    put_raw(txn, one, *seal(one))


async def lines_of(env: Environment, key: AccountKey = ANA_KEY) -> list[ExportedPage]:
    lines: list[bytes] = []
    assert await export_raw(env, key, lines.append) == len(lines)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [msgspec.json.decode(line, type=ExportedPage) for line in lines]


async def test_every_page_of_the_account_comes_oldest_first(env: Environment) -> None:
    pages = [page(b"3", at=NOW + 3), page(b"1", at=NOW + 1), page(b"2", at=NOW + 2), page(b"x", key=BEN_KEY)]
    for one in pages:
        await env.write(partial(keep, one=one))
    assert [one.body for one in await lines_of(env)] == ["1", "2", "3"]


async def test_a_line_says_what_was_asked_when_and_what_came_to_the_byte(env: Environment) -> None:
    body = '{"title":\n"Ä\\u0000🙂"}'.encode()
    await env.write(partial(keep, one=page(body)))
    (one,) = await lines_of(env)
    assert one == ExportedPage(
        platform="youtube",
        kind="profile",
        fetched_at="2026-09-21T14:13:20Z",
        request="GET /channels?id=1",
        body=body.decode(),
        sha256=hashlib.sha256(body).hexdigest(),
    )


async def test_the_hash_of_bytes_that_are_no_text_is_of_the_bytes(env: Environment) -> None:
    await env.write(partial(keep, one=page(b"\xff\xfe")))
    (one,) = await lines_of(env)
    assert (one.body, one.sha256) == ("\ufffd\ufffd", hashlib.sha256(b"\xff\xfe").hexdigest())


async def test_a_damaged_page_is_named(env: Environment) -> None:
    one = page(b"1")
    await env.write(lambda txn: put_raw(txn, one, raw_id_of(one), b"no zstd"))
    with pytest.raises(Malformed, match=raw_id_of(one)):
        await lines_of(env)


@pytest.mark.parametrize(
    "name", [ANA_KEY, f" {ANA_KEY} ", ANA, f"https://www.youtube.com/channel/{ANA}", "@ana", "youtube.com/@Ana"]
)
async def test_an_account_is_found_by_key_id_url_or_handle(env: Environment, name: str) -> None:
    known = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=ANA, handle="ana", fetched_at=NOW)
    await env.write(lambda txn: put_account(txn, known))
    assert await find_account(env, name) == ANA_KEY


async def test_an_account_of_which_nothing_could_be_read_has_pages_all_the_same(env: Environment) -> None:
    key = AccountKey("instagram:17841400000000001")
    await env.write(partial(keep, one=page(b"?", key=key)))
    assert await find_account(env, key) == key


@pytest.mark.parametrize("name", [BEN_KEY, BEN, ANA_KEY[:-1], "@nobody", "instagram:nobody", f"youtube:{'U' * 50}"])
async def test_an_account_that_is_not_held_is_named_in_the_error(env: Environment, name: str) -> None:
    """The beginning of a key that is held is no account."""
    await env.write(partial(keep, one=page(b"1")))
    with pytest.raises(NotFound, match=name):
        await find_account(env, name)


@pytest.mark.parametrize("name", ["", "no such thing", f"youtube:{'é' * 5_000}", "tiktok:1"])
async def test_what_names_no_account_is_refused(env: Environment, name: str) -> None:
    with pytest.raises(Malformed):
        await find_account(env, name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /videos?id=1&key=AIzaSyA-1_2&part=x", f"GET /videos?id=1&key={MASK}&part=x"),
        ("GET /1?access_token=EAAB.c-d&fields=id", f"GET /1?access_token={MASK}&fields=id"),
        ("GET /1?fields=id&appsecret_proof=00ff", f"GET /1?fields=id&appsecret_proof={MASK}"),
        ("Authorization: Bearer ya29.a-b_c", f"Authorization: Bearer {MASK}"),
        ("API key not valid: AIzaSyA-1_2.", f"API key not valid: AIza{MASK}"),
        ('{"access_token": "EAAB", "id": "1"}', f'{{"access_token": "{MASK}", "id": "1"}}'),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert mask_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "GET /playlistItems?part=snippet&maxResults=50&playlistId=UUa&pageToken=EAAaBlBUOkNESQ",
        "GET /channels?part=snippet&forHandle=@keys",
        "GET /{token}?fields=business_discovery.username(ana){id,media.after(QVFI).limit(25){id}}",
        "GET feed of UCa",
    ],
)
def test_requests_as_they_are_stored_stay_readable(text: str) -> None:
    assert mask_secrets(text) == text


def run(folder: Path, *args: str) -> Any:
    return CliRunner().invoke(app, ["raw", "export", *args, "--data-dir", str(folder)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with contextlib.closing(Environment(tmp_path / "data", map_size_bytes=1 << 30)) as env:
        env.write_now(partial(keep, one=page(b"1", request="GET /channels?key=secret")))
        env.write_now(partial(keep, one=page(b"2", at=NOW + 1)))
    return tmp_path / "data"


def test_the_command_writes_lines_to_standard_output(folder: Path) -> None:
    result = run(folder, ANA_KEY)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, [line["body"] for line in lines]) == (0, ["1", "2"])
    assert "secret" not in result.stdout


def test_the_command_writes_the_same_lines_to_a_file(folder: Path, tmp_path: Path) -> None:
    result = run(folder, ANA_KEY, "--output", str(tmp_path / "ana.jsonl"))
    assert result.stdout.startswith(f"2 pages of {ANA_KEY}")
    assert (tmp_path / "ana.jsonl").read_text() == run(folder, ANA_KEY).stdout


def test_the_command_leaves_no_file_for_an_unknown_account(folder: Path, tmp_path: Path) -> None:
    result = run(folder, BEN_KEY, "--output", str(tmp_path / "ben.jsonl"))
    assert isinstance(result.exception, NotFound)
    assert not (tmp_path / "ben.jsonl").exists()


def test_the_command_says_where_it_cannot_write(folder: Path, tmp_path: Path) -> None:
    result = run(folder, ANA_KEY, "--output", str(tmp_path / "absent" / "ana.jsonl"))
    assert isinstance(result.exception, Unavailable) and "--output" in str(result.exception)


def test_the_command_reads_a_store_that_a_daemon_has(folder: Path) -> None:
    with contextlib.closing(Environment(folder, map_size_bytes=1 << 30)) as env:
        env.write_now(partial(keep, one=page(b"3", at=NOW + 2)))
        done = run_cli("raw", "export", ANA_KEY, "--data-dir", str(folder))
        assert [json.loads(line)["body"] for line in done.stdout.splitlines()] == ["1", "2", "3"], done.stderr


def test_a_store_of_another_schema_is_refused_with_the_remedy(folder: Path) -> None:
    with contextlib.closing(Environment(folder, map_size_bytes=1 << 30)) as env:
        env.write_now(lambda txn: txn.put("meta", SCHEMA, pack_id(SCHEMA_VERSION + 1)))
    with pytest.raises(Unavailable, match="install the newer one again"), look_on(folder):
        pass


async def test_a_page_that_is_dropped_meanwhile_is_left_out(env: Environment) -> None:
    first, second = page(b"1"), page(b"2", at=NOW + 1)
    for one in (first, second):
        await env.write(partial(keep, one=one))

    class Dropping:
        """After the first look, nothing of the second page is there any more."""

        async def read(self, look: Callable[[Txn], T]) -> T:
            found = await env.read(look)
            await env.write(lambda txn: txn.delete("raw", bytes.fromhex(raw_id_of(second))))
            return found

    lines: list[bytes] = []
    assert await export_raw(Dropping(), ANA_KEY, lines.append) == 1
    assert [msgspec.json.decode(line, type=ExportedPage).body for line in lines] == ["1"]
