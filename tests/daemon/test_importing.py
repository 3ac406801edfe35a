from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from daemon.cli import app as cli
from daemon.importing import (
    COLUMNS,
    Piece,
    Verdict,
    end_import,
    import_accounts,
    import_rows,
    mark_duplicates,
    parse_reference,
    read_rows,
)
from proto.errors import Malformed
from proto.ids import Platform, account_key
from proto.records import Job, JobKind, Priority
from stores.env import Environment
from stores.imports import piece_key
from stores.schedule import Schedule, put_job
from stores.suppression import Suppression

NOW = 1_790_000_000.0
ID, OTHER_ID = "UC" + "a" * 21 + "A", "UC" + "b" * 21 + "Q"


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Suppression]:
    """Nobody has asked to be forgotten yet."""
    opened = Suppression.open(tmp_path / "suppression")
    yield opened
    opened.close()


def listed(tmp_path: Path, content: str | bytes, name: str = "list.csv") -> list[tuple[int, str]]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path))


def short(verdicts: list[Verdict]) -> list[tuple[int, str]]:
    return [(one.line, one.verdict) for one in verdicts]


# what a row may say


@pytest.mark.parametrize(
    ("text", "kind", "entity"),
    [
        (ID, JobKind.PROFILE, ID),
        (f"  {ID}\t", JobKind.PROFILE, ID),
        (f"youtube:{ID}", JobKind.PROFILE, ID),
        (f"https://www.youtube.com/channel/{ID}", JobKind.PROFILE, ID),
        (f"http://m.youtube.com/channel/{ID}/videos?view=0#top", JobKind.PROFILE, ID),
        (f"youtube.com/channel/{ID}", JobKind.PROFILE, ID),
        ("@Some.Name", JobKind.LOOKUP, "@some.name"),
        ("Some_Name", JobKind.LOOKUP, "@some_name"),
        ("@日本の料理", JobKind.LOOKUP, "@日本の料理"),
        ("https://www.youtube.com/@Name/about", JobKind.LOOKUP, "@name"),
        ("HTTPS://WWW.YOUTUBE.COM/@Name", JobKind.LOOKUP, "@name"),
        ("https://www.youtube.com/@%E6%97%A5%E6%9C%AC%E3%81%AE", JobKind.LOOKUP, "@日本の"),
        ("https://www.youtube.com/c/Custom", JobKind.LOOKUP, "@custom"),
        ("https://www.youtube.com/Custom", JobKind.LOOKUP, "@custom"),
        ("https://www.youtube.com/user/OldName", JobKind.LOOKUP, "user/OldName"),
    ],
)
def test_a_youtube_account_is_named_by_id_url_or_handle(text: str, kind: JobKind, entity: str) -> None:
    found = parse_reference(text)
    assert (found.platform, found.kind, found.entity) == (Platform.YOUTUBE, kind, entity)
    assert found.account_key == (account_key(Platform.YOUTUBE, ID) if kind is JobKind.PROFILE else None)


@pytest.mark.parametrize(
    "text",
    [
        "instagram:Some.Name",
        "instagram:@some.name",
        "https://www.instagram.com/some.name/?hl=en",
        "https://www.instagram.com/_u/some.name/",
    ],
)
def test_an_instagram_account_is_named_by_username_or_url(text: str) -> None:
    found = parse_reference(text)
    assert (found.platform, found.kind, found.entity) == (Platform.INSTAGRAM, JobKind.LOOKUP, "some.name")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "neither"),
        ("two words", "neither"),
        ("ab", "neither"),
        ("nul\0byte", "neither"),
        ("x" * 100_000, "neither"),
        ("https://www.youtube.com/channel/UCshort", "not a channel id"),
        ("https://www.youtube.com/watch?v=abcdefghijk", "watch page"),
        ("https://www.youtube.com/hashtag/music", "hashtag page"),
        ("https://www.youtube.com/Premium", "Premium page"),
        ("https://www.youtube.com/", "not the URL of an account"),
        ("https://example.org/@name", "not the URL of an account"),
        ("https://[broken/@name", "not the URL of an account"),
        ("https://youtube.com\uff0f@name/x", "not the URL of an account"),
        ("https://www.youtube.com/user/" + "x" * 1_000, "not the name of a user"),
        ("https://www.instagram.com/p/abc/", "p page"),
        ("https://www.instagram.com/about/jobs", "about page"),
        ("instagram:two words", "not an Instagram username"),
        ("tiktok:someone", "not ingested"),
        ("https://www.tiktok.com/@someone", "not ingested"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_wrong(text: str, detail: str) -> None:
    with pytest.raises(Malformed, match=detail):
        parse_reference(text)


# how a file may look


def test_a_plain_list_needs_no_header(tmp_path: Path) -> None:
    assert listed(tmp_path, f"{ID}\n\n@name\r\nhttps://www.youtube.com/@other\n") == [
        (1, ID),
        (3, "@name"),
        (4, "https://www.youtube.com/@other"),
    ]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_header_says_which_column_names_the_account(tmp_path: Path, column: str) -> None:
    assert listed(tmp_path, f"Note, {column.title()} \nhello,{ID}\n") == [(2, ID)]


def test_a_platform_column_tells_whose_handle_it_is(tmp_path: Path) -> None:
    content = "platform,handle\ninstagram,some.name\nyoutube,@name\n,plain\n"
    assert listed(tmp_path, content) == [(2, "instagram:some.name"), (3, "youtube:@name"), (4, "plain")]


def test_a_row_without_an_account_is_kept_for_its_verdict(tmp_path: Path) -> None:
    assert listed(tmp_path, "note,handle\nhello\nhello,\n,@name\n") == [(2, ""), (3, ""), (4, "@name")]


def test_a_quoted_cell_may_hold_commas_and_line_ends(tmp_path: Path) -> None:
    content = f'note,id\n"one, ""two""\nthree",{ID}\nfour,{OTHER_ID}\n'
    assert [text for _, text in listed(tmp_path, content)] == [ID, OTHER_ID]


@pytest.mark.parametrize("name", ["list.jsonl", "list.NDJSON", "list.txt"])
def test_json_lines_are_known_by_name_or_first_brace(tmp_path: Path, name: str) -> None:
    lines = [{"channel_id": ID}, {"platform": "instagram", "username": "some.name"}, {"url": "https://youtube.com/@x"}]
    content = "\n".join(json.dumps(line) for line in lines)
    assert listed(tmp_path, content, name) == [(1, ID), (2, "instagram:some.name"), (3, "https://youtube.com/@x")]


def test_a_json_line_may_be_just_a_text(tmp_path: Path) -> None:
    assert listed(tmp_path, f'"{ID}"\n"@name"\n', "list.jsonl") == [(1, ID), (2, "@name")]


@pytest.mark.parametrize(
    "line", ["null", "true", "1.5", "NaN", "[]", "{}", '{"id": null}', '{"id": true}', '{"id": ["abc"]}']
)
async def test_json_that_names_nobody_schedules_nobody(
    tmp_path: Path, env: Environment, line: str, nobody: Suppression
) -> None:
    rows = listed(tmp_path, f'{line}\n"@name"\n', "list.jsonl")
    assert short(await import_rows(env, rows, NOW, nobody)) == [(1, "invalid"), (2, "added")]


@pytest.mark.parametrize("broken", ['{"id": "UC', "{]", "[" * 100_000, "9" * 10_000, "\x00"])
async def test_a_broken_json_line_is_one_invalid_row(
    tmp_path: Path, env: Environment, broken: str, nobody: Suppression
) -> None:
    rows = listed(tmp_path, f'"@one"\n{broken}\n"@two"\n', "list.jsonl")
    assert short(await import_rows(env, rows, NOW, nobody)) == [(1, "added"), (2, "invalid"), (3, "added")]


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_only_line_ends_end_a_line(tmp_path: Path, separator: str) -> None:
    line = json.dumps({"note": "one two".replace(" ", separator), "id": ID}, ensure_ascii=False)
    if separator >= " ":
        assert listed(tmp_path, f"{line}\n", "list.jsonl") == [(1, ID)]
    assert listed(tmp_path, f"note,id\none{separator}two,{ID}\n") == [(2, ID)]


# bytes from elsewhere


@pytest.mark.parametrize(("name", "content"), [("list.csv", f"id\n{ID}\n"), ("list.jsonl", f'\n{{"id": "{ID}"}}\n')])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, name: str, content: str) -> None:
    assert listed(tmp_path, b"\xef\xbb\xbf" + content.encode(), name) == [(2, ID)]


def test_the_line_ends_of_old_macs_end_lines(tmp_path: Path) -> None:
    assert listed(tmp_path, f"channel_id,note\r{ID},x\r@name,y\r") == [(2, ID), (3, "@name")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, encoding: str, separator: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    text = mark + separator.join(["note", "channel_url"]) + "\r\n" + separator.join(["x", f"youtube.com/channel/{ID}"])
    assert listed(tmp_path, text.encode(encoding)) == [(2, f"youtube.com/channel/{ID}")]


async def test_keys_that_name_nobody_are_told(tmp_path: Path, env: Environment, nobody: Suppression) -> None:
    rows = listed(tmp_path, '{"creator": "x", "followers": 3}\n', "list.jsonl")
    (verdict,) = await import_rows(env, rows, NOW, nobody)
    assert verdict.verdict == "invalid"
    assert "{creator, followers}: none of the keys account, channel_id" in verdict.value
    (whole,) = await import_rows(env, listed(tmp_path, '{"accounts": []}\n', "whole.jsonl"), NOW, nobody)
    assert (whole.verdict, "import --creators" in whole.detail) == ("invalid", True)
    assert "neither" not in whole.detail


@pytest.mark.parametrize("content", ["@café\n".encode("latin-1"), b"\x80\x81", b"\xff\xfe@"])
def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Malformed, match=r"list\.csv: is neither UTF-8 nor UTF-16 text: .*; save it as CSV"):
        listed(tmp_path, content)


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed, match=str(tmp_path / name)):
        read_rows(tmp_path / name)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " , \n", "id\n", "id,note\n"])
@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_a_file_without_rows_is_no_error(tmp_path: Path, name: str, content: str) -> None:
    if name == "list.csv" or not content.strip("\ufeff\n"):
        assert listed(tmp_path, content, name) == []


@pytest.mark.parametrize(
    "broken",
    [
        "x" * (csv.field_size_limit() + 1),
        '"' + "x" * (csv.field_size_limit() + 1),
        '"open',
        '"open,',
        "nul\0byte",
        'a "b',
    ],
    ids=["huge", "huge and open", "open quote", "open quote and comma", "nul", "quote inside"],
)
@pytest.mark.parametrize("header", ["", "id,note\n"])
async def test_a_broken_csv_row_costs_no_other_row(
    tmp_path: Path, env: Environment, header: str, broken: str, nobody: Suppression
) -> None:
    rows = listed(tmp_path, f"{header}@one\n{broken}\n@two\n@three\n")
    first = 2 if header else 1
    assert [line for line, _ in rows] == [first, first + 1, first + 2, first + 3]
    verdicts = {one.line: one.verdict for one in await import_rows(env, rows, NOW, nobody)}
    assert [verdicts.pop(line) for line in (first, first + 2, first + 3)] == ["added"] * 3


async def test_every_verdict_can_be_written_down(tmp_path: Path, env: Environment, nobody: Suppression) -> None:
    rows = listed(tmp_path, '"\\ud800abc"\n"a\\u0000b"\n' + "x" * 100_000 + "\n", "list.jsonl")
    verdicts = await import_rows(env, rows, NOW, nobody)
    assert short(verdicts) == [(1, "invalid"), (2, "invalid"), (3, "invalid")]
    assert len(msgspec.json.encode(verdicts)) < 2_000


# what becomes of the rows


async def test_a_new_account_is_due_at_once(env: Environment, nobody: Suppression) -> None:
    await import_rows(env, [(1, ID), (2, "@name"), (3, "instagram:some.name")], NOW, nobody)
    schedule = Schedule(env)
    profile = await schedule.get(Platform.YOUTUBE, JobKind.PROFILE, ID)
    lookup = await schedule.get(Platform.YOUTUBE, JobKind.LOOKUP, "@name")
    instagram = await schedule.get(Platform.INSTAGRAM, JobKind.LOOKUP, "some.name")
    assert profile and lookup and instagram
    assert profile.account_key == account_key(Platform.YOUTUBE, ID)
    assert {profile.due_at, lookup.due_at, instagram.due_at} == {int(NOW)}


async def test_every_row_gets_its_verdict_in_order(env: Environment, nobody: Suppression) -> None:
    rows = [(1, ID), (3, "two words"), (4, "tiktok:someone"), (5, ID), (9, OTHER_ID)]
    verdicts = await import_rows(env, rows, NOW, nobody)
    assert [(one.line, one.value, one.verdict) for one in verdicts] == [
        (1, ID, "added"),
        (3, "two words", "invalid"),
        (4, "tiktok:someone", "unsupported"),
        (5, ID, "duplicate"),
        (9, OTHER_ID, "added"),
    ]
    assert verdicts[3].detail == "same as line 1"
    assert verdicts[1].detail
    assert verdicts[2].detail


async def test_one_account_named_in_two_ways_is_a_duplicate(env: Environment, nobody: Suppression) -> None:
    rows = [(1, ID), (2, f"https://www.youtube.com/channel/{ID}"), (3, "@Name"), (4, "https://youtube.com/@name")]
    assert short(await import_rows(env, rows, NOW, nobody)) == [
        (1, "added"),
        (2, "duplicate"),
        (3, "added"),
        (4, "duplicate"),
    ]


async def test_ids_that_differ_in_case_are_two_accounts(env: Environment, nobody: Suppression) -> None:
    verdicts = await import_rows(env, [(1, ID), (2, ID.replace("a", "A"))], NOW, nobody)
    assert short(verdicts) == [(1, "added"), (2, "added")]


async def test_the_same_list_again_changes_nothing(env: Environment, nobody: Suppression) -> None:
    rows = [(1, ID), (2, "@name"), (3, "two words")]
    await import_rows(env, rows, NOW, nobody)
    again = await import_rows(env, rows, NOW + 1_000, nobody)
    assert short(again) == [(1, "known"), (2, "known"), (3, "invalid")]
    job = await Schedule(env).get(Platform.YOUTUBE, JobKind.PROFILE, ID)
    assert job and job.due_at == int(NOW)


async def test_a_list_of_several_transactions_loses_and_doubles_nothing(env: Environment, nobody: Suppression) -> None:
    rows = [(number, f"@name{number % 2_100}") for number in range(1, 2_501)]
    verdicts = await import_rows(env, rows, NOW, nobody)
    assert [one.line for one in verdicts] == [line for line, _ in rows]
    assert [one.verdict for one in verdicts] == ["added"] * 2_100 + ["duplicate"] * 400
    assert await Schedule(env).pending() == 2_100


async def test_an_empty_list_is_no_error(env: Environment, nobody: Suppression) -> None:
    assert await import_rows(env, [], NOW, nobody) == []


async def test_accounts_known_by_key_are_counted_when_new(env: Environment, nobody: Suppression) -> None:
    keys = [account_key(Platform.YOUTUBE, one) for one in (ID, OTHER_ID)]
    assert await import_accounts(env, keys[:1], NOW, nobody) == 1
    assert await import_accounts(env, keys, NOW, nobody) == 1
    assert await import_accounts(env, keys, NOW, nobody) == 0


async def test_who_was_forgotten_is_not_taken_in(env: Environment, nobody: Suppression) -> None:
    nobody.add([(Platform.YOUTUBE, ID), (Platform.YOUTUBE, "@gone"), (Platform.INSTAGRAM, "@some.name")])
    named = [ID, f"https://www.youtube.com/channel/{ID}", "@Gone", "youtube.com/user/gone", "instagram:some.name"]
    verdicts = await import_rows(env, [*enumerate(named, 1), (6, OTHER_ID), (7, "instagram:gone")], NOW, nobody)
    assert short(verdicts) == [(line, "forgotten") for line in range(1, 6)] + [(6, "added"), (7, "added")]
    assert await Schedule(env).pending() == 2
    assert await import_accounts(env, [account_key(Platform.YOUTUBE, ID)], NOW, nobody) == 0


# an import that is interrupted


@pytest.mark.parametrize("answered", [0, 1, 2])
async def test_an_interrupted_import_ends_as_an_undisturbed_one(
    tmp_path: Path, env: Environment, nobody: Suppression, answered: int
) -> None:
    """Its client sees ``answered`` of three pieces answered and dies while the next is being taken in."""
    rows = [(number, f"@name{number % 2_400}") for number in range(1, 2_501)]
    pieces = [(rows[at : at + 1_000], Piece(import_id="abcdef12", at=at)) for at in (0, 1_000, 2_000)]
    await env.write(lambda txn: put_job(txn, known("@name7")))
    for part, piece in pieces[: answered + 1]:
        await import_rows(env, part, NOW, nobody, piece)
    found = [one for part, piece in pieces for one in await import_rows(env, part, NOW + 60, nobody, piece)]
    kinds = [one.verdict for one in mark_duplicates(found, rows)]
    assert kinds[6] == "known"
    assert kinds[:6] + kinds[7:2_400] == ["added"] * 2_399
    assert kinds[2_400:2_406] == ["duplicate"] * 6
    assert kinds.count("duplicate") == 99
    assert await end_import(env, "abcdef12") == 3
    again = [one for part, piece in pieces for one in await import_rows(env, part, NOW + 90, nobody, piece)]
    assert {one.verdict for one in mark_duplicates(again, rows)} == {"known"}


def test_the_name_of_an_import_is_the_checksum_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the file's bytes: who saves the list in another encoding goes on with the same import."""
    named = list[str]()

    async def noted(env: Environment, import_id: str) -> int:
        named.append(import_id)
        return await end_import(env, import_id)

    monkeypatch.setattr("daemon.cli.end_import", noted)
    monkeypatch.setattr("daemon.cli.AdminClient.answers", lambda _client: False)
    for name, content in (
        ("a.csv", b"@anna\n@ben\n"),
        ("b.csv", "@anna\r\n@ben".encode("utf-16")),
        ("c.csv", b"@anna\n@cleo\n"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        done = CliRunner().invoke(cli, ["import", str(path), "--data-dir", str(tmp_path / "data")])
        assert done.exit_code == 0, done.output
    assert named[0] == hashlib.sha256(repr([(1, "@anna"), (2, "@ben")]).encode()).hexdigest()
    assert named[0] == named[1] != named[2]


async def test_what_is_remembered_of_an_import_names_nobody(env: Environment, nobody: Suppression) -> None:
    nobody.add([(Platform.YOUTUBE, ID)])
    rows = [(1, ID), (2, "@quokka"), (3, "two words")]
    first = await import_rows(env, rows, NOW, nobody, Piece(import_id="abcdef12", at=0))
    assert await import_rows(env, rows, NOW, nobody, Piece(import_id="abcdef12", at=0)) == first
    kept = await env.read(lambda txn: [value for _, value in txn.scan("meta", piece_key("abcdef12", 0))])
    assert [len(one) < 30 for one in kept] == [True]
    assert b"quokka" not in kept[0]


async def test_other_rows_under_the_same_name_are_judged_anew(env: Environment, nobody: Suppression) -> None:
    """As many as before, and among them one that names nobody where there was an account."""
    piece = Piece(import_id="abcdef12", at=0)
    await import_rows(env, [(1, "@anna"), (2, "@ben")], NOW, nobody, piece)
    others = [(1, "two words"), (2, "@cleo")]
    for _ in range(2):
        assert short(await import_rows(env, others, NOW, nobody, piece)) == [(1, "invalid"), (2, "added")]
    assert await Schedule(env).pending() == 3


def known(entity: str) -> Job:
    return Job(
        platform=Platform.YOUTUBE,
        kind=JobKind.LOOKUP,
        entity=entity,
        account_key=None,
        priority=Priority.DISCOVERY,
        due_at=int(NOW),
    )


async def test_a_mistyped_channel_id_is_told_to_be_taken_for_a_handle(env: Environment, nobody: Suppression) -> None:
    rows = [(1, "UC8V_Ywx7skCyVGfyk2WDEq"), (2, "UC" + "a" * 21 + "B"), (3, "UC" + "a" * 21 + "A"), (4, "@ucla")]
    verdicts = await import_rows(env, rows, NOW, nobody)
    assert ["24 characters" in one.detail for one in verdicts] == [True, True, False, False]
    assert [one.verdict for one in verdicts] == ["added"] * 4
