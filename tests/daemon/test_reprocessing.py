from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from daemon import reprocessing
from daemon.cli import app
from daemon.reprocessing import Reader, Report, Reprocessing, open_readers
from proto.errors import StoreBusy, Unavailable
from proto.ids import AccountKey, Platform, account_key
from proto.messages import AccountUpserted
from proto.records import AccountStatus, CreatorAccount, Job, JobKind, Normalised, RawPage
from stores.catalog import find_by_handle, get_account, put_account, put_normalised, write_account
from stores.content import recent_items, remove_items
from stores.env import DATABASES, Environment, Txn
from stores.raw import put_raw, raw_id_of, seal
from stores.schedule import find_job
from stores.suppression import Suppression
from stores.work import Work, decode_message

NOW = 1_790_000_000
DAY = 86_400
ANA, BEN = "UC" + "a" * 21 + "A", "UC" + "b" * 21 + "A"
ANA_KEY, BEN_KEY = account_key(Platform.YOUTUBE, ANA), account_key(Platform.YOUTUBE, BEN)
Change = Callable[[Normalised], Normalised]


def page(kind: JobKind, items: Sequence[dict[str, Any]], *, of: str = ANA, at: int = NOW) -> RawPage:
    return RawPage(
        platform=Platform.YOUTUBE,
        kind=kind,
        account_key=account_key(Platform.YOUTUBE, of),
        fetched_at=at,
        request="GET /channels",
        body=json.dumps({"items": items}).encode(),
    )


def profile(*, of: str = ANA, at: int = NOW, handle: str = "ana", title: str = "Ana", bio: str = "cooks") -> RawPage:
    snippet = {"title": title, "description": bio, "customUrl": f"@{handle}", "publishedAt": "2020-01-01T00:00:00Z"}
    return page(
        JobKind.PROFILE, [{"id": of, "snippet": snippet, "statistics": {"subscriberCount": "10"}}], of=of, at=at
    )


def video(content_id: str = "v1", *, views: str = "10", title: str = "Soup") -> dict[str, Any]:
    snippet = {"title": title, "publishedAt": "2026-09-01T00:00:00Z", "channelId": ""}
    return {"id": content_id, "snippet": snippet, "statistics": {"viewCount": views}}


def stats(views: str, *, at: int) -> RawPage:
    return page(JobKind.STATS, [{"id": "v1", "statistics": {"viewCount": views}}], at=at)


def keep(txn: Txn, one: RawPage) -> None:
    put_raw(txn, one, *seal(one))


def keep_all(txn: Txn, pages: Sequence[RawPage]) -> None:
    for one in pages:
        keep(txn, one)


async def took_in(env: Environment, pages: Sequence[RawPage], changed: Change = lambda said: said) -> None:
    """Stores pages, and what an earlier release read in them."""
    async with open_readers(lambda: NOW) as readers:
        said = [changed(readers[one.platform](one)) for one in pages]

    def change(txn: Txn) -> None:
        for one, meant in zip(pages, said, strict=True):
            keep(txn, one)
            put_normalised(txn, meant, one.fetched_at)

    await env.write(change)


async def reprocess(
    env: Environment,
    *,
    apply: bool = False,
    readers: dict[Platform, Reader] | None = None,
    forbids: Callable[[AccountKey, str], bool] = lambda _key, _handle: False,
    **wanted: Any,
) -> Report:
    async with open_readers(lambda: NOW) as present:
        one = Reprocessing(env, readers=readers or present, forbids=forbids, now=lambda: NOW, apply=apply)
        return await one.run(**wanted)


async def dump(env: Environment) -> dict[str, list[tuple[bytes, bytes]]]:
    return await env.read(lambda txn: {name: list(txn.scan(name)) for name in DATABASES})


async def account(env: Environment, key: AccountKey = ANA_KEY) -> CreatorAccount | None:
    return await env.read(lambda txn: get_account(txn, key))


def without_bio(said: Normalised) -> Normalised:
    assert said.account is not None
    return msgspec.structs.replace(said, account=msgspec.structs.replace(said.account, bio="old"))


async def test_what_this_version_reads_otherwise_is_shown_by_field_and_written_nowhere(env: Environment) -> None:
    await took_in(env, [profile()], without_bio)
    before = await dump(env)
    report = await reprocess(env)
    assert (report.applied, report.pages, report.accounts_changed, report.accounts_added) == (False, 1, 1, 0)
    (example,) = report.account_fields["bio"].examples
    assert (example.entity, example.before, example.after) == (ANA_KEY, '"old"', '"cooks"')
    assert list(report.account_fields) == ["bio"]
    assert await dump(env) == before


async def test_applied_it_is_written_and_travels_on_and_is_no_difference_the_next_time(env: Environment) -> None:
    await took_in(env, [profile(), profile(of=BEN, handle="ben")])
    await env.write(lambda txn: put_account(txn, _with(get_account(txn, ANA_KEY), bio="old")))
    shown = await reprocess(env)
    report = await reprocess(env, apply=True)
    assert report == msgspec.structs.replace(shown, applied=True)
    changed = await account(env)
    assert changed is not None and changed.bio == "cooks"
    items = await Work(env).after(b"", 10)
    assert [decode_message(item.message) for _, item in items] == [AccountUpserted(account_key=ANA_KEY, revision=1)]
    again = await reprocess(env, apply=True)
    assert (again.accounts_changed, again.account_fields, again.pages) == (0, {}, 2)
    assert len(await Work(env).after(b"", 10)) == 1


async def test_what_later_pages_said_stands(env: Environment) -> None:
    """Details say 10 views, counts read later 20: read in order, nothing differs."""
    pages = [page(JobKind.CONTENT, [video(views="10")]), stats("20", at=NOW + DAY)]
    await took_in(env, [profile(title="Young"), profile(at=NOW + 1, title="Older"), *pages])
    report = await reprocess(env, apply=True)
    assert report.pages == 4
    assert (report.accounts_changed, report.items_changed, report.items_added) == (0, 0, 0)
    (item,) = await env.read(lambda txn: recent_items(txn, ANA_KEY, 9))
    assert item.views == 20


async def test_an_item_that_could_not_be_read_before_is_added_and_asked_for_again(env: Environment) -> None:
    """It may have been deleted since: a revisit tells."""
    await took_in(env, [profile(), page(JobKind.CONTENT, [video("v1"), video("v2")])])
    await env.write(lambda txn: remove_items(txn, ANA_KEY, ["v2"]))
    assert (await reprocess(env)).items_added == 1
    assert await _revisit(env, "v2") is None
    report = await reprocess(env, apply=True)
    assert (report.items_added, report.items_changed, report.item_fields) == (1, 0, {})
    job = await _revisit(env, "v2")
    assert job is not None and (job.due_at, job.first, job.account_key) == (NOW, False, ANA_KEY)
    assert await _revisit(env, "v1") is None


async def test_an_account_whose_page_could_not_be_read_before_is_added(env: Environment) -> None:
    await env.write(lambda txn: keep(txn, profile()))
    report = await reprocess(env, apply=True)
    assert (report.accounts_added, report.accounts_changed, report.account_fields) == (1, 0, {})
    assert await Work(env).pending() == 1


async def test_items_are_compared_field_by_field(env: Environment) -> None:
    pages = [profile(), page(JobKind.CONTENT, [video(f"v{number}", title="new") for number in range(5)])]
    await took_in(env, pages, lambda said: _titled(said, "t" * 200))
    report = await reprocess(env, apply=True)
    title = report.item_fields["title_or_caption"]
    assert await _revisit(env, "v0") is None
    assert (report.items_changed, title.changed, len(title.examples)) == (5, 5, reprocessing.EXAMPLES)
    assert title.examples[0].after == '"new"'
    assert len(title.examples[0].before) == reprocessing.VALUE_CHARS and title.examples[0].before.endswith("…")


async def test_what_cannot_be_read_is_listed_with_its_reason_and_stops_nothing(env: Environment) -> None:
    lost, damaged, broken = profile(bio="1"), profile(bio="2"), page(JobKind.PROFILE, [])
    tiktok = msgspec.structs.replace(profile(), platform=Platform.TIKTOK, account_key=AccountKey("tiktok:1"))
    await took_in(env, [profile(of=BEN, handle="ben")], without_bio)

    def change(txn: Txn) -> None:
        keep_all(txn, [lost, broken, tiktok])
        txn.delete("raw", bytes.fromhex(raw_id_of(lost)))
        put_raw(txn, damaged, raw_id_of(damaged), b"no zstd")

    await env.write(change)
    report = await reprocess(env)
    assert (report.pages, report.unreadable, report.accounts_changed) == (5, 4, 1)
    reasons = {one.raw_id: one.reason for one in report.unreadable_pages}
    assert reasons[raw_id_of(lost)] == f"no raw page {raw_id_of(lost)}"
    assert "damaged" in reasons[raw_id_of(damaged)]
    assert "0 items" in reasons[raw_id_of(broken)]
    assert "tiktok" in reasons[raw_id_of(tiktok)]
    assert {one.fetched_at for one in report.unreadable_pages} == {"2026-09-21T14:13:20Z"}


async def test_an_item_that_cannot_be_read_is_listed_by_its_place(env: Environment) -> None:
    await env.write(lambda txn: keep(txn, page(JobKind.CONTENT, [video("v1"), {"id": 7}])))
    report = await reprocess(env)
    assert [(one.place, report.items_added) for one in report.unreadable_pages] == [("item 1", 1)]


async def test_the_list_of_unreadable_pages_is_bounded_and_the_count_is_not(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprocessing, "LISTED", 2)
    pages = [page(JobKind.CONTENT, [{"id": number}], at=NOW + number) for number in range(4)]
    await env.write(partial(keep_all, pages=pages))
    report = await reprocess(env)
    assert (report.unreadable, len(report.unreadable_pages)) == (4, 2)


async def test_an_account_that_is_gone_is_not_brought_back_by_its_old_page(env: Environment) -> None:
    await took_in(env, [profile()], without_bio)
    await env.write(
        lambda txn: write_account(txn, _with(get_account(txn, ANA_KEY), status=AccountStatus.GONE, misses=3))
    )
    await reprocess(env, apply=True)
    kept = await account(env)
    assert kept is not None and (kept.bio, kept.status, kept.misses) == ("cooks", AccountStatus.GONE, 3)


async def test_a_handle_stays_with_whom_it_was_read_of_last(env: Environment) -> None:
    """Accounts come in the order of their keys, which is not that of their pages."""
    await took_in(env, [profile(of=BEN, handle="soup"), profile(of=ANA, handle="soup", at=NOW + 1)])
    await reprocess(env, apply=True)
    assert await env.read(lambda txn: find_by_handle(txn, Platform.YOUTUBE, "soup")) == ANA_KEY


async def test_an_older_page_does_not_undo_a_newer_state(env: Environment) -> None:
    await took_in(env, [profile(title="Old", at=NOW)])
    await env.write(
        lambda txn: put_account(txn, _with(get_account(txn, ANA_KEY), display_name="New", fetched_at=NOW + 9))
    )
    assert (await reprocess(env, apply=True)).accounts_changed == 0
    kept = await account(env)
    assert kept is not None and kept.display_name == "New"


@pytest.mark.parametrize("forbidden", [(ANA_KEY, ""), (ANA_KEY, "ana")])
async def test_pages_of_the_forgotten_are_dropped_unread(env: Environment, forbidden: tuple[AccountKey, str]) -> None:
    await env.write(partial(keep_all, pages=[profile(), profile(of=BEN, handle="ben")]))
    forbids = forbidden.__eq__
    report = await reprocess(env, forbids=lambda *named: forbids(named))
    assert (report.forbidden, report.accounts_added) == (1, 1)
    assert len((await dump(env))["raw"]) == 2
    await reprocess(env, forbids=lambda *named: forbids(named), apply=True)
    stored = await dump(env)
    assert [key.hex() for key, _ in stored["raw"]] == [raw_id_of(profile(of=BEN, handle="ben"))]
    assert await account(env) is None


async def test_platform_and_day_narrow_what_is_read(env: Environment) -> None:
    instagram = msgspec.structs.replace(profile(), platform=Platform.INSTAGRAM, account_key=AccountKey("instagram:1"))
    pages = [profile(at=NOW - 1, bio="before"), profile(at=NOW), instagram]
    await env.write(partial(keep_all, pages=pages))
    told: list[tuple[int, int]] = []
    report = await reprocess(
        env, platform=Platform.YOUTUBE, since=NOW, tell=lambda done, total: told.append((done, total))
    )
    assert (report.pages, report.accounts_added, report.unreadable, told[-1]) == (1, 1, 0, (1, 1))


async def test_many_pages_are_taken_some_at_a_time_and_accounts_stay_whole(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in two, the details of the first half would look like a change that the counts of the second take back."""
    monkeypatch.setattr(reprocessing, "PAGES_AT_ONCE", 2)
    content = page(JobKind.CONTENT, [video()])
    await took_in(
        env, [profile(), content, stats("20", at=NOW + 1), profile(of=BEN, handle="ben"), stats("30", at=NOW + 2)]
    )
    told: list[int] = []
    report = await reprocess(env, tell=lambda done, _total: told.append(done))
    assert told == [4, 5]
    assert (report.pages, report.items_changed) == (5, 0)


async def test_one_body_is_held_at_a_time(env: Environment) -> None:
    bodies = [random.Random(number).randbytes(1 << 20) for number in range(12)]
    for number, body in enumerate(bodies):
        one = msgspec.structs.replace(profile(at=NOW + number), body=body)
        await env.write(partial(keep, one=one))
    tracemalloc.start()
    report = await reprocess(
        env, readers={Platform.YOUTUBE: lambda one: Normalised(account_key=AccountKey(one.account_key))}
    )
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.pages == 12
    assert peak_bytes < 6 << 20


async def test_another_fault_of_a_reader_is_a_bug_and_is_let_out(env: Environment) -> None:
    def read(_page: RawPage) -> Normalised:
        raise KeyError("bug")

    await env.write(lambda txn: keep(txn, profile()))
    with pytest.raises(KeyError):
        await reprocess(env, readers={Platform.YOUTUBE: read})


def run(folder: Path, *args: str) -> Any:
    return CliRunner().invoke(app, ["reprocess", "--data-dir", str(folder), *args])


def prepared(folder: Path) -> None:
    with contextlib.closing(Environment(folder, map_size_bytes=1 << 30)) as env:
        env.write_now(partial(keep_all, pages=[profile(), page(JobKind.CONTENT, [{"id": 7}])]))


def test_the_command_prints_one_document_and_writes_only_when_told(tmp_path: Path) -> None:
    prepared(tmp_path / "data")
    for args, added in (((), 1), (("--apply",), 1), ((), 0)):
        result = run(tmp_path / "data", "--json", *args)
        report = msgspec.json.decode(result.stdout, type=Report)
        assert (result.exit_code, report.applied, report.accounts_added) == (0, bool(args), added)
    assert not (tmp_path / "data.suppression").exists()


def test_the_command_tells_people_what_differs(tmp_path: Path) -> None:
    prepared(tmp_path / "data")
    with contextlib.closing(Environment(tmp_path / "data", map_size_bytes=1 << 30)) as env:
        env.write_now(lambda txn: keep(txn, profile(of=BEN, handle="ben", bio="\x9b31m[b]")))
        old = CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=BEN, bio="old", fetched_at=NOW)
        env.write_now(lambda txn: put_account(txn, old))
    result = run(tmp_path / "data", "--platform", "youtube", "--since", "2026-09-21")
    assert "3 pages read again; nothing written" in result.stdout
    assert "accounts: 1 added, 1 changed" in result.stdout
    assert f'    {BEN_KEY}: "old" → "\ufffd31m[b]"\n' in result.stdout
    assert f"{ANA_KEY}  2026-09-21T14:13:20Z  item 0" in result.stdout
    assert "0 pages read again" in run(tmp_path / "data", "--since", "2026-09-22").stdout


def test_the_command_fails_where_no_page_can_be_read(tmp_path: Path) -> None:
    for sound in (True, False):
        with contextlib.closing(Environment(tmp_path / "data", map_size_bytes=1 << 30)) as env:
            pages = [profile(at=NOW + number, bio=str(number)) for number in range(2)]
            env.write_now(partial(keep_all, pages=pages))
            for one in pages[sound:]:
                env.write_now(lambda txn, one=one: put_raw(txn, one, raw_id_of(one), b"no zstd"))  # type: ignore[misc]
        result = run(tmp_path / "data", "--json")
        report = msgspec.json.decode(result.stdout, type=Report)
        assert (report.pages, report.pages_read, report.unreadable) == (2, int(sound), 2 - sound)
        assert result.exit_code == (0 if sound else 1)
    assert isinstance(result.exception, Unavailable) and "no page could be read" in str(result.exception)


def test_the_command_heeds_who_asked_to_be_forgotten(tmp_path: Path) -> None:
    prepared(tmp_path / "data")
    with contextlib.closing(Suppression.open(tmp_path / "data.suppression")) as suppression:
        suppression.add([(Platform.YOUTUBE, ANA)])
    report = msgspec.json.decode(run(tmp_path / "data", "--json").stdout, type=Report)
    assert (report.forbidden, report.accounts_added) == (2, 0)


def test_the_command_is_refused_while_a_daemon_has_the_store(tmp_path: Path) -> None:
    with contextlib.closing(Environment(tmp_path / "data", map_size_bytes=1 << 30)):
        result = run(tmp_path / "data")
    assert isinstance(result.exception, StoreBusy) and "stop it" in str(result.exception)


def _with(one: CreatorAccount | None, **fields: Any) -> CreatorAccount:
    assert one is not None
    return msgspec.structs.replace(one, **fields)


def _titled(said: Normalised, title: str) -> Normalised:
    items = [msgspec.structs.replace(item, title_or_caption=title) for item in said.items]
    return msgspec.structs.replace(said, items=items)


async def _revisit(env: Environment, content_id: str) -> Job | None:
    return await env.read(lambda txn: find_job(txn, Platform.YOUTUBE, JobKind.REVISIT, content_id))
