"""Running a daemon over its admin socket: pauses."""

from __future__ import annotations

import msgspec

from daemon.admin_client import AdminClient
from proto.api import Pauses


class OperationsClient(AdminClient):
    """Raises as `AdminClient`."""

    def pauses(self) -> Pauses:
        return msgspec.json.decode(self._call("GET", "/v1/pauses"), type=Pauses)

    def pause(self, name: str, by: str, reason: str) -> Pauses:
        return self._order("/v1/pause", {"name": name, "by": by, "reason": reason})

    def resume(self, name: str, by: str) -> Pauses:
        return self._order("/v1/resume", {"name": name, "by": by})

    def _order(self, path: str, order: dict[str, str]) -> Pauses:
        return msgspec.json.decode(self._call("POST", path, msgspec.json.encode(order)), type=Pauses)
