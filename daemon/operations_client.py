"""Running a daemon over its admin socket: pauses, tasks."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from daemon.admin_client import AdminClient
from proto.api import Actors, LogLevel, OrderedAll, Pauses, TaskPage, TaskView

PATIENCE_SECONDS = 60.0
"""For the answer to a profile, beyond what it takes."""


class OperationsClient(AdminClient):
    """Raises as `AdminClient`."""

    def pauses(self) -> Pauses:
        return msgspec.json.decode(self._call("GET", "/v1/pauses"), type=Pauses)

    def pause(self, name: str, by: str, reason: str) -> Pauses:
        return self._order("/v1/pause", {"name": name, "by": by, "reason": reason})

    def resume(self, name: str, by: str) -> Pauses:
        return self._order("/v1/resume", {"name": name, "by": by})

    def tasks(self) -> TaskPage:
        return msgspec.json.decode(self._call("GET", "/v1/tasks"), type=TaskPage)

    def task(self, uid: str) -> TaskView:
        return self._task("GET", f"/v1/tasks/{quote(uid, safe='')}")

    def cancel(self, uid: str, by: str) -> TaskView:
        return self._task("DELETE", f"/v1/tasks/{quote(uid, safe='')}?" + urlencode({"by": by}))

    def reindex(self) -> TaskView:
        return self._task("POST", "/v1/reindex")

    def actors(self) -> Actors:
        return msgspec.json.decode(self._call("GET", "/v1/actors"), type=Actors)

    def refresh(self, references: Sequence[str]) -> OrderedAll:
        return msgspec.json.decode(self._call("POST", "/v1/refresh", msgspec.json.encode(references)), type=OrderedAll)

    def backfill(self, target: str, tenant: str) -> TaskView:
        return self._task("POST", "/v1/backfill", msgspec.json.encode({"target": target, "tenant": tenant}))

    def set_log_level(self, level: str, by: str) -> LogLevel:
        body = msgspec.json.encode({"level": level, "by": by})
        return msgspec.json.decode(self._call("PUT", "/v1/log-level", body), type=LogLevel)

    def profile(self, seconds: float) -> str:
        path = "/v1/profile?" + urlencode({"seconds": seconds})
        return self._call("POST", path, None, seconds + PATIENCE_SECONDS).decode()

    def drain(self, by: str, seconds: float, *, stop: bool) -> TaskView:
        return self._task("POST", "/v1/drain", msgspec.json.encode({"by": by, "seconds": seconds, "stop": stop}))

    def _task(self, method: str, path: str, body: bytes | None = None) -> TaskView:
        return msgspec.json.decode(self._call(method, path, body), type=TaskView)

    def _order(self, path: str, order: dict[str, str]) -> Pauses:
        return msgspec.json.decode(self._call("POST", path, msgspec.json.encode(order)), type=Pauses)
