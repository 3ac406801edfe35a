"""`pokedexd import|export --creators`: a file of whole creators, sent to the running daemon piece by piece, or written."""

from __future__ import annotations

import csv
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actors.bulk import INVALID, KINDS, LineVerdict
from actors.given import MAX_LINE_BYTES
from actors.taking_in import ADDED, KNOWN
from daemon.admin_client import AdminClient
from daemon.config import Config
from daemon.demo_note import as_of_demo
from daemon.given_export import export_creators
from daemon.given_file import Lines, import_id_of, read_pieces
from daemon.importing import Piece
from daemon.terminal import ConfigOption, DataDirOption, client_for, err, line, out, settings
from proto.errors import Malformed, Unavailable

IN_FLIGHT = 2
"""Pieces that the daemon has at a time."""
SHOWN, MOST_COUNTED = 10, 10_000
"""Lines that were not taken in, and things that were left out of lines, told at the end."""
TOO_LONG = LineVerdict(verdict=INVALID, detail=f"longer than {MAX_LINE_BYTES:,} bytes, the most a creator has")
TOLD_EVERY_SECONDS = 10.0
"""Where there is no terminal to draw on."""
COLUMNS = (
    TextColumn("importing"),
    BarColumn(),
    TextColumn("{task.fields[lines]:,} creators, {task.fields[rate]:,.0f} a second"),
    TimeRemainingColumn(),
)


EXPORT_COLUMNS = (TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def import_creators(config: Config, file: Path, verdicts: Path) -> None:
    """Exits with 1 where no line at all could be read."""
    begun = told_at = time.monotonic()
    import_id, size = import_id_of(file), file.stat().st_size
    with Progress(*COLUMNS, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("importing", total=size, lines=0, rate=0.0)

        def tell(read_bytes: int, lines: int) -> None:
            nonlocal told_at
            now = time.monotonic()
            progress.update(task, completed=read_bytes, lines=lines, rate=lines / max(now - begun, 1e-6))
            if not err.is_terminal and now - told_at > TOLD_EVERY_SECONDS:
                err.print(
                    f"{read_bytes / max(size, 1):.0%}, {lines:,} creators, {lines / (now - begun):,.0f} a second",
                    highlight=False,
                )
                told_at = now

        sent = send(file, client_for(config), import_id, verdicts, tell)
    counts = sent.counts
    out.print(", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind]) or "no lines", highlight=False)
    for one in sent.refused:
        line(f"  {one}")
    if counts[INVALID] > len(sent.refused):
        line(f"  and {counts[INVALID] - len(sent.refused):,} more")
    for words, times in sent.left_out.most_common(SHOWN):
        line(f"  of {times:,} {'line' if times == 1 else 'lines'}: {words}")
    if sent.noted:
        out.print(f"what was not simply added: {verdicts}", highlight=False, soft_wrap=True)
    if counts.total() and counts[INVALID] == counts.total():
        line("no line is a whole creator, as the README has it; a list of accounts goes without --creators")
        raise typer.Exit(1)


def export_command(
    file: Annotated[
        Path, typer.Argument(help="Where it goes; a name that ends in .zst makes it zstd.", show_default=False)
    ],
    creators: Annotated[
        bool, typer.Option("--creators", help="Whole creators, as import --creators reads them.")
    ] = False,
    config: ConfigOption = None,
    data: DataDirOption = None,
) -> None:
    """Write every creator as a line of JSON, while the daemon goes on: accounts, content, vectors and labels."""
    if not creators:
        raise Malformed("say what is to be written: pokedexd export --creators FILE")
    with Progress(*EXPORT_COLUMNS, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("writing", total=None)
        done = export_creators(
            as_of_demo(settings(config, data).config),
            file,
            lambda at, total: progress.update(task, completed=at, total=total),
        )
    said = [f"{done.creators:,} creators in {file}"]
    said += [f"{times:,} left out: {why}" for why, times in done.left_out.most_common()]
    said += [f"{done.cut:,} without their oldest content"] if done.cut else []
    line("; ".join(said))
    if done.underived:
        line(
            f"{done.underived:,} without vectors or labels that the store holds: nothing may be derived of YouTube's data "
            "(platforms.youtube.derived_data)"
        )


class Sent(msgspec.Struct, kw_only=True):
    """What became of the lines so far."""

    counts: Counter[str] = msgspec.field(default_factory=Counter)
    """By their verdicts."""
    refused: list[str] = msgspec.field(default_factory=list)
    """The first that cannot be taken in."""
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    """What lines lost that were taken in."""
    noted: int = 0
    """Lines with something to say of them."""


def send(file: Path, client: AdminClient, import_id: str, verdicts: Path, tell: Callable[[int, int], None]) -> Sent:
    """``verdicts`` gets every line that was not simply added. Sent again after an interruption, what was taken in is passed
    over. Raises Unavailable and Malformed."""
    if not client.answers():
        raise Unavailable(
            "whole creators are taken in by a running daemon, and none answers: start it (pokedexd serve)"
        )
    sent = Sent()
    try:
        target = verdicts.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{verdicts}: the verdicts cannot be written: {error.strerror}; choose --verdicts") from error
    with target:
        writer = csv.writer(target)
        writer.writerow(["line", "verdict", "detail"])
        for piece, found in _sent(read_pieces(file), client, import_id):
            _note(piece, found, writer, sent)
            tell(piece.read_bytes, sent.counts.total())
    client.end_import(import_id)
    return sent


def _sent(pieces: Iterator[Lines], client: AdminClient, import_id: str) -> Iterator[tuple[Lines, list[LineVerdict]]]:
    """In the order of the file. While one piece goes to the disk the next is read by the daemon."""

    def send_one(piece: Lines) -> list[LineVerdict]:
        if not piece.lines:
            return []
        try:
            return client.import_creators(piece.lines, Piece(import_id=import_id, at=piece.at))
        except (Malformed, Unavailable) as error:  # of one line there is a verdict
            if not piece.at:
                raise
            done = f"what stands before line {piece.numbers[0]:,} is taken in, and the same command goes on from there"
            raise Unavailable(f"{error}; {done}") from error

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        under_way: deque[tuple[Lines, Future[list[LineVerdict]]]] = deque()
        for piece in pieces:
            under_way.append((piece, pool.submit(send_one, piece)))
            if len(under_way) == IN_FLIGHT:
                first, answer = under_way.popleft()
                yield first, answer.result()
        for last, answer in under_way:
            yield last, answer.result()


def _countable(notes: Sequence[str], counted: Counter[str]) -> Sequence[str]:
    """Where each line has words of its own to it, only those that are known go on being counted."""
    return notes if len(counted) < MOST_COUNTED else [one for one in notes if one in counted]


def _note(piece: Lines, found: Sequence[LineVerdict], writer: Any, sent: Sent) -> None:
    if len(found) != len(piece.lines):
        raise Malformed(f"line {piece.numbers[0]}: the daemon judged {len(found)} of {len(piece.lines)} lines")
    said = [*zip(piece.numbers, found, strict=True), *((number, TOO_LONG) for number in piece.overlong)]
    for number, one in sorted(said, key=lambda pair: pair[0]):
        sent.counts[one.verdict] += 1
        if one.verdict != "added" or one.detail:
            sent.noted += 1
            writer.writerow([number, one.verdict, one.detail])
        if one.verdict in (ADDED, KNOWN) and one.detail:
            sent.left_out.update(_countable(one.detail.split("; "), sent.left_out))
        if one.verdict == INVALID and len(sent.refused) < SHOWN:
            sent.refused.append(f"line {number}: {one.detail}")
