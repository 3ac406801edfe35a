"""`pokedexd export --creators`: every creator as a line that `pokedexd import --creators` takes in again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from actors.given import INGESTED, MAX_ACCOUNTS, MAX_ITEMS, MAX_LINE_BYTES
from actors.policy import Policy, derivable, policies
from actors.taking_in import FORGOTTEN
from daemon.config import Config, data_dir, suppression_path
from daemon.derived_data import EXPORT_REMEDY, refuse_unstated
from proto.errors import StoreBusy, Unavailable
from proto.given import GivenAccount, GivenCreator, GivenEnrichment, GivenItem, GivenVector
from proto.ids import AccountKey, CreatorId, Platform
from proto.records import ContentItem, CreatorAccount
from stores.belonging import founder_of
from stores.catalog import CREATORS, AccountBundle, CreatorBundle, creator_bundle
from stores.codec import SCHEMA_VERSION, unpack_id
from stores.env import Txn, look_into, newer_schema, older_schema
from stores.suppression import Suppression

Tell = Callable[[int, int], None]
"""Creators done, and how many there are."""
UNFINISHED = ".part"
UNREAD, TOO_MUCH = "never read", "too much for a line"
TOO_OLD = "read so long ago that the platform's terms do not let it be handed on"
ZSTD = ".zst"


class Exported(msgspec.Struct, kw_only=True):
    creators: int = 0
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    """Creators of whom nothing may be handed on, by why."""
    cut: int = 0
    """Without their oldest content, or some of their accounts: a line has an end."""
    underived: int = 0
    """Without vectors or labels that the store holds, since nothing may be derived of one of their accounts."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What may be handed on at an instant (epoch seconds)."""

    policies: Mapping[Platform, Policy]
    forbids: Callable[[AccountKey, str], bool]
    now: float

    def has_expired(self, datum: CreatorAccount | ContentItem) -> bool:
        platform = (
            datum.platform if isinstance(datum, CreatorAccount) else Platform(datum.account_key.partition(":")[0])
        )
        at = self.policies[platform].expires_at(datum)
        return at is not None and at <= self.now


_encode = msgspec.json.Encoder().encode


def export_creators(config: Config, file: Path, tell: Tell) -> Exported:
    """Blocking: the store as it stands at the begin, with a daemon beside or without; zstd where the name ends in ``.zst``.

    The file appears whole. Raises Unavailable where the store cannot be read, or the file not be written, and ConfigError
    where the store holds what was derived of YouTube's data and the settings do not say whether that may be.
    """
    folder = data_dir(config, os.environ)
    with look_into(folder, shared=True) as found:
        stored = found.schema_version
        if stored is not None and stored != SCHEMA_VERSION:
            raise Unavailable(
                (newer_schema if stored > SCHEMA_VERSION else older_schema)(folder, stored, SCHEMA_VERSION)
            )
        refuse_unstated(found.txn, config, EXPORT_REMEDY)
        rules = Rules(
            policies=policies(config.platforms.youtube.derived_data),
            forbids=_forbids(config, folder),
            now=datetime.fromisoformat(config.daemon.clock_at).timestamp() if config.daemon.clock_at else time.time(),
        )
        return _write(found.txn, rules, file, tell)


def line_of(bundle: CreatorBundle, founder: AccountKey | None, rules: Rules) -> tuple[bytes, bool] | str:
    """The creator's line without its end, and whether something did not fit; or why nothing may be handed on."""
    if any(rules.forbids(part.account.key, part.account.handle) for part in bundle.accounts):
        return FORGOTTEN
    parts = [
        part
        for part in bundle.accounts
        if part.account.platform in INGESTED and part.account.fetched_at and not rules.has_expired(part.account)
    ]
    if not parts:
        return TOO_OLD if any(rules.has_expired(part.account) for part in bundle.accounts) else UNREAD
    parts.sort(key=lambda part: (part.account.key != founder, part.account.key))
    derives = {part.account.key for part in derivable(parts, rules.policies)}
    given = GivenCreator(
        accounts=[_account(part, rules, derives=part.account.key in derives) for part in parts[:MAX_ACCOUNTS]]
    )
    if derives and bundle.creator.primary_niche is not None:
        _label(given, bundle)
    cut = len(parts) > MAX_ACCOUNTS
    while len(line := _encode(given)) > MAX_LINE_BYTES:
        cut = True
        if not any(account.items for account in given.accounts):
            return TOO_MUCH
        for account in given.accounts:
            account.items = account.items[: len(account.items) // 2]
    return line, cut or any(len(part.items) > MAX_ITEMS for part in parts)


def loses_derived(bundle: CreatorBundle, rules: Rules) -> bool:
    """Whether vectors or labels of a creator are held and may not be handed on."""
    permitted = {part.account.key for part in derivable(bundle.accounts, rules.policies)}
    if any(part.vectors for part in bundle.accounts if part.account.key not in permitted):
        return True
    return not permitted and bundle.creator.primary_niche is not None


def _write(txn: Txn, rules: Rules, file: Path, tell: Tell) -> Exported:
    unfinished = file.with_name(file.name + UNFINISHED)
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with ExitStack() as stack:
            stack.callback(unfinished.unlink, missing_ok=True)
            bare = stack.enter_context(os.fdopen(handle, "wb"))
            if file.suffix == ZSTD:
                with zstandard.ZstdCompressor(write_checksum=True).stream_writer(bare, closefd=False) as packed:
                    exported = _write_lines(txn, rules, packed, tell)
            else:
                exported = _write_lines(txn, rules, bare, tell)
            bare.flush()
            os.fsync(bare.fileno())
            unfinished.replace(file)
    except OSError as error:
        raise Unavailable(f"{file}: cannot be written: {error.strerror}; choose another place") from error
    return exported


def _write_lines(txn: Txn, rules: Rules, target: BinaryIO, tell: Tell) -> Exported:
    exported, total = Exported(), txn.counter(CREATORS)
    for done, (key, _) in enumerate(txn.scan("creators"), 1):
        creator_id = CreatorId(unpack_id(key))
        bundle, founder = creator_bundle(txn, creator_id, MAX_ITEMS + 1), founder_of(txn, creator_id)
        line = line_of(bundle, founder.account_key if founder else None, rules) if bundle else UNREAD
        if isinstance(line, str):
            exported.left_out[line] += 1
        else:
            target.write(line[0] + b"\n")
            exported.creators += 1
            exported.cut += line[1]
            exported.underived += bundle is not None and loses_derived(bundle, rules)
        tell(done, total)
    return exported


def _account(part: AccountBundle, rules: Rules, *, derives: bool) -> GivenAccount:
    """Without what only this store knows of it."""
    account = msgspec.convert(part.account, GivenAccount, from_attributes=True)
    account.creator_id = account.next_due_at = account.touched_at = None
    account.misses = account.feed_failures = 0
    account.importance, account.importance_stated = 1.0, False
    items = [item for item in part.items[:MAX_ITEMS] if not rules.has_expired(item)]
    account.items = msgspec.convert(items, list[GivenItem], from_attributes=True)
    for item in account.items:
        item.account_key = AccountKey("")
    if derives:
        account.vectors = msgspec.convert(list(part.vectors.values()), list[GivenVector], from_attributes=True)
    return account


def _label(given: GivenCreator, bundle: CreatorBundle) -> None:
    creator = bundle.creator
    given.primary_niche, given.secondary_niches = creator.primary_niche, creator.secondary_niches
    given.content_style, given.llm_summary = creator.content_style, creator.llm_summary
    if creator.enrichment is not None:
        given.enrichment = msgspec.convert(creator.enrichment, GivenEnrichment, from_attributes=True)


def _forbids(config: Config, folder: Path) -> Callable[[AccountKey, str], bool]:
    """A daemon that has the journal has erased whom it names, and goes on doing so. What was read of it is enough: one
    that starts meanwhile needs it for itself."""
    path = suppression_path(config, os.environ, folder)
    try:
        journal = Suppression.open(path) if path.exists() else None
    except StoreBusy:
        journal = None
    if journal is None:
        return lambda *_: False
    journal.close()
    return journal.forbids
