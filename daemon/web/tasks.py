"""`/v1/tasks`: long work and what became of it, to be read; it is begun and cancelled over the admin endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.params import only_known
from daemon.web.replies import json_response
from proto.api import TaskPage, TaskView
from proto.errors import NotFound


def register(app: QuartTrio, tasks: Callable[[], Sequence[TaskView]]) -> None:
    @app.get("/v1/tasks")
    async def latest() -> Response:
        only_known(request.args, ())
        return json_response(TaskPage(tasks=list(tasks())))

    @app.get("/v1/tasks/<uid>")
    async def one(uid: str) -> Response:
        """Raises NotFound."""
        only_known(request.args, ())
        found = next((task for task in tasks() if task.uid == uid), None)
        if found is None:
            raise NotFound(f"no task {uid[:40]!r}")
        return json_response(found)
