"""Talks to a running daemon over its admin socket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import msgspec

from actors.bulk import LineVerdict
from daemon.backup import Made
from daemon.backup import Progress as BackupProgress
from daemon.forgetting import Report
from daemon.importance import Weighed
from daemon.importing import Piece, Verdict
from proto.api import (
    AdminStatus,
    DeadLetterPage,
    DeadLetterView,
    DecisionView,
    Problem,
    ReviewPage,
    ReviewView,
    WeightsView,
    WhatIf,
)
from proto.errors import Malformed, Unavailable

TIMEOUT_SECONDS = 60.0
FORGET_SECONDS = 3_600.0
"""An erasure writes the keyword index anew and saves the graphs."""
WHAT_IF_SECONDS = 600.0
"""Every query is run twice."""
IMPORT_SECONDS = 900.0
"""A piece waits until the ones before are indexed, or embedded."""
BACKUP_SECONDS = 86_400.0
ROWS_PER_REQUEST = 5_000
"""Whole transactions of the import."""


class AdminClient:
    """Raises Unavailable when no daemon answers, and what it refuses as Malformed with its own words."""

    def __init__(self, path: Path, of: Path | None = None) -> None:
        """``of``: the data directory that the daemon is to have, where the socket's place does not say it."""
        self._path, self._of = path, of

    def answers(self) -> bool:
        """Raises Malformed where the daemon that does has another data directory."""
        if not os.path.exists(self._path):  # noqa: PTH110 (also where a folder above may not be looked into)
            return False
        try:
            self._call("GET", "/healthz")
        except Unavailable:
            return False
        if self._of is not None and Path(self.status().data_dir).resolve() != self._of.resolve():
            raise Malformed(
                f"{self._path}: the daemon there has {self.status().data_dir}, not {self._of}; leave out --data-dir, "
                "or the settings that name this socket"
            )
        return True

    def status(self) -> AdminStatus:
        return msgspec.json.decode(self._call("GET", "/v1/status"), type=AdminStatus)

    def status_json(self) -> bytes:
        return self._call("GET", "/v1/status")

    def reload(self) -> dict[str, list[str]]:
        return msgspec.json.decode(self._call("POST", "/v1/reload"), type=dict[str, list[str]])

    def import_rows(self, rows: Sequence[tuple[int, str]], piece: Piece) -> list[Verdict]:
        body = msgspec.json.encode(rows)
        path = "/v1/import?" + urlencode({"id": piece.import_id, "at": piece.at})
        return msgspec.json.decode(self._call("POST", path, body), type=list[Verdict])

    def import_creators(self, lines: Sequence[bytes], piece: Piece) -> list[LineVerdict]:
        path = "/v1/import/creators?" + urlencode({"id": piece.import_id, "at": piece.at})
        reply = self._call("POST", path, b"\n".join(lines), IMPORT_SECONDS)
        return msgspec.json.decode(reply, type=list[LineVerdict])

    def end_import(self, import_id: str) -> None:
        self._call("DELETE", "/v1/import?" + urlencode({"id": import_id}))

    def forget(self, references: Sequence[str]) -> list[Report]:
        body = msgspec.json.encode(references)
        return msgspec.json.decode(self._call("POST", "/v1/forget", body, FORGET_SECONDS), type=list[Report])

    def back_up(self, file: Path) -> Made:
        body = msgspec.json.encode(str(file))
        return msgspec.json.decode(self._call("POST", "/v1/backup", body, BACKUP_SECONDS), type=Made)

    def backup_progress(self) -> BackupProgress:
        return msgspec.json.decode(self._call("GET", "/v1/backup"), type=BackupProgress)

    def set_importance(self, references: Sequence[str], importance: float) -> list[Weighed]:
        body = msgspec.json.encode({"accounts": references, "importance": importance})
        return msgspec.json.decode(self._call("POST", "/v1/importance", body), type=list[Weighed])

    def reviews(self, limit: int) -> ReviewPage:
        """The likeliest pairs that wait, at most so many."""
        pairs: list[ReviewView] = []
        cursor: str | None = ""
        while True:
            page = msgspec.json.decode(
                self._call("GET", "/v1/reviews?" + urlencode({"cursor": cursor})), type=ReviewPage
            )
            pairs += page.pairs
            cursor = page.cursor
            if cursor is None or len(pairs) >= limit:
                return msgspec.structs.replace(page, pairs=pairs[:limit])

    def decide(self, first: str, second: str, *, same: bool) -> list[DecisionView]:
        body = msgspec.json.encode({"first": first, "second": second, "same": same})
        return msgspec.json.decode(self._call("POST", "/v1/reviews", body), type=list[DecisionView])

    def merge(self, references: Sequence[str]) -> list[DecisionView]:
        body = msgspec.json.encode(references)
        return msgspec.json.decode(self._call("POST", "/v1/merge", body), type=list[DecisionView])

    def split(self, reference: str) -> list[DecisionView]:
        body = msgspec.json.encode(reference)
        return msgspec.json.decode(self._call("POST", "/v1/split", body), type=list[DecisionView])

    def weights(self, tenant: str) -> WeightsView:
        return msgspec.json.decode(self._call("GET", "/v1/weights?" + urlencode({"tenant": tenant})), type=WeightsView)

    def set_weights(self, tenant: str, changes: Mapping[str, float] | None) -> WeightsView:
        """None: those of the settings again."""
        path = "/v1/weights?" + urlencode({"tenant": tenant})
        return msgspec.json.decode(self._call("PUT", path, msgspec.json.encode(changes)), type=WeightsView)

    def what_if(self, tenant: str, changes: Mapping[str, float], queries: int) -> WhatIf:
        body = msgspec.json.encode({"weights": changes, "queries": queries})
        path = "/v1/weights/what-if?" + urlencode({"tenant": tenant})
        return msgspec.json.decode(self._call("POST", path, body, WHAT_IF_SECONDS), type=WhatIf)

    def queries(self, tenant: str, after: int) -> Iterator[bytes]:
        """Lines of JSON, each with its line end."""
        while lines := self._call("GET", "/v1/queries?" + urlencode({"tenant": tenant, "after": after})):
            yield lines
            after = int(msgspec.json.decode(lines.rstrip().rpartition(b"\n")[2])["number"])

    def dead_letters(self, reason: str = "") -> list[DeadLetterView]:
        """Of a reason; empty: all."""
        letters: list[DeadLetterView] = []
        cursor: str | None = ""
        while cursor is not None:
            path = "/v1/dead-letters?" + urlencode({"reason": reason, "cursor": cursor})
            page = msgspec.json.decode(self._call("GET", path), type=DeadLetterPage)
            letters += page.letters
            cursor = page.cursor
        return letters

    def replay(self, letter_id: str) -> DeadLetterView:
        path = f"/v1/dead-letters/{quote(letter_id, safe='')}/replay"
        return msgspec.json.decode(self._call("POST", path), type=DeadLetterView)

    def _call(
        self, method: str, path: str, body: bytes | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> bytes:
        transport = httpx2.HTTPTransport(uds=str(self._path))
        try:
            with httpx2.Client(transport=transport, base_url="http://pokedexd", timeout=timeout_seconds) as client:
                reply = client.request(method, path, content=body)
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"no daemon answers on {self._path} ({error}): start it, such as by `pokedexd serve`, or name the "
                "--data-dir or --config of the one that runs"
            ) from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"no daemon answers on {self._path}: {error}") from error
        if reply.status_code >= 400:
            raise Malformed(_words(reply))
        return reply.content


def _words(reply: Any) -> str:
    try:
        problem = msgspec.json.decode(reply.content, type=Problem)
    except msgspec.DecodeError:
        return f"the daemon answered {reply.status_code}"
    return problem.detail or problem.title
