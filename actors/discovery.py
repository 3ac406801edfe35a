"""Accounts that known accounts name, scheduled within a budget of so many a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from actors.cadence import not_found_due
from actors.extraction import mentions
from proto.ids import AccountKey, Platform, account_key
from proto.records import CreatorAccount, DeadLetter, Job, JobKind, Normalised, Priority
from stores.catalog import find_by_handle, get_account
from stores.env import Txn
from stores.schedule import find_job, jobs_of_kind, put_job, settle_job
from stores.suppression import Suppression
from stores.work import find_dead_letter, put_dead_letter

DAY_SECONDS = 86_400
BIOS, CAPTIONS, CHARTS, SEARCHES = "bios", "captions", "charts", "searches"
"""Where accounts are named; each has a budget of its own."""
PAGE_ENTRIES = 50
MOST_ENTRIES = {JobKind.CHART: 200, JobKind.SEARCH: 500}
"""What a platform shows of a chart, and of a search (platform-apis 1.8): no walk goes on for ever."""
SEARCH_AGAIN_SECONDS = 28 * DAY_SECONDS
"""A search whose pages are all read finds little that is new sooner."""
NOT_FOUND = "not_found"
"""Reason of the dead letters about names that the platform does not know."""


class DiscoveryBudgets(msgspec.Struct, frozen=True, kw_only=True):
    """New accounts a day, by where they were named; 0: none are taken from there."""

    bios: int = 0
    captions: int = 0
    charts: int = 0
    searches: int = 0


def discover(
    txn: Txn,
    said: Normalised,
    *,
    budgets: DiscoveryBudgets,
    platforms: Iterable[Platform],
    suppression: Suppression,
    now: int,
) -> int:
    """Schedules a look at accounts that this page names and that are on no list of ours yet; returns how many."""
    wanted = set(platforms)
    count = 0
    for source, budget, named in (
        (BIOS, budgets.bios, _in_bio(said.account)),
        (CAPTIONS, budgets.captions, _in_captions(said)),
    ):
        left = budget - _spent(txn, source, now) if budget else 0
        taken = 0
        for platform, name in named:
            if taken >= left:
                break
            new = platform in wanted and _is_new(txn, platform, name, now)
            if new and not suppression.contains(platform, bare(name)):
                put_job(txn, _visit(platform, name, now))
                taken += 1
        if taken:
            _spend(txn, source, taken, now)
        count += taken
    return count


def note_missed(txn: Txn, job: Job, now: int) -> None:
    """The platform knows nobody by that name: the operator sees it, and discovery remembers it."""
    letter = DeadLetter(
        letter_id="",
        stage="fetcher",
        entity=_asked(job.kind, job.entity),
        reason=NOT_FOUND,
        detail=f"{job.platform.value} knows no account {job.entity}",
        payload=msgspec.msgpack.encode(job),
        first_seen_at=now,
        last_seen_at=now,
    )
    put_dead_letter(txn, letter)


def take_in(
    txn: Txn,
    job: Job,
    found: Sequence[AccountKey],
    *,
    budgets: DiscoveryBudgets,
    suppression: Suppression,
    now: int,
) -> int:
    """Schedules what a chart or search found and nobody knows yet, within its budget of the day; returns how many."""
    source, left = _source(job), left_today(txn, job, budgets, now)
    names = [key.partition(":")[2] for key in found if not suppression.covers(key)]
    new = [name for name in names if _is_new(txn, job.platform, name, now)][:left]
    for name in new:
        put_job(txn, _visit(job.platform, name, now))
    if new:
        _spend(txn, source, len(new), now)
    return len(new)


def left_today(txn: Txn, job: Job, budgets: DiscoveryBudgets, now: int) -> int:
    """How many more accounts charts, or searches, may bring today."""
    budget = budgets.charts if job.kind is JobKind.CHART else budgets.searches
    return max(budget - _spent(txn, _source(job), now), 0)


def renewed_at(now: float) -> int:
    """When the day's budgets come back."""
    return (int(now) // DAY_SECONDS + 1) * DAY_SECONDS


def _source(job: Job) -> str:
    return CHARTS if job.kind is JobKind.CHART else SEARCHES


def look_again(job: Job, next_page_token: str, now: int, *, left: int) -> Job:
    """A chart is read to its end, and anew every day; a search a page a day to its end, and anew after weeks.

    ``left``: of the day's budget. Without any the rest of a chart, which is another one tomorrow, is not worth its
    calls; a search reads the same page again for what it could not take.
    """
    read = msgspec.structs.replace(job, due_at=now + DAY_SECONDS, attempts=0, first=False, last_error="")
    if job.kind is JobKind.SEARCH and not left:
        return read
    listed = job.listed_before + PAGE_ENTRIES
    if not next_page_token or not left or listed >= MOST_ENTRIES[job.kind]:
        read.page_token, read.listed_before = "", 0
        if job.kind is JobKind.SEARCH:
            read.due_at = now + SEARCH_AGAIN_SECONDS
        return read
    read.page_token, read.listed_before = next_page_token, listed
    if job.kind is JobKind.CHART:
        read.due_at = now
    return read


def plan_discovery(txn: Txn, regions: Sequence[str], queries: Sequence[str], now: int) -> None:
    """Has these charts and searches on YouTube read and no others; what is planned already keeps its time."""
    for kind, wanted in ((JobKind.CHART, regions), (JobKind.SEARCH, queries)):
        planned = {job.entity: job for job in jobs_of_kind(txn, Platform.YOUTUBE, kind)}
        for entity in planned.keys() - set(wanted):
            settle_job(txn, planned[entity], None)
        for entity in wanted:
            if entity not in planned:
                put_job(txn, _job(Platform.YOUTUBE, kind, entity, now, first=False))


def _in_bio(account: CreatorAccount | None) -> list[tuple[Platform, str]]:
    found = [one.partition(":") for one in account.named_accounts] if account else []
    return [(Platform(platform), name) for platform, _, name in found if platform in set(Platform)]


def _in_captions(said: Normalised) -> list[tuple[Platform, str]]:
    """Who is mentioned in a caption is on the same platform; on YouTube only handles of the new form are."""
    platform = Platform(said.account_key.partition(":")[0])
    if platform is not Platform.INSTAGRAM:
        return []
    names = (name for item in said.items for name in mentions(item.title_or_caption))
    return [(platform, name) for name in dict.fromkeys(names)]


def _is_new(txn: Txn, platform: Platform, name: str, now: int) -> bool:
    """Neither known nor asked for, nor missed lately: most of whom bios and captions name cannot be found, and are named
    again with every visit."""
    if is_channel_id(name):
        kind, entity = JobKind.PROFILE, name
        known = get_account(txn, account_key(platform, name)) is not None
    else:
        kind, entity = JobKind.LOOKUP, _entity(platform, name)
        known = find_by_handle(txn, platform, bare(name)) is not None
    return not (known or find_job(txn, platform, kind, entity) is not None or _missed_lately(txn, kind, entity, now))


def _missed_lately(txn: Txn, kind: JobKind, entity: str, now: int) -> bool:
    letter = find_dead_letter(txn, "fetcher", _asked(kind, entity), NOT_FOUND)
    return letter is not None and now < not_found_due(letter.count, letter.last_seen_at)


def _asked(kind: JobKind, entity: str) -> str:
    """As what was asked stands in a dead letter."""
    return f"{kind.value}:{entity}"


def is_channel_id(name: str) -> bool:
    return len(name) == 24 and name.startswith("UC")


def bare(name: str) -> str:
    """A handle, or legacy name, without what marks it as one."""
    return name.removeprefix("user/").removeprefix("c/").removeprefix("@")


def _entity(platform: Platform, name: str) -> str:
    """As imports write it: YouTube's handles with ``@``, which its custom names of old became."""
    if platform is not Platform.YOUTUBE or name.startswith("user/"):
        return name
    return "@" + name.removeprefix("c/").removeprefix("@")


def _visit(platform: Platform, name: str, now: int) -> Job:
    if platform is Platform.YOUTUBE and is_channel_id(name):
        return _job(platform, JobKind.PROFILE, name, now, key=account_key(platform, name))
    return _job(platform, JobKind.LOOKUP, _entity(platform, name), now)


def _job(
    platform: Platform, kind: JobKind, entity: str, now: int, *, key: AccountKey | None = None, first: bool = True
) -> Job:
    return Job(
        platform=platform,
        kind=kind,
        entity=entity,
        account_key=key,
        priority=Priority.DISCOVERY,
        due_at=now,
        first=first,
    )


def _spent(txn: Txn, source: str, now: int) -> int:
    stored = txn.get("meta", _key(source))
    day, count = msgspec.msgpack.decode(stored, type=tuple[int, int]) if stored else (0, 0)
    return count if day == now // DAY_SECONDS else 0


def _spend(txn: Txn, source: str, taken: int, now: int) -> None:
    day, count = now // DAY_SECONDS, _spent(txn, source, now) + taken
    txn.put("meta", _key(source), msgspec.msgpack.encode((day, count)))


def _key(source: str) -> bytes:
    return f"discovered:{source}".encode()
