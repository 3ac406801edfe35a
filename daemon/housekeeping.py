"""What goes on beside the flow: snapshots, compaction, the audit trail, re-embedding under a new model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import msgspec
import structlog
import trio

from actors.identity_resolution import Rules
from actors.peers import Peers
from actors.policy import Policy
from daemon.config import InstagramToken
from daemon.derived_data import EMBEDDED_WITH, is_lifted, mark_of
from daemon.indexing import COMPACT_EVERY, IndexKeeper
from daemon.noting import write_down
from daemon.pipeline import Stores
from daemon.supervisor import Services
from proto.errors import IndexBroken, PokedexError, Unavailable
from proto.ids import AccountKey, CreatorId, Platform
from proto.messages import AccountEmbedded, AccountUpserted, CreatorResolved
from proto.records import AuditEvent, Event
from stores.catalog import Catalog, creators_page, vital_signs_of
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.schedule import Schedule
from stores.work import Work, enqueue

log = structlog.get_logger("housekeeping")

RESOLVED_WITH = "resolved_with"
"""Meta entry: digest of the rules of identity that every account was weighed by, or is on its way to be."""

REEMBED_PAGE = 1_000
AUDIT_BATCH = 500
"""Searches that are noted together."""
DAY_SECONDS = 86_400
SAVE_AGAIN_SECONDS = 30.0
"""After graphs could not be saved."""
IDLE_SECONDS = 0.5
"""How often it is looked whether the daemon is idle."""
SURVEY_PAGE = 500
"""Creators looked at in one snapshot: a few milliseconds."""
SURVEY_BEAT_SECONDS = 0.25
"""Between pages: a million creators are surveyed within nine minutes."""
SURVEY_RESTS = 10
"""How many times as long as a survey it is rested after it, and half a minute at least."""
RENEW_SECONDS = 7 * DAY_SECONDS
"""Vital signs so old are computed anew: time alone changes them, while nothing new is read."""
RENEW_WHILE_PENDING = 1_000
"""Not while more work than this waits."""


async def reembed_all(
    stores: Stores, model_id: str, policies: Mapping[Platform, Policy], now: Callable[[], float]
) -> None:
    """Puts every account back to the Embedder when the model, or what may be derived, is other than before.

    The work is durable; the Sweeper sends it. Without a model (``model_id`` empty) it is noted that accounts go
    unembedded, and vectors are only taken away; labels and figures come once they may be.
    """
    denied = sorted(platform.value for platform, policy in policies.items() if not policy.derives)
    mark = mark_of(model_id, denied)
    before = await stores.catalog.meta(EMBEDDED_WITH)
    if before == mark:
        return
    after: AccountKey | None = None
    wanted = bool(model_id) or bool(denied) or is_lifted(before, denied)
    while wanted and (keys := await stores.catalog.account_keys(after, REEMBED_PAGE)):
        after = keys[-1]
        await stores.env.write(partial(_enqueue_all, keys=keys, now=now()))
    if after is not None:
        log.info("every account is computed anew", model=model_id, nothing_derived_of=", ".join(denied))
    await stores.catalog.put_meta(EMBEDDED_WITH, mark)


async def reweigh_all(env: Environment, catalog: Catalog, rules: Rules, now: Callable[[], float]) -> None:
    """Puts every account back to the IdentityResolver when the rules of identity are others than before."""
    mark = hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=16).hexdigest()
    if await catalog.meta(RESOLVED_WITH) == mark:
        return
    after: AccountKey | None = None
    while keys := await catalog.account_keys(after, REEMBED_PAGE):
        after = keys[-1]
        await env.write(partial(_enqueue_all, keys=keys, now=now(), stage=AccountEmbedded))
    if after is not None:
        log.info("who is one person is weighed anew: other weights or thresholds")
    await catalog.put_meta(RESOLVED_WITH, mark)


def _enqueue_all(
    txn: Txn,
    keys: Sequence[AccountKey],
    now: float,
    stage: type[AccountUpserted | AccountEmbedded] = AccountUpserted,
) -> None:
    for key in keys:
        enqueue(txn, stage(account_key=key), now)


async def save_now_and_then(
    keeper: IndexKeeper,
    work: Work,
    schedule: Schedule,
    journal: Journal,
    snapshot_seconds: float,
    now: Callable[[], float],
    stop: trio.Event,
) -> None:
    """Saves graphs at an interval, builds worn ones anew, and rewrites the text index when there is nothing else to
    do."""
    saved_at = trio.current_time()
    compact_after = 0.0
    while not stop.is_set():
        with trio.move_on_after(IDLE_SECONDS):
            await stop.wait()
        if trio.current_time() - saved_at >= snapshot_seconds:
            saved = await save_or_tell(keeper, journal, now)
            await keeper.let_go_of_snapshots()
            await keeper.mend_memory(stop.is_set)
            saved_at = trio.current_time() - (0 if saved else max(snapshot_seconds - SAVE_AGAIN_SECONDS, 0))
            if saved and await keeper.renew_graphs(stop.is_set):
                saved_at = trio.current_time() - snapshot_seconds  # at once: the next would take its place in memory
        if not await _idle(work, schedule):
            keeper.note_change()
        elif trio.current_time() >= compact_after:
            started = trio.current_time()
            try:
                compacted = await keeper.compact_text()
            except (IndexBroken, Unavailable, OSError) as error:  # the index that answers stays
                log.warning("the keyword index is not compacted", reason=str(error))
                compacted = True
                compact_after = trio.current_time() + SAVE_AGAIN_SECONDS
            if compacted:
                pause = COMPACT_EVERY * (trio.current_time() - started)
                compact_after = max(compact_after, trio.current_time() + pause)


async def save_or_tell(keeper: IndexKeeper, journal: Journal, now: Callable[[], float]) -> bool:
    """Whether every graph that changed was saved. One that was not is an event; its snapshot before stands."""
    try:
        await keeper.save()
    except (Unavailable, OSError) as error:
        event = Event(at=int(now()), kind="index_save_failed", severity="warning", subject="vectors", detail=str(error))
        with suppress(PokedexError):
            await journal.event(event, synced=True)
        return False
    return True


async def survey_creators(
    env: Environment, work: Work, publish: Callable[[Peers], None], now: Callable[[], float], stop: trio.Event
) -> None:
    """Again and again takes stock of all creators' engagement, so that a request need only look it up."""
    while not stop.is_set():
        began = trio.current_time()
        peers = await survey(env, work, now, stop)
        if peers is not None:
            publish(peers)
        with trio.move_on_after(max(30.0, SURVEY_RESTS * (trio.current_time() - began))):
            await stop.wait()


async def survey(env: Environment, work: Work, now: Callable[[], float], stop: trio.Event) -> Peers | None:
    """One walk; creators whose vital signs have aged, or who lack what an earlier version did not compute, are put back
    to the Aggregator. None when it was stopped on the way."""
    peers, after = Peers(), None
    while not stop.is_set():
        page = await env.read(partial(_surveyed, peers=peers, after=after, renew_before=now() - RENEW_SECONDS))
        if page.aged and await work.pending() < RENEW_WHILE_PENDING:
            await env.write(partial(_resolve_all, ids=page.aged, now=now()))
        if page.last is None:
            return peers
        after = page.last
        with trio.move_on_after(SURVEY_BEAT_SECONDS):
            await stop.wait()
    return None


class SurveyPage(msgspec.Struct, kw_only=True, frozen=True):
    """``last``: where to go on; None at the end."""

    aged: list[CreatorId]
    last: CreatorId | None


def _surveyed(txn: Txn, peers: Peers, after: CreatorId | None, renew_before: float) -> SurveyPage:
    creators, last = creators_page(txn, after, SURVEY_PAGE)
    aged: list[CreatorId] = []
    for creator in creators:
        signs = txn.if_whole(partial(vital_signs_of, creator))
        if signs is not None:
            peers.add(creator, signs)
        aged_or_lacking = signs is None or signs.at < renew_before or creator.oldest_fetched_at is None
        if creator.name and aged_or_lacking:  # nameless: not aggregated, or holds nothing
            aged.append(creator.creator_id)
    return SurveyPage(aged=aged, last=last)


def _resolve_all(txn: Txn, ids: Sequence[CreatorId], now: float) -> None:
    for creator_id in ids:
        enqueue(txn, CreatorResolved(creator_id=creator_id), now)


async def _idle(work: Work, schedule: Schedule) -> bool:
    return await work.pending() == 0 and await schedule.pending() == 0


async def warn_of_expiry(
    tokens: Sequence[InstagramToken], warning_days: int, journal: Journal, now: Callable[[], float], stop: trio.Event
) -> None:
    """An event a day for each token that ends within ``warning_days``, or has ended; who can renew it is a person."""
    while not stop.is_set():
        for token in tokens:
            text = expiry_words(token, warning_days, now())
            if text:
                event = Event(
                    at=int(now()),
                    kind="token_expires",
                    severity="warning",
                    subject=f"instagram/{token.name}",
                    detail=text,
                )
                await journal.event(event)
        with trio.move_on_after(DAY_SECONDS):
            await stop.wait()


def expiry_words(token: InstagramToken, warning_days: int, now: float) -> str:
    """Empty while there is time enough, or where the token states no end."""
    if not token.expires_at:
        return ""
    days = (datetime.fromisoformat(token.expires_at).timestamp() - now) / DAY_SECONDS
    if days > warning_days:
        return ""
    when = f"ends in {days:.1f} days" if days > 0 else f"ended {-days:.1f} days ago"
    return f"the token {when}; renew it and restart"


async def write_audit(
    entries: trio.MemoryReceiveChannel[AuditEvent], journal: Journal, services: Services, stop: trio.Event
) -> None:
    """Who searched, in the audit trail; ends once the senders have closed."""
    await write_down("audit", entries, journal.audit, at_once=AUDIT_BATCH, services=services, stop=stop)
