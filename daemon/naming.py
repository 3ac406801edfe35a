"""Which account a person means who writes a key, an id, a handle or a URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from daemon.importing import parse_reference
from proto.errors import Malformed
from proto.ids import AccountKey, CreatorId, Platform, account_key
from proto.records import CreatorAccount, JobKind
from stores.belonging import members_of, present_id
from stores.catalog import find_by_handle, get_account
from stores.env import Txn

MAX_KEY_CHARS = 100
"""Longer than any account key; the store takes keys of 511 bytes at most."""
MAX_ID_DIGITS = 19


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """An account of one platform by its id or by its handle; the other is empty."""

    platform: Platform
    user_id: str = ""
    handle: str = ""


def find_account(txn: Txn, text: str) -> CreatorAccount | None:
    """Raises Malformed for what names no account, among it a creator's id, and for a handle that several have."""
    key = find_key(txn, text, lambda key: get_account(txn, key) is not None)
    return get_account(txn, key) if key is not None else None


def find_key(txn: Txn, text: str, held: Callable[[AccountKey], bool]) -> AccountKey | None:
    """The one of the accounts so named that is ``held``. Raises as `find_account`."""
    text = text.strip()
    if text.partition(":")[0] in set(Platform) and len(text) <= MAX_KEY_CHARS and held(AccountKey(text)):
        return AccountKey(text)
    found = [key for name in names_in(text) if (key := _key_of(txn, name)) is not None and held(key)]
    if len(found) > 1:
        raise Malformed(f"{text}: several accounts have this handle: {' and '.join(found)}; say which")
    if not found:
        _refuse_creator_id(txn, text)
    return found[0] if found else None


def find_creator(txn: Txn, text: str) -> CreatorId | None:
    """By a creator's id, which leads through merges, or by an account of it. Raises Malformed for what names nobody, and
    for a handle that accounts of several creators have."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS:
        return present_id(txn, CreatorId(int(text)))
    if text.partition(":")[0] in set(Platform) and len(text) <= MAX_KEY_CHARS:
        account = get_account(txn, AccountKey(text))
        if account is not None:
            return account.creator_id
    keys = [key for name in names_in(text) if (key := _key_of(txn, name)) is not None]
    accounts = [account for key in keys if (account := get_account(txn, key)) is not None]
    creators = dict.fromkeys(account.creator_id for account in accounts if account.creator_id is not None)
    if len(creators) > 1:
        held = " and ".join(account.key for account in accounts)
        raise Malformed(f"{text}: accounts of several creators have this handle: {held}; say which")
    return next(iter(creators), None)


def names_in(text: str) -> Sequence[Name]:
    """One, or for a handle without its platform one for each platform. Raises Malformed for what is no reference."""
    text = text.strip()
    if not is_bare(text):
        return [_name_in(text)]
    found: list[Name] = []
    for platform in (Platform.YOUTUBE, Platform.INSTAGRAM):
        try:
            found.append(_name_in(f"{platform.value}:{text}"))
        except Malformed:  # no name that this platform could give
            continue
    return found or [_name_in(text)]


def is_bare(text: str) -> bool:
    """A handle that does not say of which platform."""
    if ":" in text or "/" in text:
        return False
    return parse_reference(text).kind is JobKind.LOOKUP


def _name_in(text: str) -> Name:
    prefix, _, rest = text.partition(":")
    if prefix == Platform.INSTAGRAM.value and rest.isdigit():
        # An id: usernames may be digits too, but a key is what was asked for.
        return Name(platform=Platform.INSTAGRAM, user_id=rest)
    reference = parse_reference(text)
    if reference.kind is JobKind.PROFILE:
        return Name(platform=reference.platform, user_id=reference.entity)
    return Name(platform=reference.platform, handle=reference.name.lstrip("@"))


def _key_of(txn: Txn, name: Name) -> AccountKey | None:
    return account_key(name.platform, name.user_id) if name.user_id else find_by_handle(txn, name.platform, name.handle)


def _refuse_creator_id(txn: Txn, text: str) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS):
        return
    creator_id = present_id(txn, CreatorId(int(text)))
    if creator_id is not None:
        accounts = " and ".join(members_of(txn, creator_id))
        raise Malformed(f"{text} is the id of a creator; expected an account, and it has {accounts}")
