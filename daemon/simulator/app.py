"""The simulated platforms as one application on a loopback socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import httpx2
import msgspec
import trio
from quart import Response, request
from quart_trio import QuartTrio

from daemon.simulator.accounting import Accounting
from daemon.simulator.control import Control
from daemon.simulator.events import AccountEvent
from daemon.simulator.faults import FaultDraw, Faults
from daemon.simulator.feeds import FeedFailed, Feeds
from daemon.simulator.hub import Hub, HubFailed
from daemon.simulator.instagram import GraphError, Instagram, rate_limited, served_version
from daemon.simulator.llm import Llm
from daemon.simulator.llm_reader import Reader
from daemon.simulator.posting import Posting
from daemon.simulator.present import PresentWorld
from daemon.simulator.quota import Quota
from daemon.simulator.replies import broken, html_error, json_reply
from daemon.simulator.search import Search
from daemon.simulator.tokens import GraphToken, TokenBook
from daemon.simulator.world import World
from daemon.simulator.youtube import ApiError, YouTube, etag_of
from daemon.web.server import hypercorn_config, serve_app, tcp_listener
from models.taxonomy import Taxonomy

Answer = Callable[[Mapping[str, str]], tuple[dict[str, Any], list[str]]]

REPEATABLE = ("part", "id")
"""May come several times or joined by commas (platform-apis 1.1)."""


def create_simulator(
    world: World,
    *,
    clock: Callable[[], float],
    faults: Faults,
    limits: dict[str, int],
    key: str,
    tokens: Iterable[GraphToken] = (),
    posting: Posting | None = None,
    events: Iterable[AccountEvent] = (),
    client: httpx2.AsyncClient | None = None,
) -> QuartTrio:
    """Endpoints below ``/youtube/v3``, ``/graph``, ``/feeds``, ``/hub``, ``/llm/v1`` and the simulator's own below ``/_simulator``.

    ``key`` holds one key or several of the one project, joined by commas. With ``posting`` the world lives.
    ``client``: with which the hub calls back, closed with the application; by default over real sockets.
    """
    app = QuartTrio("daemon.simulator", static_folder=None)
    present = PresentWorld(world, clock, posting=posting, events=events)
    books, draw, quota = Accounting(), FaultDraw(faults), Quota(limits, clock)
    token_book, feeds = TokenBook(tokens, clock), Feeds(present, draw)
    client = client or httpx2.AsyncClient(trust_env=False, follow_redirects=False)
    hub = Hub(present, draw, client)
    keys = {one for one in key.split(",") if one}
    llm = Llm(draw, books, keys, Reader(Taxonomy.load))
    control = Control(present, draw, books, quota, token_book, feeds, hub, llm, keys)

    _add_youtube(app, present, draw, books, quota, control)
    _add_graph(app, Instagram(present, token_book, draw), draw, books, token_book)
    _add_feeds(app, feeds, draw, books)
    _add_hub(app, hub, draw, books)
    llm.add_to(app)
    control.add_to(app)

    @app.before_serving
    async def start_hub() -> None:
        await app.nursery.start(hub.run)

    @app.after_serving
    async def stop_hub() -> None:
        hub.stop()
        await client.aclose()

    return app


def _add_youtube(
    app: QuartTrio, present: PresentWorld, draw: FaultDraw, books: Accounting, quota: Quota, control: Control
) -> None:
    youtube = YouTube(present.world, present.clock, draw.faults.seed, present=present, draw=draw)
    search = Search(present, youtube)

    async def answered(endpoint: str, bucket: str, answer: Answer) -> Response:
        books.call(endpoint)
        fault, wait_seconds = draw.next("youtube")
        if wait_seconds:
            await trio.sleep(wait_seconds)
        try:
            _check_key(request.headers.get("X-goog-api-key") or request.args.get("key", ""), control.keys)
            if not quota.charge(bucket):
                books.refuse(endpoint)
                raise _daily_429(bucket) if bucket in _DAILY_METRICS else _quota_exceeded()
            books.charge(endpoint)
            _raise_fault(fault)
            reply, served = answer(_params())
        except ApiError as error:
            books.error(error.reason)
            return json_reply(error.body(), error.code)
        if fault == "html_error":
            books.error(fault)
            return html_error(500)
        if fault in ("malformed", "cut"):
            books.error(fault)
            return broken(fault, msgspec.json.encode(reply))
        books.serve(endpoint, served)
        if draw.chance(draw.faults.etag_flip_share):
            reply["etag"] = etag_of([reply["etag"], books.calls[endpoint]])
        if request.headers.get("If-None-Match") == reply["etag"]:
            return Response("", 304)  # charged like any call (platform-apis 1.2)
        return json_reply(reply)

    def videos(params: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        return search.chart(params) if "chart" in params else youtube.videos(params)

    routes: tuple[tuple[str, str, Answer], ...] = (
        ("channels", "general", youtube.channels),
        ("playlistItems", "general", youtube.playlist_items),
        ("videos", "general", videos),
        ("videoCategories", "general", youtube.categories),
        ("videos:batchGetStats", "stats", youtube.stats),
        ("search", "search", search.search),
    )
    for name, bucket, answer in routes:
        app.add_url_rule(f"/youtube/v3/{name}", name, partial(answered, name, bucket, answer))


def _add_graph(app: QuartTrio, instagram: Instagram, draw: FaultDraw, books: Accounting, book: TokenBook) -> None:
    name = "business_discovery"

    @app.get("/graph/v<int:version>.0/<node>")
    async def node_read(version: int, node: str) -> Response:
        books.call(name)
        fault, wait_seconds = draw.next("instagram")
        if wait_seconds:
            await trio.sleep(wait_seconds)
        headers = {"facebook-api-version": served_version(version)}
        text = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.args.get("access_token", "")
        try:
            token = instagram.authorise(text, request.args.get("appsecret_proof", ""))
            if not book.charge(token):
                books.refuse(name)
                raise rate_limited()
            books.charge(name)
            headers |= _usage(book, token)
            _raise_graph_fault(fault, user=draw.chance(0.5))
            reply, served = instagram.answer(token, node, request.args.to_dict())
        except GraphError as error:
            books.error(error.reason)
            return json_reply(error.body(), error.status, headers)
        if fault == "html_error":
            books.error(fault)
            return html_error(500)
        if fault in ("malformed", "cut"):
            books.error(fault)
            return broken(fault, msgspec.json.encode(reply))
        books.serve(name, served)
        return json_reply(reply, 200, headers)


def _add_feeds(app: QuartTrio, feeds: Feeds, draw: FaultDraw, books: Accounting) -> None:
    kind = "text/xml; charset=UTF-8"

    @app.get("/feeds/videos.xml")
    async def feed() -> Response:
        books.call("feeds")
        fault, wait_seconds = draw.next("feeds")
        if wait_seconds:
            await trio.sleep(wait_seconds)
        try:
            if status := {"unavailable": 503, "html_error": 500, "throttle": 429}.get(fault):
                raise FeedFailed(status, f"feed_{fault}")
            body, served = feeds.answer(request.args.to_dict())
        except FeedFailed as error:
            books.error(error.reason)
            return html_error(error.status)
        if fault:
            books.error(fault)
            return broken(fault, body, kind)
        books.serve("feeds", served)
        return Response(body, content_type=kind, headers={"Cache-Control": "public, max-age=900"})


def _add_hub(app: QuartTrio, hub: Hub, draw: FaultDraw, books: Accounting) -> None:
    @app.post("/hub/subscribe")
    async def subscribe() -> Response:
        books.call("hub")
        fault, wait_seconds = draw.next("hub")
        if wait_seconds:
            await trio.sleep(wait_seconds)
        if fault in ("unavailable", "html_error", "throttle"):
            books.error(f"hub_{fault}")
            return Response("Transient error", 503, content_type="text/plain", headers={"Retry-After": "120"})
        form = await request.form
        try:
            status = await hub.request(form.to_dict())
        except HubFailed as error:
            books.error(f"hub_{error.status}")
            return Response(error.text, error.status, content_type="text/plain")
        books.serve("hub", [form["hub.topic"]])
        return Response("", status, content_type="text/plain")


async def serve_simulator(
    app: QuartTrio, *, port: int, stop: trio.Event, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """On loopback; ``task_status`` is told the base URL."""
    listener: socket.socket = tcp_listener("127.0.0.1", port)
    config = hypercorn_config(keep_alive_seconds=60, graceful_seconds=0.5)
    config.keep_alive_max_requests = 1_000_000
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_app, app, config, [listener], stop)
        task_status.started(f"http://127.0.0.1:{listener.getsockname()[1]}")


def _params() -> dict[str, str]:
    many = request.args
    return many.to_dict() | {name: ",".join(many.getlist(name)) for name in REPEATABLE if name in many}


def _usage(book: TokenBook, token: GraphToken) -> dict[str, str]:
    usage = book.usage(token)
    return {} if usage is None else {"X-App-Usage": msgspec.json.encode(usage).decode()}


def _check_key(given: str, keys: set[str]) -> None:
    if given not in keys:
        raise ApiError(
            400,
            "badRequest",
            "API key not valid. Please pass a valid API key.",
            domain="global",
            status="INVALID_ARGUMENT",
            details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
        )  # fmt: skip


def _quota_exceeded() -> ApiError:
    return ApiError(
        403,
        "quotaExceeded",
        'The request cannot be completed because you have exceeded your <a href="/youtube/v3/getting-started#quota">quota</a>.',
        domain="youtube.quota",
    )


_DAILY_METRICS = {"search": ("Search Queries", "search_list"), "stats": ("Video Stats Queries", "video_stats")}
"""The stats bucket's form is assumed to be the search bucket's (platform-apis 1.10)."""


def _daily_429(bucket: str) -> ApiError:
    """An emptied bucket of its own: a 429 that is daily for all its looks."""
    metric, limit = _DAILY_METRICS[bucket]
    return ApiError(
        429,
        "rateLimitExceeded",
        f"Quota exceeded for quota metric '{metric}' and limit '{metric} per day' of service 'youtube.googleapis.com'"
        " for consumer 'project_number:1'.",
        domain="global",
        status="RESOURCE_EXHAUSTED",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "quota_metric": f"youtube.googleapis.com/{limit}",
                    "quota_limit": f"{limit}PerDayPerProject",
                },
            }
        ],
    )


def _raise_fault(fault: str) -> None:
    if fault == "unavailable":
        raise ApiError(
            503, "backendError", "The service is currently unavailable.", domain="global", status="UNAVAILABLE"
        )
    if fault == "throttle":
        raise ApiError(403, "rateLimitExceeded", "Rate Limit Exceeded", domain="usageLimits")


def _raise_graph_fault(fault: str, *, user: bool) -> None:
    if fault == "unavailable":
        message = "An unexpected error has occurred. Please retry your request later."
        raise GraphError(2, message, transient=True, status=503)
    if fault == "throttle":
        raise rate_limited(user=user)
