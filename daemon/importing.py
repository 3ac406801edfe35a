"""Lists of channels from outside: ids, URLs and handles in CSV or JSON lines, with a verdict for every row."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

import msgspec

from actors.extraction_tables import RESERVED_PATHS
from proto.errors import Malformed
from proto.ids import AccountKey, Platform, account_key
from proto.records import Job, JobKind, Priority
from stores.catalog import find_by_handle, get_account
from stores.env import Environment, Txn
from stores.imports import Remembered, digest_of, forget_import, piece_key, recall, remember
from stores.schedule import find_job, put_job
from stores.suppression import Suppression

CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{21}[AQgw]")
MISTYPED_ID = re.compile(r"UC[A-Za-z0-9_-]{19,24}")
"""No channel's id, but more like one than like a handle."""
"""Shape of a channel id (platform-apis 1.1)."""
UNNAMED = re.compile(r"\{[^\"{}]*\}: ")
"""How a text begins that says why a JSON object names no account: its names, without the quotes of JSON."""

HANDLE = re.compile(r"@?[\w.\-·]{3,60}", re.UNICODE)
USERNAME = re.compile(r"[a-z0-9._]{1,30}")
NO_PROFILES = RESERVED_PATHS["instagram"] | {"direct"}
NO_CHANNELS = RESERVED_PATHS["youtube"]
"""First steps of paths that lead to nobody."""
COLUMNS = (
    "account",
    "channel_id",
    "id",
    "url",
    "channel_url",
    "profile_url",
    "account_url",
    "link",
    "handle",
    "username",
    "channel",
)
"""Columns and keys that may name an account, the first that is filled counts."""

MAX_ROW_CHARS = 2_000
FOLDED_ROWS = 1_000
"""Rows scheduled in one transaction, with what became of them."""
FORGOTTEN = "asked to be forgotten"
KINDS = ("added", "known", "duplicate", "forgotten", "unsupported", "invalid")
IMPORT_ID = re.compile(r"[0-9a-f]{8,64}")


class Verdict(msgspec.Struct, kw_only=True):
    """What became of one row. ``line`` counts from 1."""

    line: int
    value: str
    verdict: str
    """``added``, ``known``, ``duplicate``, ``forgotten``, ``unsupported`` or ``invalid``."""
    detail: str = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of which import these are: what became of them is remembered until the import has ended.

    Sent again, after whatever interrupted it, they get the same verdicts. Other rows under the same name are judged
    anew, and replace them.
    """

    import_id: str
    """Hexadecimal digits that no other list has, such as its checksum."""
    at: int
    """How many rows of the list come before."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An account as a row names it."""

    platform: Platform
    kind: JobKind
    entity: str

    @property
    def name(self) -> str:
        """The platform's id, or the handle without what marks it as one."""
        return self.entity.removeprefix("user/")

    @property
    def account_key(self) -> AccountKey | None:
        return account_key(self.platform, self.entity) if self.kind is JobKind.PROFILE else None


def read_rows(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and the text that names an account. Raises Malformed for a file that cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Malformed(f"{path}: cannot be read: {error.strerror}") from error
    return rows_of(data, str(path))


def rows_of(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    """As `read_rows`, of what a file of that name holds."""
    try:
        text = _decoded(data)
    except UnicodeDecodeError as error:
        raise Malformed(f"{name}: is neither UTF-8 nor UTF-16 text: {error}; save it as CSV in UTF-8") from error
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as spreadsheets wrote it on old Macs
    lines = text.split("\n")  # splitlines would also cut at the rarer separators, which may stand inside a cell
    if PurePath(name).suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip().startswith("{"):
        return _json_rows(lines)
    return _csv_rows(lines)


def _decoded(data: bytes) -> str:
    """Spreadsheets also write UTF-16, with a mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def parse_reference(text: str) -> Reference:
    """Raises Malformed with what was expected."""
    text = text.strip()[:MAX_ROW_CHARS]
    if UNNAMED.match(text):
        raise Malformed(text)
    if CHANNEL_ID.fullmatch(text):
        return Reference(platform=Platform.YOUTUBE, kind=JobKind.PROFILE, entity=text)
    if "/" in text or ("." in text.partition("/")[0] and text.lower().startswith(("http", "www.", "youtube."))):
        return _from_url(text)
    prefix, _, rest = text.partition(":")
    if rest and prefix in set(Platform):
        return _of_platform(Platform(prefix), rest)
    return _of_platform(Platform.YOUTUBE, text)


async def import_rows(
    env: Environment,
    rows: Sequence[tuple[int, str]],
    now: float,
    suppression: Suppression,
    piece: Piece | None = None,
) -> list[Verdict]:
    """Schedules every account that is new; durable before it returns. The same file again changes nothing.

    Who asked to be forgotten is not taken in.
    """
    verdicts: list[Verdict] = []
    for begin in range(0, len(rows), FOLDED_ROWS):
        part = rows[begin : begin + FOLDED_ROWS]
        parsed = [_parsed(line, text) for line, text in part]
        key = piece_key(piece.import_id, piece.at + begin) if piece is not None else None
        change = partial(
            _schedule_once, parsed=parsed, now=now, suppression=suppression, key=key, digest=digest_of(part)
        )
        verdicts += await env.write(change, synced=True)
    return mark_duplicates(verdicts, rows)


async def end_import(env: Environment, import_id: str) -> int:
    """Forgets what became of its rows, so that the same list is judged anew; returns how many pieces there were."""
    return await env.write(partial(forget_import, import_id=import_id), synced=True)


async def import_accounts(env: Environment, keys: Sequence[AccountKey], now: float, suppression: Suppression) -> int:
    """Schedules accounts known by their platform ids; returns how many were new."""
    references = [
        Reference(platform=Platform(key.partition(":")[0]), kind=JobKind.PROFILE, entity=key.partition(":")[2])
        for key in keys
    ]
    added = 0
    for begin in range(0, len(references), 1_000):
        part = [(Verdict(line=0, value="", verdict="added"), one) for one in references[begin : begin + 1_000]]
        verdicts = await env.write(partial(_schedule, parsed=part, now=now, suppression=suppression), synced=True)
        added += sum(one.verdict == "added" for one in verdicts)
    return added


def _parsed(line: int, text: str) -> tuple[Verdict, Reference | None]:
    doubt = "taken for a handle; a channel id has 24 characters and ends in A, Q, g or w"
    try:
        reference = parse_reference(text)
        detail = doubt if reference.kind is JobKind.LOOKUP and MISTYPED_ID.fullmatch(text.strip()) else ""
        return Verdict(line=line, value=text[:200], verdict="added", detail=detail), reference
    except Malformed as error:
        kind = "unsupported" if "not ingested" in str(error) else "invalid"
        return Verdict(line=line, value=text[:200], verdict=kind, detail=str(error)), None


def _schedule_once(
    txn: Txn,
    parsed: Sequence[tuple[Verdict, Reference | None]],
    now: float,
    suppression: Suppression,
    key: bytes | None,
    digest: bytes,
) -> list[Verdict]:
    """What was said of these rows before, or what is decided now and then remembered. No name is: only the kinds are."""
    said = recall(txn, key, digest) if key is not None else None
    if said is not None:
        return [_said(verdict, KINDS[kind]) for (verdict, _), kind in zip(parsed, said, strict=True)]
    verdicts = _schedule(txn, parsed, now, suppression)
    if key is not None:
        kinds = bytes(KINDS.index(one.verdict) for one in verdicts)
        remember(txn, key, Remembered(digest=digest, kinds=kinds, written_at=int(now)))
    return verdicts


def _said(verdict: Verdict, kind: str) -> Verdict:
    detail = FORGOTTEN if kind == "forgotten" else verdict.detail
    return msgspec.structs.replace(verdict, verdict=kind, detail=detail)


def _schedule(
    txn: Txn, parsed: Sequence[tuple[Verdict, Reference | None]], now: float, suppression: Suppression
) -> list[Verdict]:
    verdicts = []
    for verdict, reference in parsed:
        if reference is not None and suppression.contains(reference.platform, reference.name):
            verdict = msgspec.structs.replace(verdict, verdict="forgotten", detail=FORGOTTEN)
        elif reference is not None and _known(txn, reference):
            verdict = msgspec.structs.replace(verdict, verdict="known")
        elif reference is not None:
            put_job(txn, _job(reference, int(now)))
        verdicts.append(verdict)
    return verdicts


def _known(txn: Txn, reference: Reference) -> bool:
    key = reference.account_key
    if key is not None and get_account(txn, key) is not None:
        return True
    if reference.kind is JobKind.LOOKUP and find_by_handle(txn, reference.platform, reference.entity) is not None:
        return True
    return find_job(txn, reference.platform, reference.kind, reference.entity) is not None


def _job(reference: Reference, now: int) -> Job:
    """The first fetch of an account."""
    return Job(
        platform=reference.platform,
        kind=reference.kind,
        entity=reference.entity,
        account_key=reference.account_key,
        priority=Priority.DISCOVERY,
        due_at=now,
    )


def mark_duplicates(verdicts: Sequence[Verdict], rows: Sequence[tuple[int, str]]) -> list[Verdict]:
    """A row whose account an earlier row of the same list added is a duplicate, not merely known."""
    first: dict[Reference, int] = {}
    marked = []
    for verdict, (_, text) in zip(verdicts, rows, strict=True):
        reference = parse_reference(text) if verdict.verdict in ("added", "known") else None
        if reference is not None and verdict.verdict == "added":
            first[reference] = verdict.line
        elif reference is not None and reference in first:
            verdict = msgspec.structs.replace(verdict, verdict="duplicate", detail=f"same as line {first[reference]}")
        marked.append(verdict)
    return marked


def _from_url(text: str) -> Reference:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError as error:
        raise Malformed(f"not the URL of an account: {text[:100]!r}: {error}") from error
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    steps = [unquote(step) for step in parts.path.split("/") if step]
    if host in ("tiktok.com", "x.com", "twitter.com"):
        raise Malformed(f"{host} is not ingested by this version")
    if host == "instagram.com" and steps:
        if steps[0] == "_u" and len(steps) > 1:
            return _of_platform(Platform.INSTAGRAM, steps[1])
        if steps[0].lower() in NO_PROFILES:
            raise Malformed(f"the URL of a {steps[0]} page, not of a profile: {text[:100]!r}")
        return _of_platform(Platform.INSTAGRAM, steps[0])
    if host != "youtube.com" or not steps:
        raise Malformed(
            f"not the URL of an account: {text[:100]!r}; expected one such as https://www.youtube.com/@name "
            "or https://www.instagram.com/name"
        )
    if steps[0] == "channel" and len(steps) > 1:
        if not CHANNEL_ID.fullmatch(steps[1]):
            raise Malformed(f"not a channel id: {steps[1][:40]!r}; expected UC and 22 more characters")
        return Reference(platform=Platform.YOUTUBE, kind=JobKind.PROFILE, entity=steps[1])
    if steps[0] == "user" and len(steps) > 1:
        if not HANDLE.fullmatch(steps[1]):
            raise Malformed(f"not the name of a user: {steps[1][:60]!r}")
        return Reference(platform=Platform.YOUTUBE, kind=JobKind.LOOKUP, entity=f"user/{steps[1]}")
    if steps[0] == "c" and len(steps) > 1:
        return _of_platform(Platform.YOUTUBE, steps[1])
    if steps[0].lower() in NO_CHANNELS:
        raise Malformed(f"the URL of a {steps[0]} page, not of a channel: {text[:100]!r}")
    return _of_platform(Platform.YOUTUBE, steps[0])


def _of_platform(platform: Platform, name: str) -> Reference:
    if platform is Platform.INSTAGRAM:
        return _of_instagram(name)
    if platform is not Platform.YOUTUBE:
        raise Malformed(f"{platform.value} is not ingested by this version")
    if CHANNEL_ID.fullmatch(name):
        return Reference(platform=platform, kind=JobKind.PROFILE, entity=name)
    if not HANDLE.fullmatch(name):
        raise Malformed(f"neither an id, a URL nor a handle of an account: {name[:60]!r}")
    return Reference(platform=platform, kind=JobKind.LOOKUP, entity="@" + name.lstrip("@").casefold())


def _of_instagram(name: str) -> Reference:
    """By username only: the API finds nobody by id (platform-apis 3.1)."""
    username = name.strip().lstrip("@").lower()
    if not USERNAME.fullmatch(username):
        raise Malformed(f"not an Instagram username: {name[:60]!r}; expected letters, digits, . and _, at most 30")
    return Reference(platform=Platform.INSTAGRAM, kind=JobKind.LOOKUP, entity=username)


def _json_rows(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield number, line  # judged as it stands: a JSON error is an invalid row, not the end of the file
            continue
        yield number, (_named(value) or _unnamed(value)) if isinstance(value, dict) else _text(value)


def _unnamed(row: Mapping[str, object]) -> str:
    """A text that is no account and says why, for the verdict."""
    why = (
        "a whole creator; `import --creators` takes those in"
        if "accounts" in row
        else f"none of the keys {', '.join(COLUMNS)}"
    )
    return f"{{{', '.join(list(row)[:8])}}}: {why}"


def _named(row: Mapping[str, object]) -> str:
    name = next((text for column in COLUMNS if (text := _text(row.get(column)))), "")
    platform = _text(row.get("platform"))
    return f"{platform}:{name}" if platform and name and "/" not in name else name


def _text(value: object) -> str:
    """Empty for what names nobody: null, true, a list. Half a surrogate pair, which JSON can escape, becomes "?"."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value).encode("utf-8", "replace").decode()


def _separator(lines: Sequence[str]) -> str:
    """Spreadsheets also write semicolons and tabs: the one that the first filled line holds, and commas before it."""
    first = next((line for line in lines if line.strip()), "")
    return next((mark for mark in (",", ";", "\t") if mark in first), ",")


def _csv_rows(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    header: list[str] | None = None
    for number, row in _records(lines, _separator(lines)):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            header = [cell.casefold() for cell in cells]
            if any(cell in COLUMNS for cell in header):
                continue
            header = []
            if len(cells) > 1 and not any(_is_plain(cell) for cell in cells):
                yield number, ", ".join(cells)  # a heading of names that we do not know is no account
                continue
        if header:
            yield number, _named(dict(zip(header, cells, strict=False)))
        else:
            yield number, next((cell for cell in cells if _is_plain(cell)), cells[0])


def _is_plain(cell: str) -> bool:
    """Whether this is an account beyond doubt: an id, a URL, a handle with its mark, a key."""
    known = cell.startswith("@") or CHANNEL_ID.fullmatch(cell) or cell.partition(":")[0] in set(Platform)
    return bool(known) or "youtube.com/" in cell.lower() or "instagram.com/" in cell.lower()


def _records(lines: Sequence[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """First line and cells of each row. A row that is no CSV, such as one with an open quote, ends with its line."""
    at = 0
    while at < len(lines):
        begin = at
        reader = csv.reader((lines[number] for number in range(begin, len(lines))), strict=True, delimiter=separator)
        try:
            for cells in reader:
                first, at = at + 1, begin + reader.line_num
                yield first, cells
        except csv.Error:
            at += 1
            yield at, _cells(lines[at - 1], separator)


def _cells(line: str, separator: str) -> list[str]:
    """Of one line by itself; a line that is too long is one cell."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return [line]
