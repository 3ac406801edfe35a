from __future__ import annotations

import numpy as np

from stores.match_set import MatchSet
from stores.ports import Weights
from stores.ranking import Candidates, rank
from stores.rankings import KeptRankings, Ranking

KEPT_BYTES = 64_000_000
"""As the daemon keeps."""
WEIGHTS = Weights(keyword=0.5, vector=0.4, quality=0.1, fields={})


def of_everyone(count: int) -> Ranking:
    """Whoever there is, as a search without words has them."""
    rows, scores, nothing = np.arange(count, dtype=np.uint32), np.zeros(count, np.float32), np.zeros(count, bool)
    found = MatchSet(
        rows=rows,
        keyword=scores,
        exact=nothing,
        compared=nothing,
        total=count,
        complete=True,
        floor=0.0,
        words=(),
        passing=None,
        plan="none",
    )
    candidates = Candidates(
        creator_ids=rows.astype(np.int64),
        keyword=scores,
        exact=nothing,
        similarities={},
        having={},
        quality=np.ones(count, np.float32),
        preferred=np.zeros(count, bool),
    )
    ranked = rank(candidates, WEIGHTS)
    return Ranking(
        found=found, candidates=candidates, ranked=ranked, order=ranked.order, sure=count, hasty=False, facets=None
    )


def test_pages_of_a_million_creators_are_cut_from_one_ranking() -> None:
    kept, ranking = KeptRankings(KEPT_BYTES), of_everyone(1_000)
    assert ranking.size_bytes * 1_000 < KEPT_BYTES
    name = kept.put(b"asked", ranking)
    assert kept.get(name, b"asked") is ranking
    assert kept.get(name, b"another") is None


def test_the_latest_rankings_are_kept_within_the_bound() -> None:
    ranking = of_everyone(100)
    kept = KeptRankings(3 * ranking.size_bytes)
    names = [kept.put(b"asked", ranking) for _ in range(3)]
    assert kept.get(names[0], b"asked") is ranking
    names.append(kept.put(b"asked", ranking))
    assert [kept.get(name, b"asked") is not None for name in names] == [True, False, True, True]
    assert KeptRankings(ranking.size_bytes - 1).put(b"asked", ranking) == ""
