"""A language model behind any OpenAI-compatible endpoint: a prompt and a JSON schema in, a JSON object out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import httpx2
import msgspec
import trio

from models.prompt_text import estimated_tokens, excerpt
from proto.errors import AuthFailed, Malformed, PokedexError, Rejected, Throttled, Unavailable

FORMS = ("json_schema", "json_object_schema", "json_object", "text")
"""How the schema is said, best first: as ``json_schema``; as a ``schema`` beside ``json_object``, as llama.cpp and its
kin take it; as ``json_object`` alone; not at all. In all but the first it stands in the prompt as well."""

MAX_REPLY_BYTES = 1_000_000
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
DOUBTS = 2
"""A form that has never worked is given up after so many failures in a row that may have had other reasons."""
STATED_IN_PROMPT = "\n\nAnswer with one JSON object and nothing else. It follows this JSON schema:\n"

_REFUSALS = (400, 422, 500)
_ABOUT_FORM = re.compile(r"response_?format|json_?schema|json_?object|json mode|schema|grammar|guided", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_MOST_TOKENS = 10_000_000
"""Of one call; an endpoint that says more is mistaken, and what is kept in the ledger has 64 bits."""
_CONNECT_SECONDS = 10.0
"""Within a call's time. Apart, since who was not reached has not begun to answer, and is not paid."""
_TIMEOUT = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
_MAX_STARTS = 64
"""Opening braces that are tried as the beginning of the answer."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """``data``: the object answered, not validated. ``model``: as the endpoint names it. ``form``: one of FORMS."""

    data: dict[str, Any]
    model: str
    prompt_tokens: int
    completion_tokens: int
    form: str


class Unanswered(Unavailable):
    """The question was sent and no whole answer came: the endpoint may have worked on it, and may charge for it."""


class BadAnswer(Malformed):
    """An answer that was paid for and is no JSON object: refused, cut off, empty or (``prose``) just words."""

    def __init__(
        self, text: str, *, model: str = "", prompt_tokens: int = 0, completion_tokens: int = 0, prose: bool = False
    ) -> None:
        super().__init__(text)
        self.model, self.prompt_tokens, self.completion_tokens = model, prompt_tokens, completion_tokens
        self.prose = prose


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class _Refused(Exception):
    """A 400, 422 or 500, of which the form of the request may be the reason."""

    def __init__(self, error: PokedexError, status: int, said: str, sent: frozenset[str]) -> None:
        super().__init__(str(error))
        self.error, self.status, self.said, self.sent = error, status, said, sent


class LanguageModel:
    """One model of one endpoint. What works with it (form, names of parameters) is found out and remembered.

    Every failure is a PokedexError: Throttled, AuthFailed (also 402: no credit), Rejected, Unavailable (of which
    Unanswered may have been paid for) or BadAnswer.
    Their texts hold neither key nor prompt. Where a reply states no ``usage``, tokens are estimated from the
    characters, four Latin ones a token.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        base_url: str,
        model: str,
        key: str = "",
        name: str = "llm",
        timeout_seconds: float = 60.0,
        form: str = FORMS[0],
    ) -> None:
        """``base_url`` ends before ``/chat/completions``; ``name`` is the bucket of errors; ``timeout_seconds`` is for
        one call, of which an extraction may take several while the form is being found out. ``form``: as an earlier
        object's ``form``; an unknown one counts as the best.
        """
        self._client, self._url = client, f"{base_url.rstrip('/')}/chat/completions"
        self.model, self.name = model, name
        self._key, self._timeout_seconds = key, timeout_seconds
        self._form = FORMS.index(form) if form in FORMS else 0
        self._proven, self._doubts = False, 0
        self._limit_name, self._sampling = "max_tokens", {"temperature": 0.0}

    @property
    def form(self) -> str:
        """How this endpoint takes a schema, as far as is known."""
        return FORMS[self._form]

    async def extract(self, system: str, prompt: str, schema: dict[str, Any], *, max_tokens: int) -> Reply:
        """The object that the model answers with; ``schema`` has been asked for, not checked."""
        form = self._form
        while True:
            try:
                reply = await self._asked(form, system, prompt, schema, max_tokens)
            except _Refused as refused:
                if self._adapted(refused):
                    continue
                if form == len(FORMS) - 1 or (self._proven and not _names_form(refused)):
                    raise refused.error from None
                if _names_form(refused):
                    form = self._step_down(form)
                    continue
                return await self._without_form(form, refused, system, prompt, schema, max_tokens)
            except BadAnswer as bad:
                if bad.prose and not self._proven:
                    self._doubt(form)
                raise
            if form == self._form:
                self._proven, self._doubts = True, 0
            return reply

    async def _without_form(
        self, form: int, refused: _Refused, system: str, prompt: str, schema: dict[str, Any], max_tokens: int
    ) -> Reply:
        """Asks as text: when that is answered, the refusal was about the form, though it did not say so.

        A 500 may have passed by itself, so it only counts as a doubt.
        """
        try:
            reply = await self._asked(len(FORMS) - 1, system, prompt, schema, max_tokens)
        except (_Refused, Unavailable):
            raise refused.error from None
        if refused.status == 500:
            self._doubt(form)
        else:
            self._step_down(form)
        return reply

    def _doubt(self, form: int) -> None:
        self._doubts += 1
        if self._doubts >= DOUBTS and form < len(FORMS) - 1:
            self._step_down(form)

    def _step_down(self, form: int) -> int:
        """The next form; calls that run side by side and fail alike take one step together."""
        if self._form <= form:
            self._form, self._proven, self._doubts = form + 1, False, 0
        return form + 1

    def _adapted(self, refused: _Refused) -> bool:
        """Newer hosted models refuse parameters that all others know, and say so by name."""
        if "max_tokens" in refused.sent and "max_completion_tokens" in refused.said:
            self._limit_name = "max_completion_tokens"
            return True
        if "temperature" in refused.sent and "temperature" in refused.said:
            self._sampling = {}
            return True
        return False

    async def _asked(self, form: int, system: str, prompt: str, schema: dict[str, Any], max_tokens: int) -> Reply:
        if form > 0:
            system += STATED_IN_PROMPT + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt}],
            self._limit_name: max_tokens,
            **self._sampling,
            **_response_format(FORMS[form], schema),
        }
        reply = await self._post(body)
        return _read(reply, self.model, FORMS[form], self.name, estimated_tokens(system + prompt))

    async def _post(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "pokedexd"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            with trio.fail_after(self._timeout_seconds):
                async with self._client.stream(
                    "POST", self._url, content=msgspec.json.encode(body), headers=headers, timeout=_TIMEOUT
                ) as reply:
                    content = await _capped(reply)
        except trio.TooSlowError:
            raise Unanswered(f"{self.name}: no answer within {self._timeout_seconds:g} s") from None
        except (httpx2.ReadError, httpx2.RemoteProtocolError) as error:
            raise Unanswered(f"{self.name}: {type(error).__name__}: {self._masked(str(error))}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            said = self._masked(str(error))  # a key with a line break is quoted as a bad header
            raise Unavailable(f"{self.name}: {type(error).__name__}: {said}") from None
        if reply.status_code == 200:
            if len(content) > MAX_REPLY_BYTES:
                raise BadAnswer(f"{self.name}: a reply of more than {MAX_REPLY_BYTES} bytes")
            return content
        said = _said(content)
        failure = _failure(self.name, reply.status_code, self._masked(said), reply.headers.get("retry-after"))
        if reply.status_code in _REFUSALS:
            raise _Refused(failure, reply.status_code, said, frozenset(body))
        raise failure

    def _masked(self, said: str) -> str:
        return excerpt(said.replace(self._key, "…") if self._key else said, 200)


def _names_form(refused: _Refused) -> bool:
    return bool(_ABOUT_FORM.search(refused.said))


def _response_format(form: str, schema: dict[str, Any]) -> dict[str, Any]:
    if form == "json_schema":
        named = {"name": "answer", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if form == "json_object_schema":
        return {"response_format": {"type": "json_object", "schema": schema}}
    return {"response_format": {"type": "json_object"}} if form == "json_object" else {}


async def _capped(reply: httpx2.Response) -> bytes:
    """One byte over the cap at most: enough to know that it was too long."""
    body = bytearray()
    async with aclosing(reply.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk[: MAX_REPLY_BYTES + 1 - len(body)]
            if len(body) > MAX_REPLY_BYTES:
                break
    return bytes(body)


def _said(body: bytes) -> str:
    """An error's own words: ``error.message``, ``error``, ``detail`` or ``message``. Validators (FastAPI) repeat the
    whole request beside them, and that is the prompt."""
    try:
        return " ".join(_words(json.loads(body)))[:1_000]
    except (ValueError, RecursionError):
        return body[:1_000].decode(errors="replace")


def _words(stated: object) -> Iterator[str]:
    if isinstance(stated, str):
        yield stated
    elif isinstance(stated, list):
        for entry in stated[:5]:
            yield from _words(entry)
    elif isinstance(stated, dict):
        for name in ("error", "detail", "message", "msg", "param", "code", "loc"):
            yield from _words(stated.get(name))


def _failure(name: str, status: int, said: str, retry_after: str | None) -> PokedexError:
    text = f"{name}: {status}: {said}"
    if status == 429:
        daily = "insufficient_quota" in said
        return Throttled(text, bucket=name, daily=daily, retry_after_seconds=_seconds(retry_after))
    if status in (401, 402, 403):
        return AuthFailed(text, bucket=name)
    if status >= 500 or status in (408, 425):
        return Unavailable(text)
    return Rejected(text, reason=f"http_{status}", status=status)


def _seconds(retry_after: str | None) -> float | None:
    """At most a day; None for what is no number."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds >= 0 else None


def _read(body: bytes, model: str, form: str, name: str, prompt_tokens: int) -> Reply:
    try:
        completion = msgspec.json.decode(body, type=_Completion)
        choice = completion.choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        raise BadAnswer(f"{name}: no chat completion: {excerpt(_said(body))!r}", model=model) from None
    content, usage = choice.message.content or "", completion.usage or _Usage()
    if usage.prompt_tokens is not None:
        prompt_tokens = usage.prompt_tokens
    completion_tokens = estimated_tokens(content) if usage.completion_tokens is None else usage.completion_tokens
    spent = (completion.model or model, _bounded(prompt_tokens), _bounded(completion_tokens))
    problem = _problem(choice, content)
    data = None if problem else json_object_in(content)
    if data is None:
        raise BadAnswer(
            f"{name}: {problem or f'no JSON object in the answer: {excerpt(content)!r}'}",
            model=spent[0], prompt_tokens=spent[1], completion_tokens=spent[2], prose=not problem,
        )  # fmt: skip
    return Reply(data=data, model=spent[0], prompt_tokens=spent[1], completion_tokens=spent[2], form=form)


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), _MOST_TOKENS)


def _problem(choice: _Choice, content: str) -> str:
    if choice.message.refusal:
        return f"the model refuses: {excerpt(choice.message.refusal)!r}"
    if choice.finish_reason == "content_filter":
        return "the endpoint's content filter holds the answer back"
    if choice.finish_reason == "length":
        return f"the answer is cut off by the token limit: {excerpt(content)!r}"
    return "" if content.strip() else "the answer is empty"


def json_object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or the longest one it holds (in a code fence, among prose, after a thought)."""
    text = _THOUGHT_END.split(text)[-1]
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    best: dict[str, Any] | None = None
    longest, begin = 0, text.find("{")
    for _ in range(_MAX_STARTS):
        if begin < 0:
            break
        end = begin + 1
        try:
            found, end = decoder.raw_decode(text, begin)
            if end - begin > longest:
                best, longest = found, end - begin
        except (ValueError, RecursionError):
            pass
        begin = text.find("{", end)
    return best


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
