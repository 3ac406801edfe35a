"""Real creators are found by their titles and handles, and by titles with a typo, in every script."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.evaluation.virtual_time import VirtualThreads
from stores.blocking import Blocking
from stores.text_index import TantivyTextIndex
from tests.stores.known_items import Item, load_items, may_be_mistyped, mistyped, qualities, rank_of, script_of

pytestmark = pytest.mark.shared
SEED = 7
INDEXED, ASKED = 6_000, 400
SCRIPTS = ("HANGUL", "CYRILLIC", "KATAKANA", "HIRAGANA", "CJK", "DEVANAGARI", "ARABIC", "THAI")


@pytest.fixture(scope="module")
def items(shared_data: Path) -> list[Item]:
    """A sample, and everybody whose name is in another script than Latin."""
    found = load_items(shared_data)
    chosen = random.Random(SEED)
    foreign = [item for item in found if script_of(item.title) in SCRIPTS]
    return foreign + chosen.sample([item for item in found if script_of(item.title) not in SCRIPTS], INDEXED)


@pytest.fixture
async def index(tmp_path: Path, threads: VirtualThreads, items: list[Item]) -> AsyncIterator[TantivyTextIndex]:
    opened = await TantivyTextIndex.create_empty(tmp_path, blocking=lambda name, limit: Blocking(name, limit, threads))
    await opened.upsert([item.document for item in items])
    await opened.commit(1)
    yield opened
    await opened.close()


async def test_known_items_are_found(index: TantivyTextIndex, items: list[Item]) -> None:
    chosen = random.Random(SEED)
    foreign = [item for item in items if script_of(item.title) in SCRIPTS]
    quality = qualities(items)
    for name, asked in (("other scripts", foreign), ("all", chosen.sample(items, ASKED))):
        titles = [rank_of(index, item.title, item.document.row, quality) for item in asked]
        handles = [rank_of(index, item.handle, item.document.row, quality) for item in asked if item.handle]
        typed = [(item, mistyped(item.title, chosen)) for item in asked if may_be_mistyped(item.title)]
        typos = [rank_of(index, text, item.document.row, quality) for item, text in typed]
        print(
            f"{name}: {len(titles)} titles first {share(titles, 1):.4f}, {len(handles)} handles first "
            f"{share(handles, 1):.4f}, {len(typos)} titles with a typo among ten {share(typos, 10):.4f}"
        )
        assert share(titles, 1) >= 0.97
        assert share(handles, 1) >= 0.995
        assert share(typos, 10) >= 0.95


def share(ranks: list[int], best: int) -> float:
    return sum(0 < rank <= best for rank in ranks) / len(ranks)
