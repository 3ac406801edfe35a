from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from daemon.web.charts import HEIGHT, LEFT, WIDTH, Point, line_chart, nice_ticks, percent_of, short, spark, stacked
from daemon.web.history import added_up, spark_values
from proto.ids import AccountKey
from proto.records import MetricSnapshot

DAYS = st.lists(st.integers(19_000, 20_000), min_size=2, max_size=60, unique=True).map(sorted)
VALUES = st.floats(0, 1e9, allow_nan=False)


@given(DAYS, st.data())
def test_every_reading_stands_inside_the_picture(days: list[int], data: st.DataObject) -> None:
    points: list[Point] = [(float(day), data.draw(VALUES)) for day in days]
    chart = line_chart(points)
    assert chart is not None
    places = [tuple(map(float, one.split())) for line in chart.lines for one in line[1:].split("L")]
    places += chart.dots
    assert len(places) == len(points)
    assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert f"{len(points)} readings" in chart.summary


@given(VALUES, VALUES, st.integers(1, 8))
def test_ticks_are_round_and_hold_all_values(one: float, other: float, wanted: int) -> None:
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high, wanted)
    assert ticks[0] <= low + 1e-6 * max(1, high)
    assert ticks[-1] >= high - 1e-6 * max(1, high)
    assert len(ticks) <= wanted + 3


def test_days_without_readings_are_a_gap() -> None:
    points = [(float(day), 100.0 + day) for day in (100, 101, 102, 110, 111, 130)]
    chart = line_chart(points)
    assert chart is not None
    assert (len(chart.lines), len(chart.dots)) == (2, 1)
    assert "gap" in chart.summary
    assert line_chart(points[:1]) is None


@given(st.lists(st.none() | VALUES, max_size=40))
def test_a_spark_is_a_path_of_what_is_known(values: list[float | None]) -> None:
    drawn = spark(values)
    assert re.fullmatch(r"(M\d+ \d+(l3 -?\d+)*)*", drawn)
    assert not drawn or sum(value is not None for value in values) > 1


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(-1, 1)), max_size=8))
def test_pieces_of_a_bar_lie_side_by_side(parts: list[tuple[str, float]]) -> None:
    at = 0.0
    for piece in stacked(parts):
        assert abs(piece.at - at) < 0.02
        at += piece.width
    assert at <= 100.1


def test_shares_of_nothing_are_nothing() -> None:
    assert (percent_of(3, 0), percent_of(-1, 5), percent_of(9, 3)) == (0.0, 0.0, 100.0)
    assert [short(value) for value in (0, 950, 1_500, 2.5e6, 3e9)] == ["0", "950", "1.5k", "2.5M", "3B"]


def test_an_account_that_joins_later_is_no_growth() -> None:
    def of(name: str, counts: dict[int, int]) -> tuple[AccountKey, list[MetricSnapshot]]:
        key = AccountKey(name)
        return key, [MetricSnapshot(entity=key, day=day, followers=count) for day, count in counts.items()]

    histories = dict([of("youtube:a", {1: 100, 2: 110, 4: 120}), of("instagram:b", {2: 50, 3: 60})])
    assert added_up(histories, "followers") == [(2.0, 160.0), (3.0, 170.0), (4.0, 180.0)]
    assert spark_values(added_up(histories, "followers")) == [160.0, 170.0, 180.0]
    assert spark_values([(1.0, 5.0)]) == []
    assert spark_values([(1.0, 5.0), (3.0, 9.0)]) == [5.0, 7.0, 9.0]
    assert spark_values([(1.0, 5.0), (5.0, 9.0)], 3) == [None, None, 9.0]
    assert added_up({}, "followers") == []
