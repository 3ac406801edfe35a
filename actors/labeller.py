"""Asks a language model what creators are about, in the background; what it says is stored with who said it.

It works off the queue of `stores.labels`, several creators a call and several calls at once. Nothing waits for it: while
it is down, unsure or out of money, the local classifier's labels stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
import trio

from actors import Meter, Outbox
from actors.circuit import Circuit
from actors.labelling import (
    LLM,
    Basis,
    LabelRules,
    basis_of,
    creator_texts,
    digest_of,
    due_at,
    plain_micros,
    stands,
    with_llm_labels,
)
from actors.policy import Policy, derivable
from models.classification import Classification, Prompt, answer_tokens, prompt_of, read_answer, schema_of
from models.language_model import BadAnswer, Reply, Unanswered
from models.local_classifier import CreatorTexts
from models.taxonomy import Taxonomy
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import AccountKey, CreatorId, Platform
from proto.labelling import Labelling, Outcome
from proto.messages import AnyWork, CreatorAggregated, CreatorEnriched, Stage
from proto.records import Creator, DeadLetter, Event
from stores.catalog import Catalog, CreatorBundle, get_creator, put_creator
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.labels import (
    DAY_SECONDS,
    Allowance,
    drop_labelling,
    due_creators,
    get_labelling,
    put_labelling,
    reserve,
    settle,
)
from stores.work import enqueue, put_dead_letter

IDLE_SECONDS = 2.0
"""Between looks at an empty queue."""
THROTTLED_SECONDS = 60.0
"""Rest after a 429 that does not say how long."""
TRIES = 2
"""An answer that is refused is asked for once more, with what was wrong about it."""
NO_SUCH_MODEL = (404, 405, 410)
"""Refusals that are not about what was sent."""
REFUSALS = 3
"""Of lone creators in a row after which the endpoint itself is in doubt, as one that does not know the model's name."""
BAD_ANSWER = "bad_answer"
"""Reason of the dead letter of a creator that no valid answer is to be had on."""


class Model(Protocol):
    """As `models.language_model.LanguageModel`."""

    model: str
    name: str

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        """Raises PokedexError."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """``prices``: of a million prompt and completion tokens; an answer less sure than ``promote_below`` is asked of the
    next tier too."""

    model: Model
    prices: tuple[float, float] = (0.0, 0.0)
    promote_below: float = 0.0


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How it is asked. ``min_confidence``: an answer less sure than this leaves the local label standing."""

    rules: LabelRules
    allowance: Allowance
    creators_per_call: int
    creator_tokens: int
    concurrency: int
    min_confidence: float


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A creator that is due, as it was when it was taken. ``accounts``: all of it, also those that write nothing."""

    creator_id: CreatorId
    accounts: list[AccountKey]
    labelling: Labelling
    basis: Basis
    texts: CreatorTexts
    digest: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``said`` None: no valid answer, for the reason ``problem``."""

    said: Classification | None
    model: str
    problem: str = ""


class AllowanceSpent(Exception):
    """Nothing more is asked today."""


class Labeller:
    """``answering`` is told whether the first tier's endpoint answers."""

    def __init__(
        self,
        outbox: Outbox[AnyWork],
        *,
        env: Environment,
        catalog: Catalog,
        journal: Journal,
        tiers: Sequence[Tier],
        asking: Asking,
        taxonomy: Taxonomy,
        policies: Mapping[Platform, Policy],
        recent_items: int,
        now: Callable[[], float],
        answering: Callable[[bool], None],
        stop: trio.Event,
        meter: Meter,
    ) -> None:
        self._outbox, self._env, self._catalog, self._journal = outbox, env, catalog, journal
        self._tiers, self._asking, self._taxonomy = tiers, asking, taxonomy
        self._models = ",".join(tier.model.model for tier in tiers)
        self._policies, self._recent_items, self._now = policies, recent_items, now
        self._answering, self._stop, self._meter = answering, stop, meter
        self._taken: set[CreatorId] = set()
        self._circuit = Circuit()
        self._later_circuits = [Circuit() for _ in tiers[1:]]
        self._alone: set[CreatorId] = set()
        self._refusals = 0
        self._rest_until = 0.0
        self._spent_day = -1
        self._refused_key = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self._asking.concurrency):
                nursery.start_soon(self._work)
            await self._stop.wait()
            nursery.cancel_scope.cancel("shutdown")

    async def _work(self) -> None:
        while True:
            taken = await self._take()
            if not taken:
                await trio.sleep(IDLE_SECONDS)
                continue
            try:
                with self._meter.working():
                    following = await self._label(taken)
                self._meter.handled += len(taken)
            finally:
                self._taken.difference_update(taken)
            for message in following:
                await self._outbox.send(message)

    async def _take(self) -> list[CreatorId]:
        """Durations are of the process's own clock, so that a frozen world clock stalls nothing."""
        resting = trio.current_time() < max(self._rest_until, self._circuit.rest_until)
        if self._refused_key or resting or self._spent_day == self._today():
            return []
        wanted = self._asking.creators_per_call
        due = await self._env.read(partial(due_creators, now=int(self._now()), limit=wanted + len(self._taken)))
        taken = [creator_id for creator_id in due if creator_id not in self._taken][:wanted]
        self._taken.update(taken)
        return taken

    def _today(self) -> int:
        return int(self._now()) // DAY_SECONDS

    async def _label(self, taken: Sequence[CreatorId]) -> list[AnyWork]:
        labellings = await self._env.read(lambda txn: [get_labelling(txn, creator_id) for creator_id in taken])
        bundles = await self._catalog.creator_bundles(taken, self._recent_items)
        subjects = [
            self._subject(bundle, labelling)
            for bundle, labelling in zip(bundles, labellings, strict=True)
            if bundle is not None and labelling is not None
        ]
        to_ask = [one for one in subjects if one.basis.accounts and not self._answered(one)]
        answers = await self._answers(to_ask)
        gone = [creator_id for creator_id, bundle in zip(taken, bundles, strict=True) if bundle is None]
        following, letters = await self._env.write(
            partial(self._store, subjects=subjects, asked=to_ask, answers=answers, gone=gone)
        )
        for letter in letters:
            await self._tell("dead_letter", "warning", f"{letter.reason}: {letter.detail}", letter.entity)
        return following

    def _subject(self, bundle: CreatorBundle, labelling: Labelling) -> Subject:
        bundle = msgspec.structs.replace(bundle, accounts=derivable(bundle.accounts, self._policies))
        texts = creator_texts(bundle)
        return Subject(
            creator_id=bundle.creator.creator_id,
            accounts=bundle.creator.account_keys,
            labelling=labelling,
            basis=basis_of(bundle),
            texts=texts,
            digest=digest_of(self._prompt([texts]).user),
        )

    def _answered(self, subject: Subject) -> bool:
        """The same texts are not paid for twice, unless other models are there by the time that they are due."""
        asked = subject.labelling
        if asked.asked_models not in ("", self._models):
            return False
        same = asked.asked_versions == self._asking.rules.versions and asked.asked_digest == subject.digest
        return asked.outcome is not Outcome.NONE and asked.accounts == subject.basis.accounts and same

    def _prompt(self, texts: Sequence[CreatorTexts]) -> Prompt:
        asking = self._asking
        return prompt_of(
            texts, self._taxonomy, language=asking.rules.language, max_creator_tokens=asking.creator_tokens
        )

    async def _answers(self, subjects: Sequence[Subject]) -> dict[CreatorId, Answer]:
        """Of those that were answered or refused for good; the others stay in the queue."""
        answers: dict[CreatorId, Answer] = {}
        if not subjects:
            return answers
        try:
            await self._ask_first(subjects, answers)
        except AllowanceSpent:
            await self._tell_spent()
        except PokedexError as error:
            await self._failed(error)
        else:
            if self._circuit.answered():
                self._answering(True)
                await self._tell("llm_back", "info", "the endpoint answers again")
        await self._promote([one for one in subjects if one.creator_id in answers], answers)
        return answers

    async def _ask_first(self, subjects: Sequence[Subject], answers: dict[CreatorId, Answer]) -> None:
        """Of the first model, into ``answers``: what was answered before a failure has been paid for, and counts.

        A pack without a valid answer is asked for one by one, so that only the guilty one falls; also later, when the
        allowance ends in between. Raises AllowanceSpent, and PokedexError.
        """
        tier = self._tiers[0]
        if len(subjects) == 1 or not self._alone.isdisjoint(one.creator_id for one in subjects):
            for subject in subjects:
                answers[subject.creator_id] = await self._first_answer(tier, subject)
                self._alone.discard(subject.creator_id)
                if self._refusals >= REFUSALS:
                    raise Unavailable(answers[subject.creator_id].problem)
            return
        try:
            said = await self._call(tier, subjects)
        except (Malformed, Rejected) as error:
            if isinstance(error, Rejected) and error.status in NO_SUCH_MODEL:
                raise
            self._alone.update(one.creator_id for one in subjects)
            await self._ask_first(subjects, answers)
            return
        self._refusals = 0
        for subject, one in zip(subjects, said, strict=True):
            answers[subject.creator_id] = Answer(said=one, model=tier.model.model)

    async def _first_answer(self, tier: Tier, subject: Subject) -> Answer:
        try:
            (said,) = await self._call(tier, [subject])
        except (Malformed, Rejected) as error:
            if isinstance(error, Rejected):
                if error.status in NO_SUCH_MODEL:
                    raise
                self._refusals += 1
            return Answer(said=None, model=tier.model.model, problem=str(error))
        self._refusals = 0
        return Answer(said=said, model=tier.model.model)

    async def _promote(self, subjects: Sequence[Subject], answers: dict[CreatorId, Answer]) -> None:
        """What a cheaper model is unsure of is asked of the next; if that fails, the cheaper one's word counts."""
        for below, tier, circuit in zip(self._tiers, self._tiers[1:], self._later_circuits, strict=False):
            for subject in subjects:
                said = answers[subject.creator_id].said
                if said is not None and said.confidence >= below.promote_below:
                    continue
                if circuit.resting(trio.current_time()) or self._spent_day == self._today():
                    break
                try:
                    (better,) = await self._call(tier, [subject])
                except AllowanceSpent:
                    await self._tell_spent()
                except (Malformed, Rejected) as error:
                    await self._tell("llm_promotion_failed", "warning", f"{tier.model.name}: {error}")
                except PokedexError as error:
                    known = circuit.open
                    circuit.failed(trio.current_time())
                    if not known:
                        await self._tell("llm_promotion_failed", "warning", f"{tier.model.name}: {error}")
                else:
                    circuit.answered()
                    answers[subject.creator_id] = Answer(said=better, model=tier.model.model)

    async def _call(self, tier: Tier, subjects: Sequence[Subject]) -> list[Classification]:
        """Raises Malformed when the second answer is not valid either, AllowanceSpent, and what the model raises."""
        prompt = self._prompt([subject.texts for subject in subjects])
        schema = schema_of(self._taxonomy, self._asking.rules.language, len(subjects))
        tries = TRIES
        while True:
            tries -= 1
            try:
                reply = await self._paid(tier, prompt, schema, answer_tokens(len(subjects)))
                return read_answer(reply.data, self._taxonomy, len(subjects))
            except Malformed as error:
                if not tries:
                    raise
                prompt = prompt.refused(str(error))

    async def _paid(self, tier: Tier, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Reply:
        """Reserved before, settled after; a crash in between leaves the reservation, so that nothing is overspent."""
        at, name = self._now(), tier.model.name
        reserved = (prompt.tokens + max_tokens, plain_micros((prompt.tokens, max_tokens), tier.prices))
        allowed = await self._env.write(
            partial(
                reserve, name=name, now=at, tokens=reserved[0], micros=reserved[1], allowance=self._asking.allowance
            )
        )
        if not allowed:
            raise AllowanceSpent
        settled = partial(self._settle, tier, at, reserved)
        try:
            reply = await tier.model.extract(prompt.system, prompt.user, schema, max_tokens=max_tokens)
        except BadAnswer as error:
            await settled((error.prompt_tokens, error.completion_tokens))
            raise
        except Unanswered:
            await settled((prompt.tokens, max_tokens))
            raise
        except PokedexError:
            await settled((0, 0))
            raise
        finally:
            self._meter.moved()
        await settled((reply.prompt_tokens, reply.completion_tokens))
        return reply

    async def _settle(self, tier: Tier, at: float, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        micros = plain_micros(used, tier.prices)
        name = tier.model.name
        await self._env.write(partial(settle, name=name, reserved_at=at, reserved=reserved, used=used, micros=micros))

    async def _failed(self, error: PokedexError) -> None:
        """Everything stays in the queue."""
        if isinstance(error, AuthFailed):
            self._refused_key = True
            self._answering(False)
            await self._tell("llm_key_refused", "error", f"{error}; mend llm.key and start again")
        elif isinstance(error, Throttled):
            if error.daily:
                await self._tell_spent()
            self._rest_until = trio.current_time() + (error.retry_after_seconds or THROTTLED_SECONDS)
        elif self._circuit.failed(trio.current_time()):
            self._answering(False)
            await self._tell("llm_down", "warning", str(error))

    async def _tell_spent(self) -> None:
        if self._spent_day != self._today():
            self._spent_day = self._today()
            await self._tell("llm_allowance_spent", "warning", "nothing more is asked before the next day (UTC)")

    async def _tell(self, kind: str, severity: str, detail: str, subject: str = LLM) -> None:
        await self._journal.event(
            Event(at=int(self._now()), kind=kind, severity=severity, subject=subject, detail=detail[:300])
        )

    def _store(
        self,
        txn: Txn,
        subjects: Sequence[Subject],
        asked: Sequence[Subject],
        answers: Mapping[CreatorId, Answer],
        gone: Sequence[CreatorId],
    ) -> tuple[list[AnyWork], list[DeadLetter]]:
        """What changed while it was asked about is left to be asked about again."""
        for creator_id in gone:
            drop_labelling(txn, creator_id)
        following: list[AnyWork] = []
        letters: list[DeadLetter] = []
        waiting = {one.creator_id for one in asked} - answers.keys()
        for subject in subjects:
            held = get_labelling(txn, subject.creator_id)
            if subject.creator_id in waiting or held is None or held != subject.labelling:
                continue
            answer = answers.get(subject.creator_id)
            if answer is None:
                self._stamp(txn, subject)
                continue
            creator = get_creator(txn, subject.creator_id)
            if creator is None:
                drop_labelling(txn, subject.creator_id)
            elif creator.account_keys == subject.accounts:  # else it was asked about somebody else
                if answer.said is None:
                    letters.append(put_dead_letter(txn, self._letter(subject, answer)))
                following += self._answered_with(txn, creator, subject, answer)
        return following, letters

    def _stamp(self, txn: Txn, subject: Subject) -> None:
        """Nothing to ask about, or asked before: the next time counts from now."""
        now = int(self._now())
        fresh = msgspec.structs.replace(subject.labelling, asked_at=now, vector=subject.basis.vector)
        due = due_at(fresh, subject.basis, self._asking.rules, now)
        put_labelling(txn, subject.creator_id, msgspec.structs.replace(fresh, due_at=due))

    def _answered_with(self, txn: Txn, creator: Creator, subject: Subject, answer: Answer) -> list[AnyWork]:
        sure = answer.said is not None and answer.said.confidence >= self._asking.min_confidence
        labelling = self._labelled(subject, answer) if sure else self._left_as_it_was(subject, answer)
        put_labelling(txn, subject.creator_id, self._noted(subject, labelling))
        if not sure:
            return []
        put_creator(txn, with_llm_labels(creator, labelling))
        return [enqueue(txn, CreatorEnriched(creator_id=subject.creator_id), self._now())]

    def _labelled(self, subject: Subject, answer: Answer) -> Labelling:
        said, rules = answer.said, self._asking.rules
        assert said is not None
        return Labelling(
            outcome=Outcome.LABELLED,
            at=int(self._now()),
            model=answer.model,
            digest=subject.digest,
            prompt_version=rules.prompt_version,
            taxonomy_version=rules.taxonomy_version,
            primary_niche=said.primary_niche,
            secondary_niches=list(said.secondary_niches),
            content_style=said.content_style,
            summary=said.llm_summary,
            confidence=said.confidence,
        )

    def _left_as_it_was(self, subject: Subject, answer: Answer) -> Labelling:
        """Labels of an earlier answer go on standing; where there are none, the local ones do."""
        if stands(subject.labelling, subject.basis, self._taxonomy):
            return subject.labelling
        return Labelling(outcome=Outcome.REFUSED if answer.said is None else Outcome.UNSURE)

    def _noted(self, subject: Subject, labelling: Labelling) -> Labelling:
        """With what was asked, and when it is asked again."""
        now, rules = int(self._now()), self._asking.rules
        asked = msgspec.structs.replace(
            labelling,
            accounts=subject.basis.accounts,
            asked_at=now,
            asked_digest=subject.digest,
            asked_versions=rules.versions,
            asked_models=self._models,
            vector=subject.basis.vector,
        )
        return msgspec.structs.replace(asked, due_at=due_at(asked, subject.basis, rules, now))

    def _letter(self, subject: Subject, answer: Answer) -> DeadLetter:
        now = int(self._now())
        message = CreatorAggregated(creator_id=subject.creator_id)
        return DeadLetter(
            letter_id="",
            stage=Stage.ENRICHER.value,
            entity=str(subject.creator_id),
            reason=BAD_ANSWER,
            detail=f"{answer.model}: {answer.problem}"[:500],
            payload=msgspec.msgpack.encode(message),
            first_seen_at=now,
            last_seen_at=now,
        )
