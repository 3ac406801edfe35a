from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import trio

from actors import Meter, Outbox
from actors.discovery import DiscoveryBudgets
from actors.normaliser import Normaliser
from actors.platforms.youtube import YouTubeAdapter
from daemon.evaluation.ingestion import policies_of
from proto.ids import AccountKey, Platform, account_key
from proto.messages import AccountUpserted, AnyWork, RawStored
from proto.records import ContentItem, DeadLetter, Job, JobKind, Normalised, Priority, RawPage
from stores.catalog import get_account
from stores.content import recent_items
from stores.env import Environment, Txn
from stores.raw import put_raw, seal
from stores.schedule import Schedule
from stores.suppression import Suppression
from stores.work import Work, enqueue
from tests.flow.played import POLICY

NOW = 1_790_000_000
ANNA, BERT, CLEO = (account_key(Platform.YOUTUBE, "UC" + letter * 22) for letter in "abc")


def channel(key: AccountKey, **snippet: Any) -> RawPage:
    item = {"id": key.partition(":")[2], "snippet": {"title": "somebody"} | snippet}
    return page(key, JobKind.PROFILE, {"items": [item]})


def page(key: AccountKey, kind: JobKind, body: object) -> RawPage:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawPage(platform=Platform.YOUTUBE, kind=kind, account_key=key, fetched_at=NOW - 5, request="", body=data)


def arrive(txn: Txn, page: RawPage) -> AnyWork:
    raw_id, body = seal(page)
    put_raw(txn, page, raw_id, body)
    return enqueue(txn, RawStored(raw_id=raw_id, platform=page.platform), page.fetched_at)


async def taken_in(
    env: Environment,
    folder: Path,
    pages: list[RawPage],
    adapter: type[YouTubeAdapter] = YouTubeAdapter,
    forgotten: Sequence[tuple[Platform, str]] = (),
) -> tuple[list[AccountKey], list[DeadLetter]]:
    """The accounts that went on, and what was given up, once one batch of pages was read."""
    suppression = Suppression.open(folder / "suppression")
    suppression.add(forgotten)
    into, inbox = trio.open_memory_channel[AnyWork](len(pages))
    out, following = trio.open_memory_channel[AnyWork](100)
    for one in pages:
        await into.send(await env.write(partial(arrive, page=one)))
    into.close()
    async with httpx2.AsyncClient() as client, out:
        reader = adapter(client, base_url="", feeds_url="", keys=(), now=lambda: float(NOW), timeout_seconds=1)
        await Normaliser(
            inbox,
            Outbox(out, Meter()),
            env=env,
            work=Work(env),
            adapters={Platform.YOUTUBE: reader},
            now=lambda: float(NOW),
            suppression=suppression,
            visits_of=policies_of(POLICY),
            backfill_items={Platform.YOUTUBE: 50},
            discovery=DiscoveryBudgets(),
            discovered_on=(),
            batch=64,
            meter=Meter(),
        ).run()
    suppression.close()
    accounts = [message.account_key async for message in following if isinstance(message, AccountUpserted)]
    waiting = [item for item in await Work(env).after(b"", 100) if b"RawStored" in item[1].message]
    assert waiting == []
    return accounts, await Work(env).dead_letters()


class Careless(YouTubeAdapter):
    """Lets an id of Bert's through that the store takes for no key."""

    def normalise(self, page: RawPage) -> Normalised:
        said = super().normalise(page)
        if page.kind is JobKind.CONTENT:
            item = ContentItem(
                content_id="v" * 4_000, account_key=BERT, published_at=NOW, fetched_at=NOW, detailed=True
            )
            said.items = [item]
        return said


async def test_an_absurd_page_is_given_up_alone(env: Environment, tmp_path: Path) -> None:
    """What fails in the store takes nothing with it of what came in the same batch."""
    pages = [channel(ANNA), page(BERT, JobKind.CONTENT, {"items": []}), channel(BERT), channel(CLEO)]
    _, dead = await taken_in(env, tmp_path, pages, Careless)
    assert [(letter.stage, letter.reason) for letter in dead] == [("normaliser", "malformed")]
    assert "BadValsize" in dead[0].detail
    found = await env.read(lambda txn: [get_account(txn, key) is not None for key in (ANNA, BERT, CLEO)])
    assert found == [True, True, True]
    assert await env.read(lambda txn: recent_items(txn, BERT, 10)) == []


async def test_bytes_that_are_no_text_are_given_up_alone(env: Environment, tmp_path: Path) -> None:
    _, dead = await taken_in(
        env, tmp_path, [channel(ANNA), page(BERT, JobKind.PROFILE, b'{"items": [{"id": "\xff"}]}')]
    )
    assert len(dead) == 1
    assert "utf-8" in dead[0].detail
    assert await env.read(lambda txn: get_account(txn, ANNA) is not None)


async def test_an_absurd_item_leaves_the_rest_of_its_page(env: Environment, tmp_path: Path) -> None:
    def video(video_id: str, duration: str) -> dict[str, Any]:
        return {
            "id": video_id,
            "snippet": {"publishedAt": "2026-08-01T00:00:00Z", "title": "t"},
            "contentDetails": {"duration": duration},
        }

    body = {"items": [video("v1", "PT1M"), video("v2", "PT" + "9" * 5_000 + "S"), video("v" * 1_000, "PT1M")]}
    _, dead = await taken_in(env, tmp_path, [channel(ANNA), page(ANNA, JobKind.CONTENT, body)])
    items = await env.read(lambda txn: recent_items(txn, ANNA, 10))
    assert {item.content_id: item.duration_seconds for item in items} == {"v1": 60, "v2": None}
    assert len(dead) == 1


async def test_who_was_forgotten_by_handle_is_asked_for_no_more_under_an_id(env: Environment, tmp_path: Path) -> None:
    """Nobody knew the id when the handle was forgotten; a link of somebody else's led to it."""
    entity = ANNA.partition(":")[2]
    visit = Job(
        platform=Platform.YOUTUBE,
        kind=JobKind.PROFILE,
        entity=entity,
        account_key=ANNA,
        priority=Priority.DISCOVERY,
        due_at=NOW,
    )
    await Schedule(env).put([visit])
    pages = [channel(ANNA, customUrl="@Anna"), channel(BERT, customUrl="@bert")]
    accounts, dead = await taken_in(env, tmp_path, pages, forgotten=[(Platform.YOUTUBE, "@anna")])
    assert (accounts, dead) == ([BERT], [])
    assert await Schedule(env).get(Platform.YOUTUBE, JobKind.PROFILE, entity) is None
    with env.snapshot() as txn:
        assert [
            key for name in ("accounts", "raw_by_account") for key, _ in txn.scan(name) if entity.encode() in key
        ] == []
