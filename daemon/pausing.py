"""Pauses by an operator: platforms from which nothing is fetched, stages that take nothing more; durable over restarts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from actors.gate import Gate
from daemon.pipeline import Pipeline
from daemon.web.views import instant
from proto.api import PauseView
from proto.errors import Malformed
from proto.messages import Stage
from proto.records import DEFAULT_TENANT, AuditEvent, Pause
from stores.audit import OPERATOR, append_audit
from stores.env import Environment, Txn
from stores.operations import drop_pauses, pauses_of, put_pause

MAX_TEXT_CHARS = 200


class Pausing:
    def __init__(self, env: Environment, pipeline: Pipeline, *, now: Callable[[], float]) -> None:
        self._env, self._pipeline, self._now = env, pipeline, now
        self._pauses: dict[str, Pause] = {}

    @property
    def names(self) -> list[str]:
        """What can be paused."""
        return [*(platform.value for platform in self._pipeline.platforms), *(stage.value for stage in self._gates)]

    def shown(self) -> list[PauseView]:
        return [
            PauseView(name=one.name, by=one.by, at=instant(one.at), reason=one.reason)
            for one in sorted(self._pauses.values(), key=lambda one: (one.at, one.name))
        ]

    async def load(self) -> None:
        """What was paused before the daemon was started anew stays so."""
        self._pauses = {one.name: one for one in await self._env.read(pauses_of)}
        self._apply()

    async def pause(self, name: str, by: str, reason: str) -> list[PauseView]:
        """A platform or a stage; empty: all platforms. Durable before it returns. Raises Malformed."""
        wanted = [self._known(name)] if name else [platform.value for platform in self._pipeline.platforms]
        check_text(by, "by")
        check_text(reason, "reason")
        fresh = [Pause(name=one, by=by, at=int(self._now()), reason=reason) for one in wanted]

        def change(txn: Txn) -> None:
            for one in fresh:
                put_pause(txn, one)
            append_audit(txn, self._entry("pause", f"{name or 'all platforms'}: {reason or 'no reason given'} ({by})"))

        await self._env.write(change, synced=True)
        self._pauses |= {one.name: one for one in fresh}
        self._apply()
        return self.shown()

    async def resume(self, name: str, by: str) -> list[PauseView]:
        """Empty: all that is paused. Raises Malformed."""
        wanted = [self._known(name)] if name else list(self._pauses)
        check_text(by, "by")

        def change(txn: Txn) -> list[str]:
            gone = drop_pauses(txn, wanted)
            append_audit(txn, self._entry("resume", f"{', '.join(gone) or 'nothing was paused'} ({by})"))
            return gone

        await self._env.write(change, synced=True)
        for one in wanted:
            self._pauses.pop(one, None)
        self._apply()
        return self.shown()

    async def note(self, action: str, detail: str) -> None:
        """In the audit trail. Raises Malformed."""
        check_text(detail, "by")
        entry = self._entry(action, detail)
        await self._env.write(lambda txn: append_audit(txn, entry), synced=True)

    @property
    def _gates(self) -> Mapping[Stage, Gate]:
        return self._pipeline.gates

    def _apply(self) -> None:
        for platform in self._pipeline.adapters:
            pause = self._pauses.get(platform.value)
            self._pipeline.set_intake(OPERATOR.actor, _words(pause) if pause else "", [platform])
        for stage, gate in self._gates.items():
            gate.set(held=stage.value in self._pauses)

    def _known(self, name: str) -> str:
        if name in self.names:
            return name
        near: Sequence[str] = difflib.get_close_matches(name[:40], self.names, 1, 0.6)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise Malformed(f"{name[:40]!r} cannot be paused; {hint}known are {', '.join(self.names)}")

    def _entry(self, action: str, detail: str) -> AuditEvent:
        return AuditEvent(
            at=int(self._now()), tenant_id=DEFAULT_TENANT, actor=OPERATOR.actor, action=action, detail=detail
        )


def _words(pause: Pause) -> str:
    said = f"paused by {pause.by or OPERATOR.actor} at {instant(pause.at)}"
    return f"{said}: {pause.reason}" if pause.reason else said


def check_text(text: str, name: str) -> None:
    if len(text) > MAX_TEXT_CHARS or not text.isprintable():
        raise Malformed(f"{name}: expected {MAX_TEXT_CHARS} printable characters at most")
