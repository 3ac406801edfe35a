"""Calls are timed, and what became of each is told apart."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from daemon.metered import OUTCOMES, MeteredModel, outcome_of, timed
from models.language_model import BadAnswer, Reply
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable


async def given_up() -> None:
    """As the adapters give a call up for its time."""
    try:
        with trio.fail_after(1):
            await trio.sleep_forever()
    except trio.TooSlowError:
        raise Unavailable("no answer within 1 s") from None


async def test_a_timeout_is_told_from_other_failures_of_the_network(autojump_clock: object) -> None:
    told: list[tuple[str, str]] = []
    with pytest.raises(Unavailable), timed(lambda who, _, outcome: told.append((who, outcome)), "youtube"):
        await given_up()
    assert told == [("youtube", "timeout")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Unavailable("502"), "unavailable"),
        (Throttled("429", bucket="b", daily=False), "throttled"),
        (AuthFailed("401", bucket="b"), "auth"),
        (Rejected("400", reason="http_400", status=400), "rejected"),
        (Malformed("no JSON"), "malformed"),
        (BadAnswer("prose"), "malformed"),
        (ValueError("absurd"), "malformed"),
    ],
)
def test_outcomes(error: Exception, outcome: str) -> None:
    assert outcome_of(error) == outcome
    assert outcome in OUTCOMES


class Endpoint:
    model, name = "qwen3:8b", "llm/qwen3:8b"

    def __init__(self, error: PokedexError | None = None) -> None:
        self._error = error

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        if self._error is not None:
            raise self._error
        assert (system, max_tokens, schema) == ("be brief", 9, {})
        if prompt == "for ever":
            await trio.sleep_forever()
        return Reply(data={}, model=self.model, prompt_tokens=1, completion_tokens=1, form="text")


async def test_questions_to_a_model_are_counted_but_for_those_that_the_end_cut_off(autojump_clock: object) -> None:
    told: list[tuple[str, str]] = []

    def note(who: str, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        told.append((who, outcome))

    model = MeteredModel(Endpoint(), note)
    assert (model.model, model.name) == (Endpoint.model, Endpoint.name)
    await model.extract("be brief", "who is it?", {}, max_tokens=9)
    with trio.move_on_after(1):
        await model.extract("be brief", "for ever", {}, max_tokens=9)
    with pytest.raises(Malformed):
        await MeteredModel(Endpoint(Malformed("no JSON")), note).extract("be brief", "who is it?", {}, max_tokens=9)
    assert told == [("qwen3:8b", "ok"), ("qwen3:8b", "malformed")]
