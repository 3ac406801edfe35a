"""How the daemon does: freshness, pipeline, budgets, what failed and what waits for a person; it moves by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import trio
from quart import Response, abort, redirect, request
from quart_trio import QuartTrio

from daemon.stock import Stock
from daemon.web.authorising import needs
from daemon.web.charts import spark
from daemon.web.forms import posted
from daemon.web.rendering import Pages
from daemon.web.services import Operations, PublicServices
from daemon.web.viewer import ADMIN, Viewer, viewer_with
from daemon.web.views import instant
from proto.api import AdminStatus, ReviewView, StageStatus
from proto.ids import CreatorId
from proto.records import DEFAULT_TENANT, Activity, CreatorAccount

BEAT_SECONDS = 1.0
STREAM_SECONDS = 60.0
"""After which a browser asks again, and is asked for its key again."""
RETRY = b"retry: 250\n\n"
"""How many milliseconds later."""
MOST_STREAMS = 20
SAMPLES = 60
LETTERS, REVIEWS, AUDITED = 20, 5, 30
FLOW = ("normaliser", "embedder", "identity", "aggregator", "enricher", "indexer")
SHARED, BESIDE = "All platforms", "Beside"
PROMISED = {Activity.ACTIVE: "daily", Activity.SEMI_ACTIVE: "every 72 h", Activity.LONG_TAIL: "weekly"}


class Gauge(msgspec.Struct, kw_only=True, frozen=True):
    """Accounts of a platform and a bucket, and those that were looked at in time."""

    platform: str
    bucket: str
    promised: str
    fresh: int
    accounts: int


class StageView(msgspec.Struct, kw_only=True, frozen=True):
    """``per_second``: None before the second look; ``line``: of its throughput."""

    of: StageStatus
    per_second: float | None = None
    line: str = ""


class Throughput:
    """What stages handled in a second, from look to look."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, deque[float]] = {}

    def see(self, stages: list[StageStatus], at: float) -> list[StageView]:
        return [self._see(one, at) for one in stages]

    def _see(self, stage: StageStatus, at: float) -> StageView:
        before = self._seen.get(stage.name)
        self._seen[stage.name] = (at, stage.handled)
        if before is None or at <= before[0]:
            return StageView(of=stage)
        rates = self._rates.setdefault(stage.name, deque(maxlen=SAMPLES))
        rates.append(max(0.0, (stage.handled - before[1]) / (at - before[0])))
        return StageView(of=stage, per_second=rates[-1], line=spark(list(rates), 2, 18))


class Side(msgspec.Struct, kw_only=True, frozen=True):
    """An account of a pair, as far as it is known."""

    key: str
    account: CreatorAccount | None
    creator_id: str | None
    url: str


def register(app: QuartTrio, services: PublicServices, pages: Pages) -> None:
    streams = trio.CapacityLimiter(MOST_STREAMS)

    @app.get("/operations")
    @needs(ADMIN)
    async def operations_page() -> Response:
        operations, who = allowed(services)
        status = await operations.status()
        letters = await operations.letters.page(cursor=request.args.get("letters", ""), limit=LETTERS)
        reviews = await operations.reviewing.page(request.args.get("reviews", ""), REVIEWS)
        audited = "" if who.tenant_id == DEFAULT_TENANT else who.tenant_id
        return pages.render(
            "operations.html",
            who,
            **seen(status, operations.stock(), Throughput().see(status.ready.stages, 0.0)),
            letters=letters,
            reviews=reviews,
            sides=[await _sides(services, one) for one in reviews.pairs],
            tasks=await operations.tasks() if operations.tasks is not None else None,
            audit=[(one, instant(one.at)) for one in await operations.recent_audit(AUDITED, audited)],
        )

    @app.get("/ops")
    @needs(ADMIN)
    async def short_way() -> Response:
        return redirect("/operations", 303)  # type: ignore[return-value]

    @app.get("/operations/live")
    @needs(ADMIN)
    async def operations_live() -> Response:
        """Server-sent events: what moves of the page, drawn anew each second."""
        operations, _ = allowed(services)
        if streams.borrowed_tokens >= MOST_STREAMS:
            abort(503, "too many pages look on; close one")
        answer = Response(_events(operations, pages, streams), content_type="text/event-stream")
        answer.headers["Cache-Control"] = "no-store"
        answer.timeout = None
        return answer

    @app.post("/operations/dead-letters/<letter_id>/replay")
    @needs(ADMIN)
    async def replay_on_page(letter_id: str) -> Response:
        operations, who = allowed(services)
        await posted(who)
        await operations.letters.replay(letter_id, who.by)
        return redirect("/operations#dead-letters", 303)  # type: ignore[return-value]

    @app.post("/operations/reviews")
    @needs(ADMIN)
    async def decide_on_page() -> Response:
        """A person's word on two accounts."""
        operations, who = allowed(services)
        form = await posted(who)
        if form.get("same") not in ("yes", "no"):
            abort(400, "are they one person or two?")
        await operations.reviewing.decide(
            form.get("first", ""), form.get("second", ""), same=form["same"] == "yes", by=who.by
        )
        return redirect("/operations#reviews", 303)  # type: ignore[return-value]


async def _events(operations: Operations, pages: Pages, streams: trio.CapacityLimiter) -> AsyncIterator[bytes]:
    throughput = Throughput()
    began = trio.current_time()
    async with streams:
        yield RETRY
        while not operations.stopping.is_set() and trio.current_time() - began < STREAM_SECONDS:
            status = await operations.status()
            stages = throughput.see(status.ready.stages, trio.current_time())
            text = pages.piece("moving.html", **seen(status, operations.stock(), stages))
            yield b"".join(b"data: " + line.encode() + b"\n" for line in text.splitlines() if line.strip()) + b"\n"
            with trio.move_on_after(BEAT_SECONDS):
                await operations.stopping.wait()


def seen(status: AdminStatus, stock: Stock | None, stages: list[StageView]) -> dict[str, Any]:
    """What the moving part of the page shows."""
    deepest = max([10, *(one.of.queue_depth for one in stages)])
    return {"status": status, "stages": lanes(stages), "deepest": deepest, "gauges": gauges(stock), "stock": stock}


def lanes(stages: Sequence[StageView]) -> list[tuple[str, list[StageView]]]:
    """Those of each platform, then those that all share, then those beside the way."""
    found: dict[str, list[StageView]] = {}
    for one in stages:
        _, _, platform = one.of.name.partition("/")
        lane = platform or (SHARED if one.of.name in FLOW else BESIDE)
        found.setdefault(lane, []).append(one)
    return sorted(found.items(), key=lambda lane: (lane[0] == SHARED) + 2 * (lane[0] == BESIDE))


def gauges(stock: Stock | None) -> list[Gauge]:
    """Without those of nobody."""
    if stock is None:
        return []
    return [
        Gauge(
            platform=platform.value,
            bucket=activity.value,
            promised=PROMISED[activity],
            fresh=stock.fresh.get((platform, activity), 0),
            accounts=accounts,
        )
        for (platform, activity), accounts in stock.accounts.items()
        if accounts
    ]


async def _sides(services: PublicServices, pair: ReviewView) -> list[Side]:
    found = []
    for one in (pair.first, pair.second):
        account = None
        if one.creator_id is not None:
            (known,) = await services.creators([CreatorId(int(one.creator_id))])
            account = next((each for each in known[1] if str(each.key) == one.account), None) if known else None
        found.append(Side(key=one.account, account=account, creator_id=one.creator_id, url=one.url))
    return found


def allowed(services: PublicServices) -> tuple[Operations, Viewer]:
    who = viewer_with(ADMIN)
    if services.operations is None:
        abort(404)
    return services.operations, who
