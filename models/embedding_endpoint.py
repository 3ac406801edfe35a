"""Texts → unit vectors, by any endpoint that answers ``/v1/embeddings`` as OpenAI's does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import httpx2
import msgspec
import numpy as np

from models.contacts import without_contacts
from models.embedding_port import Vectors
from proto.errors import AuthFailed, Malformed, ModelMissing, PokedexError, Rejected, Throttled, Unavailable

TRIES = 3
"""Of a call for several texts; one for a single text is made once, since somebody waits for it."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
REFUSED_TEXT = (400, 413, 422)


class _Entry(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Entry]


class EndpointModel:
    """Blocking and thread-safe. Every failure comes out as Unavailable: what is to be embedded is put off, not lost.

    E-mail addresses, phone numbers, links and handles are taken out of every text before it is sent. Texts of errors
    hold neither the key nor what was sent.
    """

    def __init__(
        self,
        client: httpx2.Client,
        *,
        url: str,
        name: str,
        key: str = "",
        dims: int = 0,
        batch: int,
        timeout_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        on_state: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``url`` ends before ``/embeddings``; ``dims`` 0: asked of the endpoint now. ``on_state`` is told what is wrong
        with the endpoint whenever that changes, empty when nothing is.

        Raises ModelMissing when dims are not known and the endpoint does not answer.
        """
        self._client, self._url, self._name, self._key = client, f"{url.rstrip('/')}/embeddings", name, key
        self._batch, self._timeout_seconds, self._sleep, self._on_state = batch, timeout_seconds, sleep, on_state
        self._trouble = ""
        self.dims = dims or self._asked_dims()
        self.model_id = f"{name}-{self.dims}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[n, dims] float32 of unit length; zeros for a text without words, or that the endpoint refuses by itself."""
        vectors = np.zeros((len(texts), self.dims), np.float32)
        sent = [(row, plain) for row, text in enumerate(texts) if (plain := without_contacts(text))]
        for begin in range(0, len(sent), self._batch):
            part = sent[begin : begin + self._batch]
            vectors[[row for row, _ in part]] = self._embedded([text for _, text in part])
        return vectors

    def close(self) -> None:
        self._client.close()

    def _asked_dims(self) -> int:
        try:
            dims = len(self._tried(["hello"])[0])
            if not dims:
                raise Malformed(f"{self._url}: a vector of no dimensions")
            return dims
        except PokedexError as error:
            raise ModelMissing(f"{error}; state model.dims, or start again when the endpoint answers") from error

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        try:
            vectors = self._with_refused(texts)
        except PokedexError as error:
            self._note(str(error))
            raise Unavailable(str(error)) from error
        self._note("")
        return vectors

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_state(trouble)

    def _with_refused(self, texts: Sequence[str]) -> Vectors:
        """A text that is refused must not hold up the others: each is sent alone then."""
        try:
            return self._checked(self._tried(texts))
        except Rejected as error:
            if len(texts) == 1 or error.status not in REFUSED_TEXT:
                raise
            refusal = error
        alone = [self._alone(text) for text in texts]
        if not any(vector.any() for vector in alone):
            raise refusal  # it is not about the texts
        return np.concatenate(alone)

    def _alone(self, text: str) -> Vectors:
        try:
            return self._checked(self._tried([text]))
        except Rejected:
            return np.zeros((1, self.dims), np.float32)

    def _checked(self, rows: Sequence[Sequence[float]]) -> Vectors:
        if any(len(row) != self.dims for row in rows):
            raise Malformed(f"{self._url}: vectors of {len(rows[0])} dimensions, expected {self.dims} (model.dims)")
        vectors = np.array(rows, np.float64)
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise Malformed(f"{self._url}: vectors that are not finite")
        np.divide(vectors, lengths, out=vectors, where=lengths > 0)
        return vectors.astype(np.float32)

    def _tried(self, texts: Sequence[str]) -> list[list[float]]:
        """Passing faults are met by asking again, after a pause that doubles or that the endpoint states."""
        pause = FIRST_PAUSE_SECONDS
        for left in range(TRIES if len(texts) > 1 else 1, 0, -1):
            try:
                return self._asked(texts)
            except (Unavailable, Throttled) as error:
                stated = error.retry_after_seconds if isinstance(error, Throttled) else None
                if left == 1 or (stated or 0) > LONGEST_PAUSE_SECONDS:
                    raise
                self._sleep(stated or pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise AssertionError("not reached")

    def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        body = msgspec.json.encode({"model": self._name, "input": texts, "encoding_format": "float"})
        try:
            reply = self._client.post(
                self._url,
                content=body,
                headers=headers | {"Content-Type": "application/json"},
                timeout=self._timeout_seconds,
            )
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable(f"{self._url}: {type(error).__name__}") from None
        if reply.status_code != 200:
            raise _failure(self._url, reply.status_code, reply.headers.get("retry-after"))
        try:
            entries = msgspec.json.decode(reply.content, type=_Answer).data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Unavailable(f"{self._url}: the reply is no list of embeddings") from None
        if sorted(entry.index for entry in entries) != list(range(len(texts))):
            raise Unavailable(f"{self._url}: {len(entries)} embeddings for {len(texts)} texts")
        return [entry.embedding for entry in sorted(entries, key=lambda entry: entry.index)]


def _failure(url: str, status: int, retry_after: str | None) -> PokedexError:
    """What the endpoint says is not repeated: some repeat the request."""
    text = f"{url}: answered {status}"
    if status == 429:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
        return Throttled(text, bucket="embedding", daily=False, retry_after_seconds=seconds)
    if status in (401, 402, 403):
        return AuthFailed(text, bucket="embedding")
    if status >= 500 or status in (408, 425):
        return Unavailable(text)
    return Rejected(text, reason=f"http_{status}", status=status)
