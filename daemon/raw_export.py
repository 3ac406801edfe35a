"""What the platforms said of one account, as received: a JSON line for every stored page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import zstandard

from daemon.naming import MAX_KEY_CHARS, find_key
from daemon.web.views import instant
from proto.errors import Malformed, NotFound
from proto.ids import AccountKey, RawId
from proto.records import RawPage
from stores.catalog import get_account
from stores.env import Txn
from stores.raw import get_raw, raw_ids_of

T = TypeVar("T")

_NAMES = r"api_?key|key|(?:access|refresh|id)_token|token|client_secret|appsecret_proof|hub\.(?:secret|verify_token)|signature|sig|password"
SECRET = re.compile(rf"(\b(?:{_NAMES})=|\"(?:{_NAMES})\"\s*:\s*\"|\bBearer\s+|\bAIza)[^&\s\"']+", re.IGNORECASE)
MASK = "********"


class ExportedPage(msgspec.Struct, kw_only=True):
    """One line."""

    platform: str
    kind: str
    fetched_at: str
    """RFC 3339, when these bytes were last received."""
    request: str
    """Secrets masked."""
    body: str
    """Bytes that are no UTF-8 are shown as U+FFFD."""
    sha256: str
    """Hex, of the body's bytes as received."""


class Reads(Protocol):
    """A store, or a look at one that a daemon has."""

    async def read(self, look: Callable[[Txn], T]) -> T: ...


async def find_account(env: Reads, text: str) -> AccountKey:
    """By key, id, URL or handle. Raises NotFound, or Malformed for what names no account of any platform."""
    return await env.read(lambda txn: _find(txn, text))


async def export_raw(env: Reads, account: AccountKey, write: Callable[[bytes], object]) -> int:
    """Hands on a line for each page of the account, oldest first, and returns how many there were.

    One page is in memory at a time. One that a daemon drops meanwhile is left out. Raises Malformed for a page that the
    store holds damaged.
    """
    written = 0
    for raw_id in await env.read(lambda txn: raw_ids_of(txn, account)):
        try:
            page = await read_page(env, raw_id)
        except NotFound:
            continue
        write(msgspec.json.encode(exported(page)) + b"\n")
        written += 1
    return written


async def read_page(env: Reads, raw_id: RawId) -> RawPage:
    """Raises NotFound, or Malformed for one that is stored damaged."""
    try:
        return await env.read(lambda txn: get_raw(txn, raw_id))
    except zstandard.ZstdError as error:
        raise Malformed(f"raw page {raw_id} is damaged: {error}") from error


def exported(page: RawPage) -> ExportedPage:
    return ExportedPage(
        platform=page.platform.value,
        kind=page.kind.value,
        fetched_at=instant(page.fetched_at) or "",
        request=mask_secrets(page.request),
        body=page.body.decode("utf-8", "replace"),
        sha256=hashlib.sha256(page.body).hexdigest(),
    )


def mask_secrets(text: str) -> str:
    """Requests are stored without secrets; this is for those that a platform's reply or an older release let in."""
    return SECRET.sub(lambda found: found[1] + MASK, text)


def _find(txn: Txn, text: str) -> AccountKey:
    key = find_key(txn, text, partial(_held, txn))
    if key is None:
        raise NotFound(f"no account {text[:MAX_KEY_CHARS]!r} is held here; name it by key, id, URL or handle")
    return key


def _held(txn: Txn, key: AccountKey) -> bool:
    """An account of which no page could be read has pages, but is in no catalogue."""
    pages = txn.scan("raw_by_account", key.encode() + b"\0")
    return get_account(txn, key) is not None or next(pages, None) is not None
