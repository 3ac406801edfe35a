"""Weeks of visits in virtual time: fresh, cheap, and never over a limit."""

from __future__ import annotations

import os

import pytest

from daemon.evaluation.ingestion import Report, evaluate

LONG_ACCOUNTS = int(os.environ.get("POKEDEXD_TEST_EVAL_ACCOUNTS", "20000"))


def run(accounts: int, days: float) -> Report:
    report = evaluate(accounts, days, 1, lambda _name, _share: None)
    print(f"{accounts} accounts, {days:g} days, seed {report.seed}")
    for name, one in report.outcomes().items():
        print(
            f"{name:15} units {one.units:8,}  calls {one.calls:9,}  units/post {one.units_per_post:7.3f}  "
            f"delay {one.mean_delay_hours:6.2f} h  fresh {one.fresh}"
        )
    return report


def check(report: Report) -> None:
    assert report.calls_over_limit == 0
    for one in (report.buckets, report.adaptive, report.adaptive_feeds):
        assert min(one.fresh.values()) >= 0.99
        assert one.detected > 0.8 * one.posts  # what was posted last, or by accounts that left, is not seen yet
    assert report.adaptive.mean_delay_hours <= 0.8 * report.buckets.mean_delay_hours
    assert report.adaptive.units <= 1.1 * report.buckets.units


def test_a_week_of_fifteen_hundred_accounts() -> None:
    report = run(1_500, 7)
    check(report)
    assert report.adaptive_feeds.units < 0.5 * report.adaptive.units


@pytest.mark.long
def test_a_month_costs_an_eighth_without_feeds_and_a_fortieth_with_them() -> None:
    """At full size; with few accounts calls go out half empty, so that a cut of it shows less."""
    report = run(LONG_ACCOUNTS, 30)
    check(report)
    packed, with_feeds = (8, 40) if LONG_ACCOUNTS >= 20_000 else (5, 12)
    assert report.buckets.units * packed <= report.naive.units
    assert report.adaptive_feeds.units * with_feeds <= report.naive.units
