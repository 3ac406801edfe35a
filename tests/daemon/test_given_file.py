"""Files of whole creators: read in pieces whatever they hold, and written with what may be handed on."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard

from actors.given import MAX_LINE_BYTES, prepare
from actors.given_packing import pack
from actors.policy import policies
from actors.taking_in import FORGOTTEN, TakingIn
from daemon import given_file
from daemon.config import Config, DaemonConfig, PlatformsConfig, YouTubeConfig
from daemon.derived_data import EMBEDDED_WITH, mark_of
from daemon.given_export import TOO_MUCH, TOO_OLD, Rules, export_creators, line_of, loses_derived
from daemon.given_file import PIECE_BYTES, PIECE_LINES, Lines, import_id_of, read_pieces
from daemon.pipeline import visit_policies
from proto.errors import ConfigError, Malformed
from proto.ids import AccountKey
from stores.catalog import CreatorBundle
from stores.env import Environment
from stores.suppression import Suppression
from tests.actors.test_given import NICHE, NOW, TAXONOMY, account, creator, prepared, rules

DAY = 86_400


def pieces(path: Path, data: bytes) -> list[Lines]:
    path.write_bytes(data)
    return list(read_pieces(path))


def test_what_is_read_is_let_go_of_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of gigabytes the system keeps little; `let_go` itself is tried where it is."""
    let_go: list[int] = []
    monkeypatch.setattr(given_file, "let_go", lambda _, end: let_go.append(end))
    monkeypatch.setattr(given_file, "PASSED_BYTES", 1_000)
    lines = [b"{%d}" % number for number in range(1_000)]
    read = pieces(tmp_path / "a", b"\n".join(lines))
    assert [line for piece in read for line in piece.lines] == lines
    steps = [later - earlier for earlier, later in itertools.pairwise([0, *let_go])]
    assert len(steps) == 5
    assert all(1_000 <= step < 1_010 for step in steps)


def test_lines_are_numbered_as_they_stand_in_the_file(tmp_path: Path) -> None:
    (piece,) = pieces(tmp_path / "a", b"\xef\xbb\xbf\n{1}\r\n\n   \n  {2}\t\n{3}")
    assert (piece.at, piece.numbers, piece.lines) == (0, [2, 5, 6], [b"{1}", b"{2}", b"{3}"])
    assert piece.read_bytes == (tmp_path / "a").stat().st_size


def test_pieces_hold_so_many_lines_and_say_how_many_came_before(tmp_path: Path) -> None:
    found = pieces(tmp_path / "a", b"{}\n" * (2 * PIECE_LINES + 1))
    assert [(piece.at, len(piece.lines)) for piece in found] == [(0, 500), (500, 500), (1_000, 1)]
    assert pieces(tmp_path / "b", b"\n \n") == []


def test_no_piece_is_larger_than_a_request_may_be(tmp_path: Path) -> None:
    small, large = b"x" * ((PIECE_BYTES - MAX_LINE_BYTES) // 400 - 1), b"y" * MAX_LINE_BYTES
    for lines in ([small] * 400 + [large], [large] * 4, [small] * 399 + [large, large]):
        found = pieces(tmp_path / "a", b"\n".join(lines))
        assert [line for piece in found for line in piece.lines] == lines
        assert max(len(b"\n".join(piece.lines)) for piece in found) <= PIECE_BYTES


def test_a_line_that_is_too_long_takes_no_other_with_it(tmp_path: Path) -> None:
    for ending in (b"", b"\n", b"\n{2}"):
        (piece,) = pieces(tmp_path / "a", b"{1}\n" + b"z" * (3 * MAX_LINE_BYTES) + ending)
        assert piece.lines == [b"{1}", b"{2}"][: 1 + ending.count(b"{")]
        assert piece.numbers == [1, 3][: len(piece.lines)]
        assert piece.overlong == [2]
    (alone,) = pieces(tmp_path / "a", b"z" * (MAX_LINE_BYTES + 1))
    assert (alone.lines, alone.overlong) == ([], [1])


def test_compressed_files_are_read_as_they_are_and_damage_is_told(tmp_path: Path) -> None:
    frames = zstandard.compress(b"{1}\n{2") + zstandard.compress(b"}\n{3}")
    (piece,) = pieces(tmp_path / "a", frames)
    assert piece.lines == [b"{1}", b"{2}", b"{3}"]
    numbers = b"".join(f'{{"{number}": 1}}\n'.encode() for number in range(1_000))
    broken = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(numbers))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(Malformed, match="is damaged"):
        pieces(tmp_path / "b", bytes(broken))


def test_a_file_that_ends_too_early_is_told(tmp_path: Path) -> None:
    whole = zstandard.compress(b"".join(f'{{"{number}": 1}}\n'.encode() for number in range(100_000)))
    with pytest.raises(Malformed, match="ends too early"):
        pieces(tmp_path / "a", whole[: len(whole) // 2])


def test_an_import_goes_by_what_the_file_holds(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"{}\n")
    (tmp_path / "b").write_bytes(b"{}\n")
    (tmp_path / "c").write_bytes(b"{}\n{}")
    assert import_id_of(tmp_path / "a") == import_id_of(tmp_path / "b") != import_id_of(tmp_path / "c")
    with pytest.raises(Malformed, match="cannot be read"):
        import_id_of(tmp_path / "d")


def bundle(*accounts: dict[str, object], denied: bool = False) -> CreatorBundle:
    said = prepared(creator(*accounts, primary_niche=NICHE), rules("denied" if denied else "granted"))
    parts = [
        msgspec.structs.replace(part, items=items) for part, items in zip(said.bundle.accounts, said.items, strict=True)
    ]
    return msgspec.structs.replace(said.bundle, accounts=parts)


def handing(*forgotten: str, derived_data: str = "granted", now: float = NOW) -> Rules:
    return Rules(policies=policies(derived_data), forbids=lambda key, _: key in forgotten, now=now)


BOTH = (account(), account(platform="instagram", platform_user_id="7"))
CHANNEL = AccountKey("youtube:UC1")


def test_a_line_is_the_creator_again() -> None:
    whole = bundle(*BOTH)
    made = line_of(whole, CHANNEL, handing())
    assert not isinstance(made, str)
    line, cut = made
    again = prepared(json.loads(line))
    assert (cut, again.founder, again.labelled) == (False, CHANNEL, True)
    assert again.bundle.creator == whole.creator
    assert again.bundle.embeddings == whole.embeddings
    assert b"account_key" not in line


def test_nobody_forgotten_or_too_old_is_handed_on() -> None:
    whole = bundle(*BOTH)
    assert line_of(whole, CHANNEL, handing("instagram:7")) == FORGOTTEN
    made = line_of(whole, CHANNEL, handing(now=NOW + 40 * DAY))
    assert not isinstance(made, str)
    assert [one["platform"] for one in json.loads(made[0])["accounts"]] == ["instagram"]
    assert line_of(bundle(account()), CHANNEL, handing(now=NOW + 40 * DAY)) == TOO_OLD


def test_what_is_derived_is_handed_on_only_where_that_is_allowed() -> None:
    made = line_of(bundle(*BOTH), CHANNEL, handing(derived_data="denied"))
    assert not isinstance(made, str)
    assert [bool(one.get("vectors")) for one in json.loads(made[0])["accounts"]] == [False, True]
    alone = line_of(bundle(account()), CHANNEL, handing(derived_data="denied"))
    assert not isinstance(alone, str)
    assert "primary_niche" not in json.loads(alone[0])


def test_a_creator_with_too_much_for_a_line_loses_its_oldest_content() -> None:
    whole = bundle(account())
    (part,) = whole.accounts
    (first, *_) = part.items
    part.items = [
        msgspec.structs.replace(first, content_id=f"v{number}", description="ü" * 1_500, published_at=NOW - number)
        for number in range(2_000)
    ]
    made = line_of(whole, CHANNEL, handing())
    assert not isinstance(made, str)
    line, cut = made
    assert cut
    assert MAX_LINE_BYTES // 3 < len(line) <= MAX_LINE_BYTES
    kept = [one["content_id"] for one in json.loads(line)["accounts"][0]["items"]]
    assert kept == [f"v{number}" for number in range(len(kept))]
    assert prepare(line, rules(), NOW).founder == CHANNEL
    part.account.bio = "b" * MAX_LINE_BYTES
    assert line_of(whole, CHANNEL, handing()) == TOO_MUCH


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzip.compress(b"{}"), "is packed by gzip"),
        (b' \n[{"accounts": []}]', "one creator a line is expected"),
        ("\ufeff[".encode(), "one creator a line is expected"),
    ],
)
def test_a_file_of_another_kind_is_refused_whole(content: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "creators.jsonl"
    file.write_bytes(content)
    with pytest.raises(Malformed, match=expected):
        list(read_pieces(file))


def stating(derived_data: str, data: Path) -> Config:
    return Config(
        daemon=DaemonConfig(data_dir=str(data), clock_at=datetime.fromtimestamp(NOW, UTC).isoformat()),
        platforms=PlatformsConfig(youtube=YouTubeConfig(derived_data=derived_data)),
    )


def test_a_daemon_that_starts_while_an_export_is_written_has_its_journal(tmp_path: Path) -> None:
    env, place = Environment(tmp_path / "data", map_size_bytes=1 << 24), tmp_path / "data.suppression"
    journal = Suppression.open(place)
    taking = TakingIn(suppression=journal, visits_of=visit_policies(Config()), now=NOW)
    env.write_now(lambda txn: taking.put(txn, pack(prepared(creator()), TAXONOMY)))
    journal.close()
    env.close()
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        Suppression.open(place).close()
        told.append((done, total))

    config = stating("granted", tmp_path / "data")
    assert export_creators(config, tmp_path / "out", tell).creators == 1
    assert told == [(1, 1)]


def test_what_is_derived_is_not_left_out_unless_the_settings_say_so(tmp_path: Path) -> None:
    env = Environment(tmp_path / "data", map_size_bytes=1 << 24)
    said = prepared(creator(account(), primary_niche=NICHE))
    assert said.labelled
    with contextlib.closing(Suppression.open(tmp_path / "data.suppression")) as journal:
        taking = TakingIn(suppression=journal, visits_of=visit_policies(Config()), now=NOW)
        env.write_now(lambda txn: taking.put(txn, pack(said, TAXONOMY)))
        env.write_now(lambda txn: txn.put("meta", EMBEDDED_WITH.encode(), mark_of("m", []).encode()))
    env.close()
    with pytest.raises(ConfigError, match=r"platforms\.youtube\.derived_data: set it as the daemon's settings do"):
        export_creators(stating("", tmp_path / "data"), tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()
    for stated, left_out in (("granted", 0), ("denied", 1)):
        done = export_creators(stating(stated, tmp_path / "data"), tmp_path / "out", lambda *_: None)
        assert (done.creators, done.underived) == (1, left_out)
        assert ("primary_niche" in (tmp_path / "out").read_text()) == (not left_out)


def test_of_a_creator_nothing_is_lost_that_is_not_held() -> None:
    denied = handing(derived_data="denied")
    assert loses_derived(bundle(account()), denied)
    assert not loses_derived(bundle(account()), handing())
    assert not loses_derived(bundle(account(platform="instagram", platform_user_id="7")), denied)
