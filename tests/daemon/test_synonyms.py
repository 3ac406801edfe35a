from __future__ import annotations

from pathlib import Path

import pytest

from daemon.evaluation.virtual_time import VirtualThreads
from daemon.synonyms import niche_synonyms
from models.taxonomy import Taxonomy
from stores.blocking import Blocking
from stores.keyword_match import EVERY_WORD
from stores.text_index import TantivyTextIndex
from tests.stores.conformance.text_index_suite import document, taken_in

TAXONOMY = Taxonomy.load()


@pytest.mark.parametrize(
    ("word", "niche_word"), [("workout", "fitness"), ("treino", "fitness"), ("jogo", "gaming"), ("игра", "gaming")]
)
def test_a_word_stands_for_its_niche(word: str, niche_word: str) -> None:
    assert niche_word in niche_synonyms(TAXONOMY)[word]


def test_no_word_stands_for_itself_or_for_many() -> None:
    for word, others in niche_synonyms(TAXONOMY).items():
        assert word not in others
        assert 1 <= len(others) <= 8, word


async def test_a_niche_stands_in_where_few_hold_the_word(tmp_path: Path, threads: VirtualThreads) -> None:
    index = await TantivyTextIndex.create_empty(
        tmp_path, blocking=lambda name, limit: Blocking(name, limit, threads), synonyms=niche_synonyms(TAXONOMY)
    )
    labelled = [document(row, niche="Fitness", bio="abs every day") for row in range(12)]
    wrote_so = [document(20 + row, bio="workout with friends") for row in range(12)]
    await taken_in(index, [*labelled, *wrote_so[:3], document(40, bio="something else")], 1)
    few = await index.query("workout", 100)
    assert few.total == 15
    assert few.rows[:3].tolist() == [20, 21, 22]
    assert few.scores[2] >= EVERY_WORD > few.scores[3]
    await taken_in(index, wrote_so, 2)
    assert (await index.query("workout", 100)).total == 12
    await index.close()
