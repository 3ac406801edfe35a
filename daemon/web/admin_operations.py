"""The admin side of running the daemon: pauses, tasks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.draining import MOST_SECONDS as MOST_DRAIN_SECONDS
from daemon.operations import Operations
from daemon.pausing import check_text
from daemon.web.params import decode_body, number, only_known
from daemon.web.replies import json_response
from proto.api import Actors, OrderedAll, Pauses, TaskPage
from proto.records import DEFAULT_TENANT


class Order(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``name``: of a platform or a stage; empty: all platforms, or all that is paused. ``by``: who says so."""

    name: str = ""
    by: str = ""
    reason: str = ""


class Level(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    level: str
    by: str = ""


class Drain(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``seconds``: how long it may take; ``stop``: the daemon ends after it."""

    by: str = ""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_DRAIN_SECONDS)] = 600.0
    stop: bool = False


class Backfill(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``target``: an account, a creator's id, or a list of the tenant by its name or id."""

    target: str
    tenant: str = DEFAULT_TENANT


def register(app: QuartTrio, operations: Operations) -> None:
    register_pauses(app, operations)
    register_tasks(app, operations)
    register_orders(app, operations)
    register_looks(app, operations)


def register_pauses(app: QuartTrio, operations: Operations) -> None:
    pausing = operations.pausing

    @app.get("/v1/pauses")
    async def pauses() -> Response:
        only_known(request.args, ())
        return json_response(Pauses(pauses=pausing.shown()))

    @app.post("/v1/pause")
    async def pause() -> Response:
        """Durable, and audited. Raises Malformed for what cannot be paused, naming what can."""
        order = decode_body(await request.get_data(), Order)
        only_known(request.args, ())
        return json_response(Pauses(pauses=await pausing.pause(order.name, order.by, order.reason)))

    @app.post("/v1/resume")
    async def resume() -> Response:
        order = decode_body(await request.get_data(), Order)
        only_known(request.args, ())
        return json_response(Pauses(pauses=await operations.resume(order.name, order.by)))


def register_tasks(app: QuartTrio, operations: Operations) -> None:
    @app.get("/v1/tasks")
    async def tasks() -> Response:
        only_known(request.args, ())
        return json_response(TaskPage(tasks=operations.tasks()))

    @app.get("/v1/tasks/<uid>")
    async def task(uid: str) -> Response:
        """Raises NotFound."""
        only_known(request.args, ())
        return json_response(operations.work.get(uid))

    @app.delete("/v1/tasks/<uid>")
    async def cancel(uid: str) -> Response:
        """Raises NotFound, and Conflict for what has ended or must be done to its end."""
        only_known(request.args, ("by",))
        by = request.args.get("by", "")
        check_text(by, "by")
        return json_response(await operations.work.cancel(uid, by), 202)

    @app.post("/v1/reindex")
    async def reindex() -> Response:
        """Answer: the task that was begun. Raises Conflict while one is under way."""
        only_known(request.args, ())
        return json_response(await operations.reindex(), 202)


def register_orders(app: QuartTrio, operations: Operations) -> None:
    @app.get("/v1/actors")
    async def actors() -> Response:
        only_known(request.args, ())
        return json_response(Actors(actors=operations.actors()))

    @app.post("/v1/refresh")
    async def refresh() -> Response:
        """Body: a JSON list of accounts (keys, ids, handles or URLs) or creators' ids; answer: what became of each."""
        references = decode_body(await request.get_data(), list[str])
        only_known(request.args, ())
        return json_response(OrderedAll(accounts=await operations.refresh(references)))

    @app.post("/v1/backfill")
    async def backfill() -> Response:
        """Answer: the task that was begun. Raises NotFound."""
        asked = decode_body(await request.get_data(), Backfill)
        only_known(request.args, ())
        return json_response(await operations.backfill(asked.target, asked.tenant), 202)


def register_looks(app: QuartTrio, operations: Operations) -> None:
    @app.put("/v1/log-level")
    async def log_level() -> Response:
        """In force at once, until the settings are read again. Raises Malformed."""
        asked = decode_body(await request.get_data(), Level)
        only_known(request.args, ())
        return json_response(await operations.look.set_log_level(asked.level, asked.by))

    @app.post("/v1/profile")
    async def profile() -> Response:
        """Answer, after so many seconds: the most frequent stacks of all threads, as text."""
        await request.get_data()
        only_known(request.args, ("seconds",))
        text = await operations.look.profile(number(request.args, "seconds", 5.0))
        return Response(text, content_type="text/plain; charset=utf-8")

    @app.post("/v1/drain")
    async def drain() -> Response:
        """Answer: the task that was begun. Raises Conflict while one is under way, or a stage is paused."""
        asked = decode_body(await request.get_data(), Drain)
        only_known(request.args, ())
        return json_response(await operations.drain(asked.by, asked.seconds, stop=asked.stop), 202)
