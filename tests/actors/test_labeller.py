"""Asking a language model: whom, when, what for, and what happens when it does not behave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import trio

from actors import Meter, Outbox
from actors.enricher import Enricher
from actors.labeller import Asking, Labeller, Tier
from actors.labelling import LabelRules
from actors.policy import policies
from daemon.dead_letters import DeadLetters
from models.embedding_port import Vectors
from models.language_model import BadAnswer, Reply, Unanswered
from models.local_classifier import CreatorTexts, Label, LocalClassifier
from models.taxonomy import Taxonomy
from proto.errors import AuthFailed, PokedexError, Rejected, Throttled, Unavailable
from proto.ids import CreatorId, Platform
from proto.labelling import Labelling, Outcome
from proto.messages import AnyWork, CreatorAggregated
from proto.records import Activity, ContentItem, Creator, CreatorAccount, EmbeddingRecord, Enrichment, Event
from stores.blocking import Blocking
from stores.catalog import Catalog, get_creator, label_counts, put_account, put_creator, put_creator_embeddings
from stores.content import put_items
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.labels import Allowance, get_labelling, put_labelling, spent_on
from stores.work import Work, enqueue
from tests.founding import found_creator

NOW = 1_790_000_000
DAY = 86_400
TAXONOMY = Taxonomy.load(None)
RULES = LabelRules(
    taxonomy_version=TAXONOMY.version, prompt_version="p1", language="en", drift_cosine=0.8, max_age_seconds=90 * DAY
)
SUMMARY = "Cooks simple dinners for busy families and shows every step of each recipe in short clear videos"

Said = dict[str, Any] | PokedexError


def always(said: Said) -> Callable[[int, int], Said]:
    return lambda *_: said


class Scripted:
    """Answers each creator of a question by ``say``, which is given the call's number and the creator's place."""

    model = "scripted"

    def __init__(self, say: Callable[[int, int], Said], name: str = "llm/scripted") -> None:
        self.say, self.name, self.prompts = say, name, list[str]()

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        assert system
        assert max_tokens > 0
        await trio.lowlevel.checkpoint()
        self.prompts.append(prompt)
        count = schema["properties"]["creators"]["minItems"]
        said = [self.say(len(self.prompts), place) for place in range(count)]
        for one in said:
            if isinstance(one, PokedexError):
                raise one
        data = {"creators": [{"id": f"c{place + 1}", **one} for place, one in enumerate(said) if isinstance(one, dict)]}
        return Reply(data=data, model=self.model, prompt_tokens=500, completion_tokens=60, form="json_schema")


def label(niche: str = "food", confidence: float = 0.9, **other: Any) -> dict[str, Any]:
    return {
        "primary_niche": niche,
        "secondary_niches": [],
        "content_style": TAXONOMY.styles[0].id,
        "llm_summary": SUMMARY,
        "confidence": confidence,
    } | other


class Desk:
    """A store with creators, an Enricher and a Labeller over it."""

    def __init__(self, folder: Path, **asking: Any) -> None:
        self.now = float(NOW)
        self.env = Environment(folder, map_size_bytes=1 << 28)
        self.events: list[Event] = []
        self.journal = Journal(self.env, self.events.append)
        self.rules: LabelRules | None = RULES
        self.classifier = LocalClassifier(TAXONOMY, None)
        self.asking = msgspec.structs.replace(
            Asking(
                rules=RULES,
                allowance=Allowance(tokens=1_000_000),
                creators_per_call=2,
                creator_tokens=300,
                concurrency=1,
                min_confidence=0.3,
            ),
            **asking,
        )
        self.answers: list[bool] = []

    async def settle(self, creators: Sequence[CreatorId]) -> None:
        """Through the Enricher."""
        into, inbox = trio.open_memory_channel[AnyWork](100)
        out, _behind = trio.open_memory_channel[AnyWork](100)
        for creator_id in creators:
            message = CreatorAggregated(creator_id=creator_id)
            await into.send(await self.env.write(partial(enqueue, message=message, now=self.now)))
        into.close()
        await Enricher(
            inbox,
            Outbox(out, Meter()),
            env=self.env,
            catalog=Catalog(self.env),
            work=Work(self.env),
            classifier=self.classifier,
            taxonomy=TAXONOMY,
            rules=self.rules,
            policies=policies("granted"),
            threads=Blocking("labels", 1, trio.to_thread.run_sync),
            recent_items=20,
            now=lambda: self.now,
            batch=8,
            meter=Meter(),
        ).run()

    @asynccontextmanager
    async def asked(self, *models: Scripted, promote_below: float = 0.0) -> AsyncIterator[None]:
        """While the Labeller works; ends with it."""
        tiers = [Tier(model=model, prices=(1.0, 2.0), promote_below=promote_below) for model in models]
        stop = trio.Event()
        out, _behind = trio.open_memory_channel[AnyWork](100)
        labeller = Labeller(
            Outbox(out, Meter()),
            env=self.env,
            catalog=Catalog(self.env),
            journal=self.journal,
            tiers=tiers,
            asking=self.asking,
            taxonomy=TAXONOMY,
            policies=policies("granted"),
            recent_items=20,
            now=lambda: self.now,
            answering=self.answers.append,
            stop=stop,
            meter=Meter(),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(labeller.run)
            yield
            stop.set()

    async def until(self, look: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not look():
                await trio.lowlevel.checkpoint()

    def creator(self, creator_id: CreatorId) -> Creator:
        with self.env.snapshot() as txn:
            found = get_creator(txn, creator_id)
        assert found is not None
        return found

    def waits(self, creator_id: CreatorId) -> bool:
        return 0 < self.labelling(creator_id).due_at <= self.now

    def labelling(self, creator_id: CreatorId) -> Labelling:
        with self.env.snapshot() as txn:
            found = get_labelling(txn, creator_id)
        assert found is not None
        return found

    def methods(self, creators: Sequence[CreatorId]) -> list[str]:
        stored = [self.creator(one).enrichment for one in creators]
        return [one.method if one else "" for one in stored]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def counts(self) -> Mapping[str, int]:
        with self.env.snapshot() as txn:
            return label_counts(txn)


def vector(seed: int) -> bytes:
    made = np.random.default_rng(seed).standard_normal(16)
    return np.asarray(made / np.linalg.norm(made), "<f2").tobytes()


def put_person(txn: Txn, number: int, *, text: str = "Easy pasta recipe for dinner", seed: int = 1) -> CreatorId:
    account = CreatorAccount(
        platform=Platform.YOUTUBE,
        platform_user_id=f"UC{number:021d}A",
        handle=f"@cook{number}",
        display_name=f"Cook {number}",
        bio="Cooking for families",
        fetched_at=NOW,
    )
    put_account(txn, account)
    items = [
        ContentItem(
            content_id=f"v{number}-{place}",
            account_key=account.key,
            title_or_caption=f"{text} {place}",
            published_at=NOW - place * DAY,
        )
        for place in range(4)
    ]
    put_items(txn, account.key, items)
    creator = found_creator(txn, account, NOW)
    put_creator(
        txn,
        msgspec.structs.replace(
            creator, name=account.display_name, account_keys=[account.key], activity=Activity.ACTIVE
        ),
    )
    put_vector(txn, creator.creator_id, seed)
    return creator.creator_id


def put_vector(txn: Txn, creator_id: CreatorId, seed: int) -> None:
    record = EmbeddingRecord(
        field="yt_content", model_id="m", dims=16, input_hash=str(seed), vector=vector(seed), updated_at=NOW
    )
    put_creator_embeddings(txn, creator_id, [record])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.env.close()


async def people(desk: Desk, count: int) -> list[CreatorId]:
    made = [await desk.env.write(partial(put_person, number=number)) for number in range(count)]
    await desk.settle(made)
    return made


async def test_everybody_is_labelled_locally_at_once_and_by_the_model_after(desk: Desk) -> None:
    creators = await people(desk, 5)
    assert set(desk.methods(creators)) == {"local"}
    model = Scripted(always(label()))
    async with desk.asked(model):
        await desk.until(lambda: set(desk.methods(creators)) == {"llm"})
    found = desk.creator(creators[0])
    assert (found.primary_niche, found.llm_summary) == ("food", SUMMARY)
    assert found.enrichment is not None
    assert (found.enrichment.model, found.enrichment.prompt_version) == ("scripted", "p1")
    assert found.enrichment.taxonomy_version == TAXONOMY.version
    assert found.enrichment.at == NOW
    assert len(model.prompts) == 3, "two creators a call"
    assert desk.counts() == {"local": 0, "llm": 5}
    with desk.env.snapshot() as txn:
        spend = spent_on(txn, desk.now)["llm/scripted"]
    assert (spend.calls, spend.prompt_tokens, spend.completion_tokens) == (3, 1_500, 180)
    assert (spend.micros, spend.reserved_tokens) == (1_500 + 2 * 180, 0)


async def test_the_same_input_is_not_asked_twice_not_even_with_age(desk: Desk) -> None:
    creators = await people(desk, 2)
    model = Scripted(always(label()))
    async with desk.asked(model):
        await desk.until(lambda: set(desk.methods(creators)) == {"llm"})
    before = [desk.creator(one) for one in creators]
    await desk.settle(creators)
    assert [desk.creator(one) for one in creators] == before
    desk.now += 91 * DAY
    async with desk.asked(model):
        await desk.until(lambda: all(desk.labelling(one).due_at > desk.now for one in creators))
    assert len(model.prompts) == 1
    assert [desk.creator(one) for one in creators] == before


async def test_another_model_is_asked_about_the_same_texts_once_they_are_old(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    async with desk.asked(Scripted(always(label()))):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    other = Scripted(always(label("travel")))
    other.model = "another"
    await desk.settle([creator])
    assert not desk.waits(creator), "a new model alone is no reason to pay for everybody anew"
    desk.now += 91 * DAY
    async with desk.asked(other):
        await desk.until(lambda: desk.creator(creator).primary_niche == "travel")
    desk.now += 91 * DAY
    async with desk.asked(other):
        await desk.until(lambda: not desk.waits(creator))
    assert len(other.prompts) == 1


async def test_drifted_content_is_asked_about_again_and_the_old_label_stands_meanwhile(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    async with desk.asked(Scripted(always(label()))):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])

    def drift(txn: Txn) -> None:
        put_person(txn, 0, text="New engine and road test of a car")
        put_vector(txn, creator, 2)

    await desk.env.write(drift)
    desk.now += DAY
    await desk.settle([creator])
    assert desk.creator(creator).primary_niche == "food"
    async with desk.asked(Scripted(always(label("autos")))):
        await desk.until(lambda: desk.creator(creator).primary_niche == "autos")


async def test_what_is_nearly_the_same_is_left_alone_until_it_is_old(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    async with desk.asked(Scripted(always(label()))):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    await desk.env.write(partial(put_person, number=0, text="Another pasta"))
    await desk.settle([creator])
    assert desk.labelling(creator).due_at == NOW + 90 * DAY
    desk.now += 90 * DAY
    async with desk.asked(Scripted(always(label("travel")))):
        await desk.until(lambda: desk.creator(creator).primary_niche == "travel")


@pytest.mark.parametrize("change", [{"prompt_version": "p2"}, {"taxonomy_version": "t2"}, {"language": "de"}])
async def test_another_prompt_taxonomy_or_language_asks_anew(desk: Desk, change: dict[str, str]) -> None:
    (creator,) = await people(desk, 1)
    async with desk.asked(Scripted(always(label()))):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    desk.rules = msgspec.structs.replace(RULES, **change)
    desk.asking = msgspec.structs.replace(desk.asking, rules=desk.rules)
    await desk.settle([creator])
    async with desk.asked(Scripted(always(label("travel")))):
        await desk.until(lambda: desk.creator(creator).primary_niche == "travel")


async def test_without_an_endpoint_answers_stand_until_the_creator_is_another(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    async with desk.asked(Scripted(always(label("travel")))):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    desk.rules = None
    await desk.settle([creator])
    assert desk.creator(creator).primary_niche == "travel"

    def blank(txn: Txn) -> None:
        found = put_person(txn, 0)
        labelling = get_labelling(txn, found)
        assert labelling is not None
        put_labelling(txn, found, msgspec.structs.replace(labelling, accounts=["youtube:another"]))

    await desk.env.write(blank)
    await desk.settle([creator])
    assert desk.methods([creator]) == ["local"]
    with desk.env.snapshot() as txn:
        assert get_labelling(txn, creator) is None


async def test_an_allowance_of_nothing_asks_nobody_and_says_so_once_a_day(tmp_path: Path) -> None:
    desk = Desk(tmp_path, allowance=Allowance(tokens=0))
    creators = await people(desk, 3)
    model = Scripted(always(label()))
    async with desk.asked(model):
        await desk.until(lambda: "llm_allowance_spent" in desk.kinds())
    assert model.prompts == []
    assert set(desk.methods(creators)) == {"local"}
    assert desk.kinds() == ["llm_allowance_spent"]
    desk.env.close()


async def test_no_day_costs_more_than_its_allowance(tmp_path: Path) -> None:
    desk = Desk(tmp_path, allowance=Allowance(tokens=1_000_000, micros=8_000), creators_per_call=1)
    creators = await people(desk, 12)
    model = Scripted(always(label()))
    async with desk.asked(model):
        await desk.until(lambda: "llm_allowance_spent" in desk.kinds())
        spent_day_one = len(model.prompts)
        assert 0 < spent_day_one < 12
        desk.now += DAY
        await desk.until(lambda: len(model.prompts) > spent_day_one)
    with desk.env.snapshot() as txn:
        assert all(one.micros <= 8_000 for day in (NOW, desk.now) for one in spent_on(txn, day).values())
    assert desk.methods(creators).count("llm") > spent_day_one
    desk.env.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("no route"), "llm_down"),
        (Rejected("no such model", reason="http_404", status=404), "llm_down"),
        (AuthFailed("401", bucket="llm"), "llm_key_refused"),
        (Throttled("quota", bucket="llm", daily=True), "llm_allowance_spent"),
    ],
)
async def test_a_broken_endpoint_is_told_once_and_loses_nobody(desk: Desk, error: PokedexError, kind: str) -> None:
    creators = await people(desk, 4)
    model = Scripted(always(error))
    async with desk.asked(model):
        await desk.until(lambda: kind in desk.kinds())
        for _ in range(50):
            await trio.lowlevel.checkpoint()
    assert desk.kinds() == [kind]
    assert len(model.prompts) <= 3
    assert set(desk.methods(creators)) == {"local"}
    async with desk.asked(Scripted(always(label()))):  # as after a restart
        desk.now += DAY
        await desk.until(lambda: set(desk.methods(creators)) == {"llm"})


async def test_a_bad_answer_is_asked_once_more_with_what_was_wrong(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    model = Scripted(lambda call, _: label("nonsense") if call == 1 else label())
    async with desk.asked(model):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    assert "nonsense" not in model.prompts[0]
    assert "nonsense" in model.prompts[1]


async def test_who_cannot_be_answered_is_a_dead_letter_and_the_others_of_the_pack_are_labelled(desk: Desk) -> None:
    creators = await people(desk, 2)
    bad = BadAnswer("the model refuses", model="scripted", prompt_tokens=100, completion_tokens=5)

    def say(call: int, place: int) -> Said:
        return bad if call <= 2 or call in (4, 5) else label()

    model = Scripted(say)
    async with desk.asked(model):
        await desk.until(lambda: len(model.prompts) == 5 and desk.labelling(creators[1]).outcome is not Outcome.NONE)
    assert sorted(desk.methods(creators)) == ["llm", "local"]
    (letter,) = await Work(desk.env).dead_letters()
    assert (letter.reason, letter.stage) == ("bad_answer", "enricher")
    assert [(event.kind, event.subject) for event in desk.events] == [("dead_letter", letter.entity)]
    left = CreatorId(int(letter.entity))
    other = await desk.env.write(partial(put_person, number=9))
    await desk.settle([*creators, other])
    again = Scripted(always(label()))
    async with desk.asked(again):
        await desk.until(lambda: desk.methods([other]) == ["llm"])
    assert len(again.prompts) == 1
    assert "Cook 9" in again.prompts[0]
    assert "Label 1 creator" in again.prompts[0], "the same texts are not asked about again by themselves"
    await DeadLetters(desk.env, now=lambda: desk.now).replay(letter.letter_id)
    async with desk.asked(again):
        await desk.until(lambda: desk.methods([left]) == ["llm"])


async def test_an_unsure_answer_leaves_the_local_label(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    local = desk.creator(creator)
    async with desk.asked(Scripted(always(label("travel", confidence=0.1)))):
        await desk.until(lambda: desk.labelling(creator).outcome is Outcome.UNSURE)
    assert desk.creator(creator) == local


async def test_the_second_model_is_asked_where_the_first_is_unsure(desk: Desk) -> None:
    creators = await people(desk, 2)
    first = Scripted(lambda _, place: label(confidence=0.9 if place else 0.4))
    second = Scripted(always(label("travel")), name="llm/large")
    async with desk.asked(first, second, promote_below=0.6):
        await desk.until(lambda: set(desk.methods(creators)) == {"llm"})
    assert sorted(str(desk.creator(one).primary_niche) for one in creators) == ["food", "travel"]
    assert (len(first.prompts), len(second.prompts)) == (1, 1)


async def test_the_first_models_word_counts_where_the_second_fails(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    second = Scripted(always(Unavailable("gone")), name="llm/large")
    async with desk.asked(Scripted(always(label(confidence=0.4))), second, promote_below=0.6):
        await desk.until(lambda: desk.methods([creator]) == ["llm"])
    assert desk.kinds() == ["llm_promotion_failed"]


async def test_a_second_model_that_is_down_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """Each creator would otherwise wait for its time limit, and be an event."""
    desk = Desk(tmp_path)
    creators = await people(desk, 12)
    second = Scripted(always(Unavailable("no answer within 60 s")), name="llm/large")
    async with desk.asked(Scripted(always(label(confidence=0.4))), second, promote_below=0.6):
        await desk.until(lambda: set(desk.methods(creators)) == {"llm"})
    assert len(second.prompts) == 3
    assert desk.kinds() == ["llm_promotion_failed"] * 3
    desk.env.close()


async def test_an_endpoint_that_refuses_everybody_fells_only_a_few(tmp_path: Path) -> None:
    """As one that answers 400 to a model it does not know."""
    desk = Desk(tmp_path)
    creators = await people(desk, 30)
    model = Scripted(always(Rejected("not a valid model", reason="http_400", status=400)))
    async with desk.asked(model):
        await desk.until(lambda: "llm_down" in desk.kinds())
        for _ in range(50):
            await trio.lowlevel.checkpoint()
    assert len(await Work(desk.env).dead_letters()) <= 6
    assert set(desk.methods(creators)) == {"local"}
    async with desk.asked(Scripted(always(label()))):
        await desk.until(lambda: desk.methods(creators).count("llm") >= 24)
    desk.env.close()


class Spoilt(Scripted):
    """Refuses every question that Cook 3 is in, at 4,000 tokens each."""

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        bad = BadAnswer("the model refuses", model=self.model, prompt_tokens=4_000)
        self.say = always(bad if "Cook 3" in prompt else label())
        reply = await super().extract(system, prompt, schema, max_tokens=max_tokens)
        return msgspec.structs.replace(reply, prompt_tokens=4_000)


async def test_answers_before_the_end_of_the_allowance_count_and_nobody_blocks_the_queue(tmp_path: Path) -> None:
    """Whoever spoils each pack must not have the whole allowance spent on the same pack day after day."""
    desk = Desk(tmp_path, creators_per_call=4, allowance=Allowance(tokens=9_000))
    creators = await people(desk, 4)
    model = Spoilt(always(label()))
    async with desk.asked(model):
        for day in range(6):
            told = desk.kinds().count("llm_allowance_spent")
            await desk.until(
                lambda told=told: (  # type: ignore[misc]
                    desk.kinds().count("llm_allowance_spent") > told or not any(map(desk.waits, creators))
                )
            )
            if day == 0:
                assert ["Label 4" in prompt for prompt in model.prompts] == [True, True], "no allowance for more"
            desk.now += DAY
    assert sorted(desk.methods(creators)) == ["llm", "llm", "llm", "local"]
    assert len(model.prompts) == 2 + 3 + 2, "each alone once, and the refused one twice"
    desk.env.close()


async def test_who_got_another_account_meanwhile_is_asked_about_again(desk: Desk) -> None:
    (creator,) = await people(desk, 1)
    model = Scripted(always(label()))

    def join(txn: Txn) -> None:
        found = get_creator(txn, creator)
        assert found is not None
        put_creator(txn, msgspec.structs.replace(found, account_keys=[*found.account_keys, "instagram:1"]))

    asked, again = model.extract, trio.Event()

    async def extract(*given: Any, **more: Any) -> Reply:
        if model.prompts:
            again.set()
            await trio.sleep_forever()  # so that what is seen is what became of the first answer
        await desk.env.write(join)
        return await asked(*given, **more)

    model.extract = extract  # type: ignore[method-assign]
    async with desk.asked(model):
        await desk.until(again.is_set)
        assert desk.methods([creator]) == ["local"], "labels of the creator as it was"
        assert desk.waits(creator)


async def test_a_question_without_an_answer_counts_as_paid_for(desk: Desk) -> None:
    await people(desk, 1)
    model = Scripted(always(Unanswered("no answer within 60 s")))
    async with desk.asked(model):
        await desk.until(lambda: "llm_down" in desk.kinds())
    with desk.env.snapshot() as txn:
        spend = spent_on(txn, desk.now)["llm/scripted"]
    assert spend.calls == 3
    assert spend.prompt_tokens > 3 * 500
    assert spend.completion_tokens > 0
    assert spend.reserved_tokens == 0


async def test_a_summary_follows_the_country(desk: Desk) -> None:
    (creator,) = await people(desk, 1)

    def move(txn: Txn) -> None:
        put_creator(txn, msgspec.structs.replace(desk.creator(creator), country="BR"))

    await desk.env.write(move)
    await desk.settle([creator])
    assert desk.creator(creator).llm_summary.startswith("Brazilian")


async def test_nothing_is_asked_about_who_writes_nothing(desk: Desk) -> None:
    def silent(txn: Txn) -> CreatorId:
        account = CreatorAccount(
            platform=Platform.YOUTUBE, platform_user_id=f"UC{'0' * 21}Q", handle="@silent", fetched_at=NOW
        )
        put_account(txn, account)
        return found_creator(txn, account, NOW).creator_id

    creator = await desk.env.write(silent)
    await desk.settle([creator])
    with desk.env.snapshot() as txn:
        assert get_labelling(txn, creator) is None


def sixteen(texts: Sequence[str]) -> Vectors:
    return np.stack([np.frombuffer(vector(len(text)), "<f2") for text in texts]).astype(np.float32)


class Watched(LocalClassifier):
    """Notes which vectors it is given."""

    def __init__(self, model_id: str) -> None:
        super().__init__(TAXONOMY, sixteen, model_id=model_id)
        self.given: list[set[str]] = []

    def classify_many(self, texts: Sequence[CreatorTexts], vectors: Sequence[Mapping[str, Vectors]]) -> list[Label]:
        self.given += [set(fields) for fields in vectors]
        return super().classify_many(texts, vectors)


async def test_vectors_of_a_model_that_is_being_replaced_tell_nothing(desk: Desk) -> None:
    """Of the same width they would otherwise be compared with what they have nothing to do with."""
    for model_id, fields in (("m", {"yt_content"}), ("another", set())):
        desk.classifier = Watched(model_id)
        await people(desk, 1)
        assert desk.classifier.given == [fields]


def bring_labels(txn: Txn, creator_id: CreatorId, said: Enrichment) -> None:
    """As an import does."""
    found = get_creator(txn, creator_id)
    assert found is not None
    niche = next(niche.id for niche in TAXONOMY.niches if niche.id != "food")
    put_creator(txn, msgspec.structs.replace(found, primary_niche=niche, llm_summary="As given.", enrichment=said))


async def test_labels_of_a_file_stand_until_what_is_known_changes(desk: Desk) -> None:
    said = Enrichment(
        method="import", model="", prompt_version="", taxonomy_version=TAXONOMY.version, input_hash="", at=NOW
    )
    desk.rules = None
    one = await desk.env.write(lambda txn: put_person(txn, 1))
    await desk.env.write(partial(bring_labels, creator_id=one, said=said))
    given = desk.creator(one)
    for _ in range(2):
        await desk.settle([one])
        now = desk.creator(one)
        assert (now.primary_niche, now.llm_summary) == (given.primary_niche, "As given.")
        assert desk.methods([one]) == ["import"]
    await desk.env.write(lambda txn: put_person(txn, 1, text="Easy pizza recipe for lunch"))
    await desk.settle([one])
    assert desk.methods([one]) == ["local"]


async def test_labels_of_a_file_do_not_outlive_their_taxonomy(desk: Desk) -> None:
    said = Enrichment(method="import", model="", prompt_version="", taxonomy_version="0", input_hash="", at=NOW)
    desk.rules = None
    one = await desk.env.write(lambda txn: put_person(txn, 1))
    await desk.env.write(partial(bring_labels, creator_id=one, said=said))
    await desk.settle([one])
    assert desk.methods([one]) == ["local"]
