"""What did not succeed by itself: shown to the operator, and put back to be tried again."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import msgspec

from actors.labeller import BAD_ANSWER
from daemon.raw_export import mask_secrets
from daemon.web.views import instant
from proto.api import DeadLetterPage, DeadLetterView
from proto.errors import Malformed, NotFound
from proto.messages import STAGE_OF, AnyWork, CreatorAggregated
from proto.records import AuditEvent, DeadLetter, Job
from stores.audit import OPERATOR, Actor, append_audit
from stores.codec import decode
from stores.env import Environment, Txn
from stores.labels import ask_again
from stores.schedule import put_job
from stores.work import decode_message, enqueue

LETTER_ID_CHARS = 16
LETTER_ID = re.compile(rf"[0-9a-f]{{{LETTER_ID_CHARS}}}")
PAGE = 500
_MESSAGE_STAGES = {stage.value for stage in STAGE_OF.values()}


class DeadLetters:
    """Pages of letters by id, and their replay."""

    def __init__(self, env: Environment, *, now: Callable[[], float]) -> None:
        self._env, self._now = env, now

    async def page(self, *, reason: str = "", cursor: str = "", limit: int = PAGE) -> DeadLetterPage:
        """Letters of a reason (empty: any) behind the cursor of the page before."""
        return await self._env.read(partial(_page, reason=reason, cursor=cursor, limit=limit))

    async def replay(self, letter_id: str, by: Actor = OPERATOR) -> DeadLetterView:
        """Puts back what the letter holds, removes the letter and notes it in the audit trail, all or nothing.

        Durable on return. Raises NotFound, or Malformed when this version cannot read what the letter holds.
        """
        if not LETTER_ID.fullmatch(letter_id):
            raise NotFound(f"no dead letter {letter_id[:40]!r}")
        letter = await self._env.write(partial(_replay, letter_id=letter_id, now=self._now(), by=by), synced=True)
        return view(letter)


def view(letter: DeadLetter) -> DeadLetterView:
    return DeadLetterView(
        letter_id=letter.letter_id,
        stage=letter.stage,
        entity=letter.entity,
        reason=letter.reason,
        detail=mask_secrets(letter.detail),
        request=mask_secrets(letter.request),
        first_seen_at=instant(letter.first_seen_at) or "",
        last_seen_at=instant(letter.last_seen_at) or "",
        count=letter.count,
        replay=f"pokedexd ctl replay {letter.letter_id}" if _replayable(letter) else "",
    )


def payload_of(letter: DeadLetter) -> Job | AnyWork:
    """Stages that take stored work keep the message, those before them the job. Raises Malformed."""
    try:
        if letter.stage in _MESSAGE_STAGES:
            return decode_message(letter.payload)
        return msgspec.msgpack.decode(letter.payload, type=Job)
    except msgspec.DecodeError as error:
        raise Malformed(f"dead letter {letter.letter_id}: what it holds cannot be read: {error}") from error


def _replayable(letter: DeadLetter) -> bool:
    try:
        payload_of(letter)
    except Malformed:
        return False
    return True


def _page(txn: Txn, reason: str, cursor: str, limit: int) -> DeadLetterPage:
    letters: list[DeadLetterView] = []
    total, more = 0 if reason else txn.entries("dead_letters"), False
    start = None if reason else cursor[:LETTER_ID_CHARS].encode()  # only letters of a reason have to be counted
    for _, value in txn.scan("dead_letters", start=start):
        letter = decode(DeadLetter, value)
        if reason and letter.reason != reason:
            continue
        total += bool(reason)
        if letter.letter_id > cursor and len(letters) < limit:
            letters.append(view(letter))
        elif letter.letter_id > cursor:
            more = True
            if not reason:
                break
    return DeadLetterPage(letters=letters, total=total, cursor=letters[-1].letter_id if more and letters else None)


def _replay(txn: Txn, letter_id: str, now: float, by: Actor) -> DeadLetter:
    stored = txn.get("dead_letters", letter_id.encode())
    if stored is None:
        raise NotFound(f"no dead letter {letter_id}; it may have been replayed or expired")
    letter = decode(DeadLetter, stored)
    payload = payload_of(letter)
    _put_back(txn, payload, now)
    if letter.reason == BAD_ANSWER and isinstance(payload, CreatorAggregated):
        ask_again(txn, payload.creator_id, int(now))
    txn.delete("dead_letters", letter_id.encode())
    _audit(txn, letter, int(now), by)
    return letter


def _put_back(txn: Txn, payload: Job | AnyWork, now: float) -> None:
    """A job that stands in the schedule is brought forward; one that is leased has its answer on the way already."""
    if isinstance(payload, Job):
        put_job(txn, msgspec.structs.replace(payload, attempts=0, due_at=int(now), last_error=""))
    else:
        enqueue(txn, payload, now)


def _audit(txn: Txn, letter: DeadLetter, now: int, by: Actor) -> None:
    detail = f"{letter.stage} {letter.entity}: {letter.reason}"
    entry = AuditEvent(at=now, tenant_id=by.tenant_id, actor=by.actor, action="replay", detail=detail)
    append_audit(txn, entry)
