"""The lane of imported creators: they enter the flow at the first stage that has something left to do."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import compress

import msgspec
import trio

from actors import Batches, Meter, Outbox
from actors.cadence import VisitPolicy
from actors.given_packing import Packed
from actors.index_writing import MOST_AT_ONCE, IndexWriter
from actors.taking_in import KNOWN, TakenIn, TakingIn, lacking, notes_on
from proto.errors import Unavailable
from proto.ids import Platform
from proto.messages import AnyWork, CreatorEnriched, Stage
from stores.catalog import CreatorBundle
from stores.env import Environment, Txn
from stores.imports import Remembered, recall, remember
from stores.ports import TextDocument
from stores.suppression import Suppression
from stores.work import Work

QUIET_SECONDS = 5.0
"""After so long without a piece nobody imports."""
NEWS_BELOW = 20
"""Lines of a piece below which it is news of some creators, however often such come, and no import that others give way to."""
PIECES_AHEAD = 3
"""Pieces that are stored and wait to be indexed; more make the import wait."""
HAND_OVER_SECONDS = 600.0
"""How long an import waits for the pieces before, such as while a stage is paused; what is stored is safe all the same."""
KINDS = ("added", "known", "forgotten", "invalid")
INVALID = "invalid"
NOTED = 0x80
"""Set in what is remembered of a line that something was left out of: its words are found by reading it again."""


class LineVerdict(msgspec.Struct, kw_only=True):
    """What became of one line."""

    verdict: str
    """One of `KINDS`."""
    detail: str = ""


Read = Callable[[Sequence[bytes], int], Awaitable[Sequence[Packed | str]]]
"""Lines and the present instant → of each what it holds, or why it cannot be taken in; see `read_lines`."""


class _Stored(msgspec.Struct, kw_only=True):
    """A piece in the store, on its way to the indexes; ``others`` go through the stages."""

    messages: list[CreatorEnriched]
    bundles: list[CreatorBundle]
    texts: list[TextDocument]
    others: list[AnyWork]


class BulkLane:
    """Storing a piece and indexing the one before go on side by side: the first is Python, the second mostly is not.

    What is stored and not indexed when the daemon ends is work like any other, which the Sweeper sends again.
    """

    def __init__(
        self,
        outboxes: Mapping[Stage, Outbox[AnyWork]],
        *,
        env: Environment,
        work: Work,
        suppression: Suppression,
        read: Read,
        visits_of: Mapping[Platform, VisitPolicy],
        writer: IndexWriter,
        turn: trio.Lock,
        now: Callable[[], float],
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._outboxes, self._env, self._work, self._suppression = outboxes, env, work, suppression
        self._read, self._visits_of, self._writer, self._turn = read, visits_of, writer, turn
        self._now, self._stop, self._meter = now, stop, meter
        self._sender, self._inbox = trio.open_memory_channel[_Stored](PIECES_AHEAD)
        self._asked_at = -math.inf

    def depth(self) -> int:
        return self._inbox.statistics().current_buffer_used

    @property
    def is_busy(self) -> bool:
        """Also for a moment after a piece, since the next is on its way then."""
        waiting = self.depth() > 0 or self._meter.is_working
        return waiting or trio.current_time() - self._asked_at < QUIET_SECONDS

    async def take_in(self, lines: Sequence[bytes], key: bytes, digest: bytes) -> list[LineVerdict]:
        """Stores a piece of an import; durable on return. Sent again under its key, also while the first is still under
        way, it gets the same verdicts. Raises Unavailable once the daemon is to end."""
        if self._stop.is_set():
            raise Unavailable("the daemon is about to end; run the same command once it is started again")
        if len(lines) >= NEWS_BELOW:
            self._asked_at = trio.current_time()
        now = int(self._now())
        said = await self._env.read(lambda txn: recall(txn, key, digest))
        if said is not None:
            return await self._said_again(lines, said, now)
        made = await self._read(lines, now)

        def change(txn: Txn) -> tuple[bytes, list[TakenIn | None]]:
            said = recall(txn, key, digest)
            if said is not None:
                return said, [_noted(txn, one) for one in made]
            taking = TakingIn(suppression=self._suppression, visits_of=self._visits_of, now=now)
            taken = [taking.put(txn, one) if isinstance(one, Packed) else None for one in made]
            kinds = bytes(
                KINDS.index(one.verdict if one else INVALID) | (NOTED if _detail(line, one) else 0)
                for one, line in zip(taken, made, strict=True)
            )
            remember(txn, key, Remembered(digest=digest, kinds=kinds, written_at=now))
            return kinds, taken

        kinds, taken = await self._env.write(change, synced=True)
        await self._hand_over(_stored([one for one in taken if one is not None]))
        return [
            LineVerdict(verdict=_verdict(kind), detail=_detail(line, one))
            for kind, line, one in zip(kinds, made, taken, strict=True)
        ]

    async def _hand_over(self, piece: _Stored) -> None:
        """A lane that has ended, or gets nowhere, keeps nobody waiting: the Sweeper sends what it did not take."""
        with suppress(trio.BrokenResourceError), trio.move_on_after(HAND_OVER_SECONDS):
            await self._sender.send(piece)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry)
            await self._stop.wait()
            nursery.cancel_scope.cancel()
        self._inbox.close()

    async def _carry(self) -> None:
        async for pieces in Batches(self._inbox, PIECES_AHEAD):
            piece = _joined(pieces)
            await self._env.room()
            with self._meter.working():
                for begin in range(0, len(piece.messages), MOST_AT_ONCE):
                    part = slice(begin, begin + MOST_AT_ONCE)
                    await self._index(piece.messages[part], piece.bundles[part], piece.texts[part])
            for message in piece.others:
                await self._outboxes[message.stage].send(message)
            self._meter.handled += len(piece.messages) + len(piece.others)

    async def _index(
        self, messages: Sequence[CreatorEnriched], bundles: Sequence[CreatorBundle], texts: Sequence[TextDocument]
    ) -> None:
        """What was changed or erased since it was stored goes another way."""
        with trio.CancelScope(shield=True):
            async with self._turn:
                current = {message.entity for message in await self._work.current(messages)}
                stand = [message.entity in current for message in messages]
                if any(stand):
                    kept, texts = list(compress(bundles, stand)), list(compress(texts, stand))
                    await self._writer.index(kept, list(compress(messages, stand)), texts=texts)

    async def _said_again(self, lines: Sequence[bytes], kinds: bytes, now: int) -> list[LineVerdict]:
        noted = [line for line, kind in zip(lines, kinds, strict=True) if kind & NOTED]
        made = await self._read(noted, now) if noted else []
        taken = await self._env.read(lambda txn: [_noted(txn, one) for one in made])
        details = map(_detail, made, taken)
        return [LineVerdict(verdict=_verdict(kind), detail=next(details) if kind & NOTED else "") for kind in kinds]


def _verdict(kind: int) -> str:
    return KINDS[kind & ~NOTED]


def _detail(line: Packed | str, taken: TakenIn | None) -> str:
    return line if isinstance(line, str) else "; ".join([*line.notes, *(taken.notes if taken else ())])


def _noted(txn: Txn, line: Packed | str) -> TakenIn | None:
    """What was noted of a line that was taken in before."""
    return None if isinstance(line, str) else TakenIn(verdict=KNOWN, notes=notes_on(lacking(txn, line)))


def _joined(pieces: Sequence[_Stored]) -> _Stored:
    """What waits is indexed together: a commit of the text index costs about the same for one piece as for three."""
    return _Stored(
        messages=[message for piece in pieces for message in piece.messages],
        bundles=[bundle for piece in pieces for bundle in piece.bundles],
        texts=[text for piece in pieces for text in piece.texts],
        others=[message for piece in pieces for message in piece.others],
    )


def _stored(taken: Sequence[TakenIn]) -> _Stored:
    ready = [
        (message, one.bundle, one.text)
        for one in taken
        if one.bundle is not None and one.text is not None
        for message in one.work
        if isinstance(message, CreatorEnriched)
    ]
    return _Stored(
        messages=[message for message, _, _ in ready],
        bundles=[bundle for _, bundle, _ in ready],
        texts=[text for _, _, text in ready],
        others=[message for one in taken if one.bundle is None for message in one.work],
    )
