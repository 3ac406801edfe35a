"""The simulated platforms as one application on a loopback socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import trio
from quart import Response, request
from quart_trio import QuartTrio

from daemon.simulator.accounting import Accounting
from daemon.simulator.faults import FaultDraw, Faults
from daemon.simulator.quota import Quota
from daemon.simulator.world import World
from daemon.simulator.youtube import ApiError, YouTube
from daemon.web.server import hypercorn_config, serve_app, tcp_listener

Answer = Callable[[Mapping[str, str]], tuple[dict[str, Any], list[str]]]


def create_simulator(
    world: World, *, clock: Callable[[], float], faults: Faults, limits: dict[str, int], key: str
) -> QuartTrio:
    """Endpoints of YouTube below ``/youtube/v3`` and the simulator's own below ``/_simulator``."""
    app = QuartTrio("daemon.simulator", static_folder=None)
    youtube, quota = YouTube(world, clock, faults.seed), Quota(limits, clock)
    books, draw = Accounting(), FaultDraw(faults)

    async def answered(endpoint: str, bucket: str, answer: Answer) -> Response:
        books.call(endpoint)
        fault, wait_seconds = draw.next()
        if wait_seconds:
            await trio.sleep(wait_seconds)
        try:
            _check_key(request.headers.get("X-goog-api-key") or request.args.get("key", ""), key)
            if not quota.charge(bucket):
                raise _quota_exceeded()
            _raise_fault(fault)
            reply, served = answer(request.args.to_dict())
        except ApiError as error:
            books.error(error.reason)
            return _json(error.body(), error.code)
        if fault in ("malformed", "cut", "html_error"):
            books.error(fault)
            return _broken(fault, msgspec.json.encode(reply))
        books.serve(endpoint, served)
        return _json(reply)

    routes: tuple[tuple[str, Answer], ...] = (
        ("channels", youtube.channels),
        ("playlistItems", youtube.playlist_items),
        ("videos", youtube.videos),
        ("videoCategories", youtube.categories),
    )
    for name, answer in routes:
        app.add_url_rule(f"/youtube/v3/{name}", name, partial(answered, name, "general", answer))

    @app.get("/_simulator/accounting")
    async def accounting() -> Response:
        return _json(books.books(quota.charged(), dict(quota.refused)))

    @app.get("/_simulator/accounts")
    async def accounts() -> Response:
        instagram = request.args.get("platform") == "instagram"
        return _json(sorted(profile.id for profile in world.profiles.values()) if instagram else sorted(world.channels))

    @app.get("/_simulator/world")
    async def described() -> Response:
        return _json(
            {
                "now": world.now,
                "channels": len(world.channels),
                "videos": len(world.videos),
                "profiles": len(world.profiles),
                "posts": sum(len(profile.posts) for profile in world.profiles.values()),
            }
        )

    return app


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


def _check_key(given: str, expected: str) -> None:
    if given != expected:
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


def _raise_fault(fault: str) -> None:
    if fault == "unavailable":
        raise ApiError(
            503, "backendError", "The service is currently unavailable.", domain="global", status="UNAVAILABLE"
        )
    if fault == "throttle":
        raise ApiError(403, "rateLimitExceeded", "Rate Limit Exceeded", domain="usageLimits")


def _broken(fault: str, body: bytes) -> Response:
    if fault == "html_error":
        return Response("<html><title>Error 500</title></html>", 500, content_type="text/html")
    response = Response(body[: len(body) // 2], content_type="application/json; charset=UTF-8")
    if fault == "cut":
        response.headers["Content-Length"] = str(len(body))
    return response


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json; charset=UTF-8")
