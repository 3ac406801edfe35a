"""The client against a scripted endpoint for what it sends, and against the simulator's socket for what it survives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.simulator.app import create_simulator, serve_simulator
from daemon.simulator.faults import Faults
from daemon.simulator.quota import DEFAULT_LIMITS
from daemon.simulator.world import World
from models.language_model import FORMS, MAX_REPLY_BYTES, BadAnswer, LanguageModel, Reply, Unanswered, json_object_in
from proto.errors import AuthFailed, Malformed, Rejected, Throttled, Unavailable
from tests.conftest import QUIET_SECONDS

KEY = "sk-secret-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"topic": {"type": "string", "enum": ["cats", "dogs"]}, "sure": {"type": "number"}},
    "required": ["topic", "sure"],
    "additionalProperties": False,
}
PROMPT = "<text>Two dogs, a third dogs photo, my life with dogs</text>"
Handler = Callable[[httpx2.Request], httpx2.Response]


class Endpoint:
    """Answers by a script of (status, body) or (status, body, headers); the last one again and again."""

    def __init__(self, *replies: Any) -> None:
        self._replies, self.bodies = list(replies), list[dict[str, Any]]()
        self.headers: list[httpx2.Headers] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(json.loads(request.content))
        self.headers.append(request.headers)
        status, body, *headers = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=content, headers=headers[0] if headers else {})

    @property
    def forms(self) -> list[str]:
        return [form_of(body) for body in self.bodies]


def form_of(body: dict[str, Any]) -> str:
    wanted = body.get("response_format", {"type": "text"})
    return "json_object_schema" if "schema" in wanted else str(wanted["type"])


def completion(content: str | None = '{"topic": "dogs", "sure": 0.9}', **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"), "message": {"content": content}}
    choice["message"] |= more.pop("message", {})
    return {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 70, "completion_tokens": 9}} | more


def named(form: str) -> dict[str, Any]:
    return {"error": {"message": f"'response_format.type' must not be {form}", "param": None}}


def model_at(handler: Handler, **more: Any) -> LanguageModel:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return LanguageModel(client, base_url="http://llm/v1/", model="m", key=KEY, **more)


async def ask(model: LanguageModel, prompt: str = PROMPT) -> Reply:
    return await model.extract("Say what it is about.", prompt, SCHEMA, max_tokens=50)


async def test_a_request_has_the_key_the_schema_and_nothing_of_it_in_the_prompt() -> None:
    endpoint = Endpoint((200, completion()))
    reply = await ask(model_at(endpoint))
    assert reply == Reply(
        data={"topic": "dogs", "sure": 0.9}, model="m-1", prompt_tokens=70, completion_tokens=9, form="json_schema"
    )
    [body], [headers] = endpoint.bodies, endpoint.headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 50, 0)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "additionalProperties" not in json.dumps(body["messages"])


async def test_without_a_key_none_is_sent() -> None:
    endpoint = Endpoint((200, completion()))
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(endpoint))
    await ask(LanguageModel(client, base_url="http://llm/v1", model="m"))
    assert "authorization" not in endpoint.headers[0]


# the ladder


async def test_refusals_that_name_the_form_lead_down_to_text_and_are_remembered() -> None:
    endpoint = Endpoint((400, named("a")), (422, named("b")), (500, named("c")), (200, completion()))
    model = model_at(endpoint)
    assert (await ask(model)).form == model.form == "text"
    await ask(model)
    assert endpoint.forms == [*FORMS, "text"]
    stated = ["additionalProperties" in body["messages"][0]["content"] for body in endpoint.bodies]
    assert stated == [False, True, True, True, True]


async def test_a_form_kept_from_before_is_the_first_to_be_tried() -> None:
    endpoint = Endpoint((200, completion()))
    assert (await ask(model_at(endpoint, form="json_object"))).form == "json_object"
    assert (await ask(model_at(endpoint, form="unheard of"))).form == FORMS[0]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refusal_that_says_nothing_is_about_the_form_when_text_is_answered(status: int) -> None:
    endpoint = Endpoint((status, {"detail": "no"}), (200, completion()), (200, completion()))
    model = model_at(endpoint)
    assert (await ask(model)).form == "text"
    assert (await ask(model)).form == model.form == "json_object_schema"


async def test_a_refusal_of_text_too_is_about_something_else() -> None:
    endpoint = Endpoint((400, {"error": {"message": "context length exceeded"}}))
    model = model_at(endpoint)
    with pytest.raises(Rejected, match="400: context length exceeded"):
        await ask(model)
    assert (endpoint.forms, model.form) == (["json_schema", "text"], "json_schema")


async def test_a_form_that_has_worked_is_not_given_up_for_an_error_that_does_not_name_it() -> None:
    endpoint = Endpoint((200, completion()), (400, {"error": "bad words"}), (500, b"oops"), (200, completion()))
    model = model_at(endpoint)
    await ask(model)
    with pytest.raises(Rejected):
        await ask(model)
    with pytest.raises(Unavailable):
        await ask(model)
    assert (await ask(model)).form == "json_schema"
    assert len(endpoint.bodies) == 4


async def test_one_silent_500_may_pass_and_two_are_the_form() -> None:
    endpoint = Endpoint((500, b"x"), (200, completion()), (500, b"x"), (200, completion()))
    model = model_at(endpoint)
    assert (await ask(model)).form == "text"
    assert model.form == "json_schema"
    await ask(model)
    assert model.form == "json_object_schema"


async def test_an_endpoint_that_heeds_no_form_is_told_the_schema_in_the_prompt() -> None:
    endpoint = Endpoint((200, completion("Dogs, I think.")))
    model = model_at(endpoint)
    for _ in range(2):
        with pytest.raises(BadAnswer):
            await ask(model)
    assert model.form == "json_object_schema"


async def test_a_refusal_to_answer_is_no_sign_of_the_form() -> None:
    endpoint = Endpoint((200, BAD["refuses"]), (200, BAD["cut off"]), (200, BAD["empty"]), (200, completion()))
    model = model_at(endpoint)
    for _ in range(3):
        with pytest.raises(BadAnswer):
            await ask(model)
    assert (await ask(model)).form == "json_schema"


async def test_calls_side_by_side_take_a_step_together() -> None:
    def refusing(request: httpx2.Request) -> httpx2.Response:
        form = form_of(json.loads(request.content))
        return (
            httpx2.Response(400, json=named(form)) if form == "json_schema" else httpx2.Response(200, json=completion())
        )

    model = model_at(refusing)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, model)
    assert model.form == "json_object_schema"


async def test_parameters_that_are_refused_by_name_are_left_out() -> None:
    first = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
    second = {"error": {"message": "Unsupported value: 'temperature' does not support 0.0."}}
    endpoint = Endpoint((400, first), (400, second), (200, completion()))
    model = model_at(endpoint)
    assert (await ask(model)).form == "json_schema"
    await ask(model)
    for body in endpoint.bodies[2:]:
        assert body["max_completion_tokens"] == 50
        assert not {"max_tokens", "temperature"} & body.keys()


# kinds of failure


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthFailed), (402, AuthFailed), (403, AuthFailed), (404, Rejected), (301, Rejected), (408, Unavailable), (502, Unavailable), (503, Unavailable)],
)  # fmt: skip
async def test_a_status_is_an_error_of_its_kind(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"{status}: what it says"):
        await ask(model_at(Endpoint((status, {"error": {"message": "what it says"}}))))


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("9e9", 86_400.0), ("soon", None), ("-1", None)]
)
async def test_429_says_how_long_to_wait(header: str, seconds: float | None) -> None:
    with pytest.raises(Throttled) as caught:
        await ask(model_at(Endpoint((429, {"error": "slow"}, {"retry-after": header})), name="cheap"))
    assert (caught.value.bucket, caught.value.daily, caught.value.retry_after_seconds) == ("cheap", False, seconds)


async def test_an_emptied_account_is_no_passing_throttle() -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with pytest.raises(Throttled) as caught:
        await ask(model_at(Endpoint((429, body))))
    assert caught.value.daily


async def test_what_breaks_on_the_way_is_unavailable() -> None:
    def unreachable(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match="ConnectError: refused"):
        await ask(model_at(unreachable))


BAD: dict[str, Any] = {
    "refuses": completion(None, message={"refusal": "I cannot help with that"}),
    "content filter": completion("", finish_reason="content_filter"),
    "cut off": completion('{"topic": "do', finish_reason="length"),
    "empty": completion("  "),
    "no JSON object": completion("I think these are dogs."),
    "no JSON object in": completion('["dogs"]'),
    "no JSON": completion('{"topic": NaN}'),
}


@pytest.mark.parametrize("text", BAD)
async def test_an_answer_without_an_object_is_malformed_and_was_paid_for(text: str) -> None:
    with pytest.raises(BadAnswer, match=text) as caught:
        await ask(model_at(Endpoint((200, BAD[text]))))
    assert isinstance(caught.value, Malformed)
    assert (caught.value.model, caught.value.prompt_tokens, caught.value.completion_tokens) == ("m-1", 70, 9)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": 1}]}',
        b"\xff",
        b"[" * 100_000,
        b'{"error":' * 900,
    ],
)
async def test_a_body_that_is_no_completion_is_malformed(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="no chat completion"):
        await ask(model_at(Endpoint((200, body))))


async def test_a_reply_without_end_is_not_read_to_its_end() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b" " * 65_536

    with pytest.raises(BadAnswer, match="more than"):
        await ask(model_at(lambda _: httpx2.Response(200, content=endless())))
    assert read < MAX_REPLY_BYTES + 200_000


@pytest.mark.parametrize(("stated", "counted"), [(10**30, 10_000_000), (-5, 0)])
async def test_tokens_that_no_call_can_have_are_not_believed(stated: int, counted: int) -> None:
    """A ledger of 64 bits must bear them."""
    usage = {"prompt_tokens": stated, "completion_tokens": stated}
    reply = await ask(model_at(Endpoint((200, completion(usage=usage)))))
    assert (reply.prompt_tokens, reply.completion_tokens) == (counted, counted)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx2.ReadError("cut"), True),
        (httpx2.RemoteProtocolError("closed without a word"), True),
        (httpx2.ConnectError("refused"), False),
        (httpx2.ConnectTimeout("no route"), False),
    ],
)
async def test_who_broke_off_may_have_been_paid_and_who_was_not_reached_was_not(error: Exception, sent: bool) -> None:
    def break_off(_: httpx2.Request) -> httpx2.Response:
        raise error

    with pytest.raises(Unavailable) as caught:
        await ask(model_at(break_off))
    assert isinstance(caught.value, Unanswered) is sent


async def test_tokens_are_estimated_where_none_are_stated() -> None:
    reply = await ask(model_at(Endpoint((200, completion() | {"usage": None}))))
    assert reply.prompt_tokens == -(-len("Say what it is about." + PROMPT) // 4)
    assert reply.completion_tokens == 8


async def test_errors_hold_neither_key_nor_prompt_nor_addresses() -> None:
    prompt = "a bio that is nobody's business, of anna@example.org"
    echo = {
        "detail": [{"loc": ["body", "n"], "msg": f"bad key {KEY} sk-other-12345678", "input": {"messages": prompt}}]
    }
    answer = completion("Write to anna@example.org or +49 171 1234567 or https://example.org/x")
    quoted = {"error": f"key {KEY}"}
    for reply in ((418, echo), (400, echo), (401, quoted), (200, answer)):
        with pytest.raises((Rejected, AuthFailed, BadAnswer)) as caught:
            await ask(model_at(Endpoint(reply)), prompt)
        said = str(caught.value)
        for secret in (KEY, "business", "anna", "1234567", "example.org", "sk-other"):
            assert secret not in said
        assert len(said) < 300


async def test_a_key_that_is_no_header_is_not_quoted() -> None:
    client = httpx2.AsyncClient(trust_env=False)
    model = LanguageModel(client, base_url="http://127.0.0.1:9/v1", model="m", key=KEY + "\nX: y")
    with pytest.raises(Unavailable) as caught:
        await ask(model)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


# finding the object


def test_the_longest_object_is_the_answer() -> None:
    sketch = '<think>maybe {"topic": "cats", "sure": 0.1, "because": "of the first word of it all"}</think>'
    fenced = 'An example is {"topic": 1}. Here:\n```json\n{"topic": "dogs", "sure": 0.9}\n```\nDone {'
    assert json_object_in(sketch + fenced) == {"topic": "dogs", "sure": 0.9}


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_no_text_breaks_the_search(text: str) -> None:
    found = json_object_in(text)
    assert found is None or isinstance(found, dict)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.integers() | st.text() | st.none(), st.lists, max_leaves=4), min_size=1
    ),
    st.text(alphabet=st.characters(exclude_characters="{}<"), max_size=20),
)
def test_an_object_is_found_among_words(value: dict[str, Any], words: str) -> None:
    assert json_object_in(f"{words}{json.dumps(value)}{words}") == value


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 50_000, "<think>" * 100_000, '{"a": ' + "9" * 10_000 + "}"])
def test_hostile_answers_are_just_none(text: str) -> None:
    assert json_object_in(text) is None


# over a socket


@asynccontextmanager
async def simulated(faults: Faults, **more: Any) -> AsyncIterator[LanguageModel]:
    app = create_simulator(World(now=0), clock=lambda: 0.0, faults=faults, limits=DEFAULT_LIMITS, key=KEY)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url = await nursery.start(lambda task_status: serve_simulator(app, port=0, stop=stop, task_status=task_status))
        async with httpx2.AsyncClient(trust_env=False) as client:
            yield LanguageModel(client, **{"base_url": f"{url}/llm/v1", "model": "m", "key": KEY} | more)
        stop.set()


LEVELS = [
    ("json_object_schema", 500, False),
    ("json_object", 400, False),
    ("json_object", 400, True),
    ("text", 422, False),
    ("text", 422, True),
]


@pytest.mark.parametrize(("level", "status", "silent"), LEVELS)
async def test_every_level_of_support_is_found(
    level: Any, status: Any, silent: bool, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    faults = Faults(llm_form=level, llm_form_refusal=status, llm_form_silent=silent)
    async with simulated(faults) as model:
        replies = [await ask(model) for _ in range(len(FORMS))]
    assert {reply.data["topic"] for reply in replies} == {"dogs"}
    assert replies[-1].form == model.form == level


async def test_an_endpoint_that_hangs_is_left(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    async with simulated(Faults(slow_share=1.0, slow_seconds=1e6), timeout_seconds=20) as model:
        begin = trio.current_time()
        with pytest.raises(Unanswered, match="no answer within 20 s"):
            await ask(model)
        assert 20 <= trio.current_time() - begin < 30


SOCKET_FAILURES: list[tuple[dict[str, Any], dict[str, Any], type[Exception]]] = [
    ({}, {"key": "wrong"}, AuthFailed),
    ({"throttle_share": 1.0}, {}, Throttled),
    ({"unavailable_share": 1.0}, {}, Unavailable),
    ({"html_error_share": 1.0}, {}, Unavailable),
    ({"cut_share": 1.0}, {}, Unavailable),
    ({"malformed_share": 1.0}, {}, BadAnswer),
    ({"llm_malformed_share": 1.0}, {}, BadAnswer),
    ({"llm_refusal_share": 1.0}, {}, BadAnswer),
    ({"llm_cut_share": 1.0}, {}, BadAnswer),
    ({"llm_empty_share": 1.0}, {}, BadAnswer),
]


@pytest.mark.parametrize(("faults", "more", "kind"), SOCKET_FAILURES)
async def test_failures_over_a_socket(
    faults: dict[str, Any], more: dict[str, Any], kind: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = QUIET_SECONDS
    async with simulated(Faults(**faults), **more) as model:
        with pytest.raises(kind) as caught:
            await ask(model)
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after_seconds == 20
