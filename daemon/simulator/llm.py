"""An OpenAI-compatible endpoint below ``/llm/v1``, whose model can be made to misbehave in every known way."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter, deque
from typing import Annotated, Any

import msgspec
import numpy as np
import trio
from msgspec import Meta
from quart import Response, request
from quart_trio import QuartTrio

from daemon.simulator.accounting import Accounting
from daemon.simulator.faults import FaultDraw, Faults
from daemon.simulator.llm_reader import Habits, Reader, passages_of, schema_in
from daemon.simulator.replies import broken, html_error, json_reply

MODELS = ("simulated-small", "simulated-large", "simulated-embedding-384")
"""As listed; any other name is served too, since a test may want its own."""
FORMS = ("text", "json_object", "json_object_schema", "json_schema")
"""The forms of an answer by how much a server must know of schemas."""
DEFAULT_DIMS, MAX_DIMS = 256, 4_096
MAX_INPUTS = 2_048
CHARS_PER_TOKEN = 4
MINUTE_SECONDS = 60.0

_WORD = re.compile(r"\w+")
_ROUTES = ("llm_chat", "llm_embeddings", "llm_models")


class Message(msgspec.Struct):
    role: str
    content: str


class ResponseFormat(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None
    json_schema: dict[str, Any] | None = None

    @property
    def form(self) -> str:
        return "json_object_schema" if self.type == "json_object" and self.schema is not None else self.type


class Chat(msgspec.Struct):
    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    response_format: ResponseFormat | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None


class Embeddings(msgspec.Struct):
    model: str
    input: str | Annotated[list[str], Meta(min_length=1, max_length=MAX_INPUTS)]
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMS)] | None = None
    encoding_format: str = "float"


class LlmFailed(Exception):
    """An error reply."""

    def __init__(self, status: int, reason: str, body: object, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.body, self.headers = status, reason, body, headers or {}


class Llm:
    """The general faults strike the surface ``llm``; a model's own are those of ``Faults`` that begin with ``llm_``."""

    def __init__(self, draw: FaultDraw, books: Accounting, keys: set[str], reader: Reader) -> None:
        self._draw, self._books, self._keys, self._reader = draw, books, keys, reader
        self._tokens: dict[str, Counter[str]] = {}
        self._forms: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._at_once = self._most_at_once = 0

    def add_to(self, app: QuartTrio) -> None:
        app.add_url_rule("/llm/v1/chat/completions", _ROUTES[0], self._chat, methods=["POST"])
        app.add_url_rule("/llm/v1/embeddings", _ROUTES[1], self._embeddings, methods=["POST"])
        app.add_url_rule("/llm/v1/models", _ROUTES[2], self._models)

    def books(self) -> dict[str, object]:
        """Tokens by model, answered calls by form, and how many calls ran side by side at most."""
        return {
            "tokens": {model: dict(tokens) for model, tokens in self._tokens.items()},
            "forms": dict(self._forms),
            "most_at_once": self._most_at_once,
        }

    async def _chat(self) -> Response:
        self._at_once += 1
        self._most_at_once = max(self._most_at_once, self._at_once)
        try:
            return await self._answered(_ROUTES[0])
        finally:
            self._at_once -= 1

    async def _embeddings(self) -> Response:
        return await self._answered(_ROUTES[1])

    async def _models(self) -> Response:
        return await self._answered(_ROUTES[2])

    async def _answered(self, route: str) -> Response:
        self._books.call(route)
        fault, wait_seconds = self._draw.next("llm")
        if wait_seconds:
            await trio.sleep(wait_seconds)
        try:
            self._admit(route, fault)
            reply, served = self._reply(route, await request.get_data())
        except LlmFailed as failed:
            self._books.error(failed.reason)
            return json_reply(failed.body, failed.status, failed.headers)
        if fault == "html_error":
            self._books.error(f"llm_{fault}")
            return html_error(500)
        if fault in ("malformed", "cut"):
            self._books.error(f"llm_{fault}")
            return broken(fault, msgspec.json.encode(reply))
        self._books.serve(route, served)
        return json_reply(reply)

    def _admit(self, route: str, fault: str) -> None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key not in self._keys:
            message = f"Incorrect API key provided: {key[:4]}…"
            raise LlmFailed(401, "llm_invalid_api_key", _error(message, code="invalid_api_key"))
        wait_seconds = self._over_limit()
        if fault == "throttle":
            wait_seconds = self._draw.faults.llm_retry_after_seconds
        if wait_seconds:
            self._books.refuse(route)
            headers = {"Retry-After": str(max(round(wait_seconds), 1))}
            raise LlmFailed(429, "llm_throttle", _error("Rate limit reached", code="rate_limit_exceeded"), headers)
        self._books.charge(route)
        if fault == "unavailable":
            raise LlmFailed(503, "llm_unavailable", _error("The server is overloaded", kind="server_error"))

    def _over_limit(self) -> float:
        """Seconds until the minute has room again; 0 when it has."""
        most, now = self._draw.faults.llm_calls_per_minute, trio.current_time()
        while self._recent and self._recent[0] <= now - MINUTE_SECONDS:
            self._recent.popleft()
        if most and len(self._recent) >= most:
            return self._recent[0] + MINUTE_SECONDS - now
        self._recent.append(now)
        return 0.0

    def _reply(self, route: str, body: bytes | str) -> tuple[dict[str, Any], list[str]]:
        """(the reply, digests of the passages it is about)."""
        if route == "llm_models":
            return {"object": "list", "data": [{"id": one, "object": "model"} for one in MODELS]}, []
        try:
            if route == "llm_chat":
                return self._completion(msgspec.json.decode(body, type=Chat))
            return self._vectors(msgspec.json.decode(body, type=Embeddings))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LlmFailed(400, "llm_bad_request", _error(str(error))) from error

    def _completion(self, asked: Chat) -> tuple[dict[str, Any], list[str]]:
        faults, draw = self._draw.faults, self._draw
        form = _understood(asked.response_format, faults)
        messages = [{"role": one.role, "content": one.content} for one in asked.messages]
        prompt_tokens = sum(map(_tokens_in, (one.content for one in asked.messages)))
        message: dict[str, Any] = {"role": "assistant", "content": self._content(asked, form, messages)}
        finish = "stop"
        most = asked.max_completion_tokens or asked.max_tokens
        if draw.chance(faults.llm_refusal_share):
            message |= {"content": None, "refusal": "I'm sorry, but I can't help with that request."}
        elif draw.chance(faults.llm_empty_share):
            message["content"] = ""
        elif draw.chance(faults.llm_malformed_share):
            message["content"] = message["content"].rstrip("`\n }]").replace('":', '"')
        elif draw.chance(faults.llm_cut_share):
            message["content"], finish = message["content"][: len(message["content"]) // 2], "length"
        completion_tokens = _tokens_in(message["content"] or message.get("refusal", ""))
        if most is not None and completion_tokens > most:
            message["content"], finish = message["content"][: most * CHARS_PER_TOKEN], "length"
            completion_tokens = most
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        self._tokens.setdefault(asked.model, Counter()).update(usage)
        self._forms[form] += 1
        reply: dict[str, Any] = {
            "id": f"chatcmpl-{self._books.calls['llm_chat']}",
            "object": "chat.completion",
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        }
        if faults.llm_usage_stated:
            reply["usage"] = usage | {"total_tokens": prompt_tokens + completion_tokens}
        return reply, [_digest(passage.text) for passage in passages_of(messages)]

    def _content(self, asked: Chat, form: str, messages: list[dict[str, str]]) -> str:
        """JSON; as models do when nothing holds them, with words around it."""
        faults = self._draw.faults
        wanted = asked.response_format
        schema = None
        if wanted is not None and form == "json_schema":
            schema = (wanted.json_schema or {}).get("schema")
        elif wanted is not None and form == "json_object_schema":
            schema = wanted.schema
        constrained = schema is not None
        schema = schema or schema_in(messages)
        if schema is None:
            return "{}" if form == "json_object" else "I would gladly tell you more about these creators."
        habits = Habits(
            obeys_bait=faults.llm_obeys_bait,
            invalid=self._draw.chance(faults.llm_invalid_share),
            constrained=constrained,
        )
        text = msgspec.json.encode(self._reader.answer(messages, schema, habits)).decode()
        return f"Here is the answer:\n```json\n{text}\n```\nTell me if you need more." if form == "text" else text

    def _vectors(self, asked: Embeddings) -> tuple[dict[str, Any], list[str]]:
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        dims = asked.dimensions or dims_of(asked.model)
        as_text = asked.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector_of(text, dims), as_text=as_text)}
            for index, text in enumerate(texts)
        ]
        tokens = sum(map(_tokens_in, texts))
        self._tokens.setdefault(asked.model, Counter()).update({"prompt_tokens": tokens})
        reply: dict[str, Any] = {"object": "list", "model": asked.model, "data": data}
        if self._draw.faults.llm_usage_stated:
            reply["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return reply, [_digest(text) for text in texts]


def vector_of(text: str, dims: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """[dims], of unit length: the sum of a fixed direction for each word, so that texts with words in common are near."""
    total = np.zeros(dims)
    for word in _WORD.findall(text.casefold()) or [""]:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        total += np.random.default_rng(seed).standard_normal(dims)
    return np.asarray(total / np.linalg.norm(total), np.float32)


def dims_of(model: str) -> int:
    """The number that a model's name ends with: ``any-384``."""
    number = re.search(r"(\d+)$", model)
    return int(number[1]) if number and 1 <= int(number[1]) <= MAX_DIMS else DEFAULT_DIMS


def _encoded(vector: np.ndarray[tuple[int], np.dtype[np.float32]], *, as_text: bool) -> str | list[float]:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_text else [float(one) for one in vector]


def _understood(wanted: ResponseFormat | None, faults: Faults) -> str:
    """The form of the answer. Raises LlmFailed for one that this server does not know."""
    form = "text" if wanted is None else wanted.form
    if form in FORMS and FORMS.index(form) <= FORMS.index(faults.llm_form):
        return form
    if faults.llm_form_refusal == 200:
        return "text"
    if faults.llm_form_silent:
        raise LlmFailed(faults.llm_form_refusal, "llm_form_refused", {"detail": "The request failed"})
    if faults.llm_form_refusal == 422:  # as validators of requests say it, the whole input beside it
        detail = {"loc": ["body", "response_format", "type"], "msg": "Input should be another", "input": form}
        raise LlmFailed(422, "llm_form_refused", {"detail": [detail]})
    message = f"'response_format.type' must be one of {', '.join(FORMS[: FORMS.index(faults.llm_form) + 1])}"
    raise LlmFailed(faults.llm_form_refusal, "llm_form_refused", _error(message, param="response_format"))


def _error(message: str, *, kind: str = "invalid_request_error", **more: str) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None} | more}


def _tokens_in(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.strip().encode(), digest_size=8).hexdigest()
