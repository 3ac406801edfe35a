"""Embeddings by an endpoint: batches, order, retries by kind, and nothing personal on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import numpy as np
import pytest

from models.embedding_endpoint import EndpointModel
from proto.errors import ModelMissing, Unavailable

Handler = Callable[[httpx2.Request], httpx2.Response]
KEY = "sk-very-secret-1"


def answered(request: httpx2.Request) -> httpx2.Response:
    """A vector for each text: its length and 1; listed backwards, which an index allows."""
    texts = json.loads(request.content)["input"]
    data = [{"index": at, "embedding": [float(len(text)), 1.0]} for at, text in enumerate(texts)]
    return httpx2.Response(200, json={"data": data[::-1], "model": "m"})


class Endpoint:
    """Answers with each handler in turn, then with the last one; keeps what it was asked."""

    def __init__(self, *handlers: Handler) -> None:
        self.handlers = list(handlers)
        self.asked: list[httpx2.Request] = []
        self.slept: list[float] = []
        self.states: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return (self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0])(request)

    def model(self, *, dims: int = 2, batch: int = 3) -> EndpointModel:
        return EndpointModel(
            httpx2.Client(transport=httpx2.MockTransport(self)),
            url="http://127.0.0.1:1/v1/",
            name="m",
            key=KEY,
            dims=dims,
            batch=batch,
            timeout_seconds=1,
            sleep=self.slept.append,
            on_state=self.states.append,
        )


def status(code: int, **headers: str) -> Handler:
    return lambda request: httpx2.Response(code, headers=headers, text=f"bad: {request.content!r}")


def broken(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused", request=request)


def test_vectors_come_in_the_order_of_the_texts_in_batches_and_of_unit_length() -> None:
    endpoint = Endpoint(answered)
    model = endpoint.model()
    vectors = model.embed(["a", "bb", "", "ccc", "dddd"])
    expected = np.array([[n, 1.0] if n else [0, 0] for n in (1, 2, 0, 3, 4)], np.float32)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected / np.where(lengths, lengths, 1), atol=1e-6)
    assert [json.loads(one.content)["input"] for one in endpoint.asked] == [["a", "bb", "ccc"], ["dddd"]]
    assert {str(one.url) for one in endpoint.asked} == {"http://127.0.0.1:1/v1/embeddings"}
    assert {one.headers["authorization"] for one in endpoint.asked} == {f"Bearer {KEY}"}
    assert model.model_id == "m-2"
    assert model.embed([]).shape == (0, 2)
    model.close()


def test_nothing_to_reach_a_person_by_is_sent() -> None:
    endpoint = Endpoint(answered)
    endpoint.model().embed(["yoga ana@studio.example +55 11 91234 5678 https://x.example/ana @ana"])
    assert json.loads(endpoint.asked[0].content)["input"] == ["yoga"]


def test_dims_are_asked_of_the_endpoint_where_they_are_not_stated() -> None:
    assert Endpoint(answered).model(dims=0).dims == 2
    with pytest.raises(ModelMissing, match=r"answered 503; state model\.dims"):
        Endpoint(status(503)).model(dims=0)
    nothing = Endpoint(lambda _: httpx2.Response(200, json={"data": [{"index": 0, "embedding": []}]}))
    with pytest.raises(ModelMissing, match="a vector of no dimensions; state"):
        nothing.model(dims=0)


@pytest.mark.parametrize("fault", [broken, status(500), status(429), status(408)])
def test_passing_faults_are_asked_again_after_growing_pauses(fault: Handler) -> None:
    endpoint = Endpoint(fault, fault, answered)
    assert endpoint.model().embed(["a", "bb"]).any(axis=1).all()
    assert len(endpoint.slept) == 2
    assert 0.25 <= endpoint.slept[0] <= 0.5 <= endpoint.slept[1] <= 1.0
    assert endpoint.states == []


def test_a_stated_pause_is_kept_and_a_long_one_not_waited_for() -> None:
    endpoint = Endpoint(status(429, **{"retry-after": "3"}), answered)
    endpoint.model().embed(["a", "bb"])
    assert endpoint.slept == [3.0]
    endpoint = Endpoint(status(429, **{"retry-after": "60"}), answered)
    with pytest.raises(Unavailable):
        endpoint.model().embed(["a", "bb"])
    assert endpoint.slept == []


def test_a_single_text_is_asked_for_once_since_somebody_waits() -> None:
    endpoint = Endpoint(status(503))
    with pytest.raises(Unavailable):
        endpoint.model().embed(["query"])
    assert len(endpoint.asked) == 1 and endpoint.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        status(401),
        status(404),
        status(400),
        lambda _: httpx2.Response(200, text="<html>"),
        lambda _: httpx2.Response(200, json={"data": []}),
        lambda _: httpx2.Response(200, json={"data": [{"index": at, "embedding": [1, 2, 3]} for at in range(2)]}),
        lambda _: httpx2.Response(200, json={"data": [{"index": at, "embedding": [1e308, 1e308]} for at in range(2)]}),
    ],
)
def test_what_does_not_pass_is_unavailable_and_told_once_without_secrets(fault: Handler) -> None:
    endpoint = Endpoint(fault)
    model = endpoint.model()
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            model.embed(["private words", "b"])
        assert KEY not in str(caught.value) and "private" not in str(caught.value)
    assert len(endpoint.states) == 1 and endpoint.states[0]
    endpoint.handlers = [answered]
    model.embed(["a"])
    assert endpoint.states[1:] == [""]


def test_a_text_that_is_refused_does_not_hold_up_the_others() -> None:
    def choosy(request: httpx2.Request) -> httpx2.Response:
        return status(400)(request) if "too long" in json.loads(request.content)["input"] else answered(request)

    vectors = Endpoint(choosy).model().embed(["a", "too long", "ccc"])
    assert vectors.any(axis=1).tolist() == [True, False, True]
