"""Figures of rankings against values worked out by hand, and laws that hold for any ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.evaluation.ranking_metrics import (
    average_precision,
    interval_of_mean,
    ndcg,
    recall,
    reciprocal_rank,
)

AB = {"a": 1.0, "b": 1.0}


def test_ndcg_discounts_by_place_and_knows_grades() -> None:
    assert ndcg(["a", "b", "c"], AB) == pytest.approx(1.0)
    assert ndcg(["c", "a"], AB) == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert ndcg(["x"] * 10 + ["a"], AB) == 0.0
    best = 3 + 1 / math.log2(3)
    assert ndcg(["b", "a"], {"a": 3.0, "b": 1.0}) == pytest.approx((1 + 3 / math.log2(3)) / best)


def test_average_precision_counts_what_was_not_found() -> None:
    assert average_precision(["a", "x", "b"], AB) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(["x", "a"], {"a": 1.0, "b": 1.0, "c": 1.0}) == pytest.approx((1 / 2) / 3)


def test_recall_and_reciprocal_rank() -> None:
    assert recall(["x"] * 99 + ["a", "b"], AB) == 0.5
    assert recall(["a", "a"], AB) == 0.5
    assert reciprocal_rank(["x", "y", "b", "a"], AB) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], AB) == 0.0


METRICS = [ndcg, average_precision, recall, reciprocal_rank]


@given(
    st.lists(st.integers(0, 60).map(str), unique=True, max_size=60),
    st.dictionaries(st.integers(0, 60).map(str), st.sampled_from([1.0, 2.0]), min_size=1, max_size=10),
)
def test_a_perfect_ranking_is_one_and_none_is_beyond(ranked: list[str], gains: dict[str, float]) -> None:
    best = sorted(gains, key=lambda name: -gains[name])
    padded = [*best, *(name for name in ranked if name not in gains)]
    nothing = [name for name in ranked if name not in gains]
    for metric in METRICS:
        assert metric(padded, gains) == pytest.approx(1.0)
        assert metric(nothing, gains) == 0.0
        assert 0.0 <= metric(ranked, gains) <= 1.0 + 1e-9


@given(st.lists(st.integers(0, 30).map(str), unique=True, min_size=2, max_size=30), st.data())
def test_to_move_what_is_relevant_up_never_costs(ranked: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(ranked) - 1))
    gains = {ranked[place]: 1.0}
    better = [*ranked[: place - 1], ranked[place], ranked[place - 1], *ranked[place + 1 :]]
    for metric in METRICS:
        assert metric(better, gains) >= metric(ranked, gains)


def test_an_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    dice = np.random.default_rng(3)
    few, many = dice.random(20), dice.random(2_000)
    low, high = interval_of_mean([few])
    assert low < few.mean() < high
    narrow_low, narrow_high = interval_of_mean([many])
    assert narrow_high - narrow_low < (high - low) / 4
    assert interval_of_mean([few]) == (low, high), "seeded"
    assert interval_of_mean([np.ones(5), np.zeros(9)]) == (0.5, 0.5), "groups count alike, whatever their size"
