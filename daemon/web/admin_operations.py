"""The admin side of running the daemon: pauses, tasks."""

from __future__ import annotations

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.operations import Operations
from daemon.web.params import decode_body, only_known
from daemon.web.replies import json_response
from proto.api import Pauses, TaskPage


class Order(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``name``: of a platform or a stage; empty: all platforms, or all that is paused. ``by``: who says so."""

    name: str = ""
    by: str = ""
    reason: str = ""


def register(app: QuartTrio, operations: Operations) -> None:
    register_pauses(app, operations)
    register_tasks(app, operations)


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
        return json_response(Pauses(pauses=await pausing.resume(order.name, order.by)))


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
        return json_response(await operations.work.cancel(uid, request.args.get("by", "")), 202)

    @app.post("/v1/reindex")
    async def reindex() -> Response:
        """Answer: the task that was begun. Raises Conflict while one is under way."""
        only_known(request.args, ())
        return json_response(await operations.reindex(), 202)
