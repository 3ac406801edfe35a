"""Columns against plain Python over the same creators: masks by three-valued logic, facets by counting."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.errors import FilterError
from proto.ids import CreatorId, Platform, Row, account_key
from proto.records import Activity, Creator, Enrichment
from proto.tiers import tier_of
from stores.codec import decode, encode
from stores.columns import FIRST_CAPACITY, Columns
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_columns import COLUMNS, FACETS, Kind
from stores.filter_masks import MaskContext
from stores.filters import columns_of, parse_filter, relaxable, without_column
from stores.ports import Rows
from tests.stores.filter_trees import LISTS, NICHES, NUMBERS, STYLES, SUBJECTS, VALUES, trees

NOW = 1_790_000_000
DAY = 86_400
CONTEXT = MaskContext(now=NOW)
COUNT = 120
PRESENT = tuple(row for row in range(COUNT) if row % 7)
"""Some rows stand for nobody."""


def creator(row: int, **fields: object) -> Creator:
    return Creator(creator_id=CreatorId(1_000 + row), row=Row(row), name="A", **fields)  # type: ignore[arg-type]


def random_creator(dice: random.Random, row: int) -> Creator:
    """Every value is unknown now and then."""

    def maybe(value: object) -> object:
        return None if dice.random() < 0.3 else value

    platforms = dice.sample(list(Platform), dice.randint(0, 3))
    counts = {one.value: int(dice.choice(NUMBERS)) for one in platforms if dice.random() < 0.8}
    posted = maybe(NOW - int(dice.choice(NUMBERS[:8]) * DAY))
    method = maybe(dice.choice(("local", "llm")))
    return creator(
        row,
        account_keys=[account_key(one, f"{row}-{n}") for one in platforms for n in range(dice.randint(1, 2))],
        primary_niche=maybe(dice.choice(NICHES)),
        secondary_niches=dice.sample(SUBJECTS, dice.randint(0, 5)) if dice.random() < 0.6 else [],
        content_style=maybe(dice.choice(STYLES)),
        country=maybe(dice.choice(("BR", "DE", "IN", "US"))),
        language=maybe(dice.choice(("de", "en", "in", "pt"))),
        total_followers=sum(counts.values()) if counts else None,
        followers_by_platform=counts,
        engagement_rate=maybe(dice.choice(NUMBERS)),
        posts_per_week=maybe(dice.choice(NUMBERS)),
        growth_30d=maybe(dice.choice(NUMBERS)),
        views_per_follower=maybe(dice.choice(NUMBERS)),
        sponsored_share=maybe(dice.choice(NUMBERS)),
        identity_confidence=dice.choice(NUMBERS),
        derived_activity=maybe(dice.choice(list(Activity))),
        last_content_at=posted,
        oldest_fetched_at=dice.choice((None, 0, NOW - int(dice.choice(NUMBERS[:8]) * DAY))),
        has_email=maybe(dice.random() < 0.5),
        has_website=maybe(dice.random() < 0.5),
        enrichment=method
        and Enrichment(method=str(method), model="m", prompt_version="1", taxonomy_version="1", input_hash="h", at=NOW),
    )


class World:
    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.creators = {row: random_creator(dice, row) for row in PRESENT}
        self.columns = Columns()
        self.columns.upsert_all([Row(row) for row in PRESENT], list(self.creators.values()))
        self.lists = {name: some_rows(dice) for name in LISTS[:2]}  # the third is nobody's
        self.context = MaskContext(now=NOW, lists=self.lists, hidden=some_rows(dice))
        self.rows = np.array(PRESENT, np.uint32)


def some_rows(dice: random.Random) -> Rows:
    return np.array(sorted(dice.sample(range(COUNT * 2), COUNT)), np.uint32)


@cache
def world(seed: int = 1) -> World:
    return World(seed)


# the oracle


GETTERS: dict[str, Callable[[Creator], object]] = {
    "niche": lambda one: one.primary_niche,
    "style": lambda one: one.content_style,
    "country": lambda one: one.country,
    "language": lambda one: one.language,
    "activity": lambda one: one.derived_activity,
    "tier": lambda one: tier_of(one.total_followers),
    "label_method": lambda one: one.enrichment and one.enrichment.method,
    "followers": lambda one: one.total_followers,
    "last_posted_days": lambda one: days_since(one.last_content_at),
    "fresh_days": lambda one: days_since(one.oldest_fetched_at or None),
    "email": lambda one: None if one.has_email is None else str(one.has_email).lower(),
    "website": lambda one: None if one.has_website is None else str(one.has_website).lower(),
}


def days_since(instant: int | None) -> float | None:
    return None if instant is None else (NOW - instant) / DAY


def value(world: World, one: Creator, column: str) -> object:
    """None where unknown; a set of all values for what has several."""
    if column == "hidden":
        return str(bool(one.row in world.context.hidden)).lower()
    if column == "list":
        return {name for name, rows in world.lists.items() if one.row in rows}
    if column == "platform":
        return {key.split(":")[0] for key in one.account_keys} or None
    if column == "secondary_niche":
        return set(one.secondary_niches) if one.secondary_niches or one.primary_niche else None
    if column == "any_niche":
        return {*one.secondary_niches, *([one.primary_niche] if one.primary_niche else [])} or None
    if column.startswith("followers."):
        return one.followers_by_platform.get(column.partition(".")[2])
    return GETTERS[column](one) if column in GETTERS else getattr(one, column)


def truth(world: World, one: Creator, node: Node) -> bool | None:
    """Kleene: None where unknown."""
    if isinstance(node, And | Or):
        parts = [truth(world, one, part) for part in node.of]
        decided = isinstance(node, Or)
        return decided if decided in parts else None if None in parts else not decided
    if isinstance(node, Not):
        inner = truth(world, one, node.of)
        return None if inner is None else not inner
    known = value(world, one, node.column)
    if isinstance(node, Exists):
        return known not in (None, set())
    if isinstance(node, In):
        return None if known is None else bool((known if isinstance(known, set) else {known}) & set(node.values))
    return within(node, known)


def within(node: Range, known: object) -> bool | None:
    if known is None:
        return True if node.unknown else None
    assert isinstance(known, int | float)
    return (
        (node.gte is None or known >= node.gte)
        and (node.gt is None or known > node.gt)
        and (node.lte is None or known <= node.lte)
        and (node.lt is None or known < node.lt)
    )


def passing(world: World, node: Node | None) -> list[int]:
    rows = [row for row, one in world.creators.items() if node is None or truth(world, one, node) is True]
    return [row for row in rows if "hidden" in columns_of(node) or row not in world.context.hidden]


# masks


@settings(max_examples=120)
@given(trees(), st.integers(1, 3))
def test_a_mask_is_what_three_valued_logic_says_of_each_creator(node: Node, seed: int) -> None:
    here = world(seed)
    wanted = passing(here, node)
    assert np.flatnonzero(here.columns.mask(node, here.context)).tolist() == wanted
    some = here.rows[::3]
    assert some[here.columns.passing(node, some, here.context)].tolist() == [row for row in some if row in set(wanted)]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_answers_alone_and_in_the_negative(name: str) -> None:
    here, known = world(), COLUMNS[name].values or VALUES.get(name, ())
    leaves: list[Node] = [Exists(column=name)]
    leaves += [In(column=name, values=(one,)) for one in known[:6]]
    leaves += [In(column=name, values=known[1:]), In(column=name, values=())] if known else []
    if COLUMNS[name].kind is Kind.NUMBER:
        leaves += [Range(column=name, **{sign: 7.0}) for sign in ("gte", "gt", "lte", "lt")]  # type: ignore[arg-type]
        leaves += [Range(column=name, gte=1.0, lt=7.0), Range(column=name, gt=7.0, unknown=True)]
    for leaf in leaves:
        for node in (leaf, Not(of=leaf)):
            mask = here.columns.mask(node, here.context)
            assert np.flatnonzero(mask).tolist() == passing(here, node), node


@settings(max_examples=50)
@given(trees())
def test_unknown_matches_neither_a_filter_nor_its_opposite(node: Node) -> None:
    here = world()
    mine, opposite = (here.columns.mask(one, here.context) for one in (node, Not(of=node)))
    assert not (mine & opposite).any()


@settings(max_examples=50)
@given(trees())
def test_dropping_a_condition_loses_nobody(node: Node) -> None:
    here = world()
    mine = here.columns.mask(node, here.context)
    for dropped, rest in relaxable(node):
        left = here.columns.mask(rest, here.context)
        if "hidden" not in columns_of(node):
            assert (mine <= left).all()
            assert (mine == (left & here.columns.mask(dropped, here.context))).all()


def test_without_a_filter_everybody_who_is_not_hidden_passes() -> None:
    here = world()
    assert np.flatnonzero(here.columns.mask(None, here.context)).tolist() == passing(here, None)
    assert here.columns.mask(None, MaskContext(now=NOW)).sum() == len(PRESENT)
    assert Columns().mask(None, here.context).tolist() == []


@pytest.mark.parametrize("column", [one for one in COLUMNS.values() if one.kind is Kind.NUMBER])
def test_nobody_of_whom_a_number_is_unknown_is_in_a_range_unless_asked(column: object) -> None:
    here, name = world(), column.name  # type: ignore[attr-defined]
    context = CONTEXT
    everything, asked, known = (
        here.columns.mask(parse_filter(f"{name} {test}"), context)
        for test in ("-1e9 TO 1e9", "-1e9 TO 1e9 OR UNKNOWN", "EXISTS")
    )
    assert (everything == known).all()
    assert asked.sum() == len(PRESENT)
    lacking = [row for row, one in here.creators.items() if value(here, one, name) is None]
    assert np.flatnonzero(asked & ~everything).tolist() == lacking


def test_days_are_counted_to_the_second() -> None:
    columns = Columns()
    columns.upsert(Row(0), creator(0, last_content_at=NOW - 7 * DAY))
    columns.upsert(Row(1), creator(1, last_content_at=NOW - 7 * DAY - 1))

    def found(text: str) -> list[int]:
        return np.flatnonzero(columns.mask(parse_filter(text), MaskContext(now=NOW))).tolist()

    assert [found(f"last_posted {sign} 7d") for sign in ("<", "<=", "=", ">=", ">")] == [[], [0], [0], [0, 1], [1]]


def test_what_is_no_column_of_its_kind_is_refused() -> None:
    here = world()
    for node in (
        In(column="nich", values=("food",)),
        In(column="followers", values=("5",)),
        Range(column="niche", gte=5),
        Range(column="followers"),
        Exists(column="x"),
    ):
        with pytest.raises(FilterError) as caught:
            here.columns.mask(node, here.context)
        assert caught.value.column == node.column


# facets and sorting


@settings(max_examples=60)
@given(trees(), st.sampled_from(FACETS), st.integers(1, 3))
def test_facets_are_what_counting_gives(node: Node, name: str, seed: int) -> None:
    here = world(seed)
    rows = np.flatnonzero(here.columns.mask(node, here.context)).astype(np.uint32)
    counts: Counter[object] = Counter()
    for row in rows:
        known = value(here, here.creators[int(row)], name)
        counts.update(known if isinstance(known, set) else [known] if known is not None else [])
    found = here.columns.facet(name, rows)
    assert found == dict(counts)
    assert list(found.items()) == sorted(found.items(), key=lambda one: (-one[1], one[0]))


def test_a_facet_without_its_own_conditions_counts_what_else_could_be_chosen() -> None:
    here = world()
    chosen = parse_filter("niche = food AND followers EXISTS")
    rows = np.flatnonzero(here.columns.mask(without_column(chosen, "niche"), here.context)).astype(np.uint32)
    mine = np.flatnonzero(here.columns.mask(chosen, here.context)).astype(np.uint32)
    counts = here.columns.facet("niche", rows)
    assert set(counts) == set(NICHES)
    assert here.columns.facet("niche", mine) == {"food": counts["food"]}


def test_sorting_has_every_number_and_nan_where_it_is_unknown() -> None:
    here = world()
    for name, column in (
        ("followers", "followers"),
        ("engagement_rate", "engagement_rate"),
        ("growth_30d", "growth_30d"),
    ):
        wanted = [value(here, one, column) for one in here.creators.values()]
        found = [None if np.isnan(one) else one for one in here.columns.sort_values(name, here.rows)]
        assert found == wanted
    posted = here.columns.sort_values("last_posted", here.rows)
    assert [None if np.isnan(one) else one for one in posted] == [one.last_content_at for one in here.creators.values()]


def test_an_unknown_facet_or_sorting_is_refused_with_a_near_match() -> None:
    here = world()
    with pytest.raises(FilterError, match=r"unknown facet 'nich'; did you mean 'niche'\?"):
        here.columns.facet("nich", here.rows)
    with pytest.raises(FilterError, match="unknown facet 'followers'; facets are platform"):
        here.columns.facet("followers", here.rows)
    with pytest.raises(FilterError, match=r"no sorting by 'follower'; did you mean 'followers'\?"):
        here.columns.sort_values("follower", here.rows)


# the arrays


def test_what_is_removed_leaves_nothing_behind() -> None:
    here = World(4)
    row = Row(PRESENT[0])
    here.columns.remove(row)
    here.columns.remove(Row(10**6))
    context = MaskContext(now=NOW)
    for name, column in COLUMNS.items():
        if not column.tenant:
            for mask in (Exists(column=name), Not(of=Exists(column=name))):
                assert not here.columns.mask(mask, context)[row]
    assert here.columns.known(here.rows).tolist() == list(PRESENT[1:])
    assert all(np.isnan(here.columns.sort_values(name, np.array([row])))[0] for name in ("followers", "last_posted"))
    assert here.columns.facet("platform", np.array([row], np.uint32)) == {}
    here.columns.upsert(row, creator(row))
    assert not here.columns.mask(parse_filter("followers EXISTS OR niche EXISTS OR email EXISTS"), context)[row]


def test_a_creator_that_comes_again_has_its_new_values_alone() -> None:
    columns = Columns()
    columns.upsert(Row(0), creator(0, primary_niche="food", secondary_niches=["a", "b"], total_followers=5))
    columns.upsert(Row(0), creator(0, primary_niche="music", secondary_niches=["c"]))
    row = np.zeros(1, np.uint32)
    assert [columns.facet(name, row) for name in ("niche", "secondary_niche", "tier")] == [{"music": 1}, {"c": 1}, {}]


def test_there_may_be_more_values_than_a_byte_counts() -> None:
    columns = Columns()
    names = [f"n{number:03}" for number in range(600)]
    for row, name in enumerate(names):
        columns.upsert(Row(row), creator(row, primary_niche=name, secondary_niches=[name, names[row - 1]]))
    rows, context = columns.rows(), MaskContext(now=NOW)
    for name in ("niche", "secondary_niche"):
        assert columns.facet(name, rows) == dict.fromkeys(names, 1 if name == "niche" else 2)
        for wanted in (names[:1], names[250:270], names[:599]):
            mask = columns.mask(In(column=name, values=(*wanted, "unheard-of")), context)
            assert mask.sum() == len({*wanted} if name == "niche" else near_to(names, wanted))
    assert set(columns.values("niche")) == set(names)


def near_to(names: Sequence[str], wanted: Sequence[str]) -> set[int]:
    return {row for row, name in enumerate(names) if name in wanted or names[row - 1] in wanted}


def test_a_reader_beside_the_writer_sees_whole_rows_of_what_does_not_change() -> None:
    """While rows are added and the arrays grow, those that were there keep their values under every look."""
    columns, count = Columns(), 500
    old = [creator(row, total_followers=row, primary_niche="food", secondary_niches=["a"]) for row in range(count)]
    columns.upsert_all([one.row for one in old], old)
    node = parse_filter(
        "followers < 500 AND niche = food AND secondary_niche = a AND NOT email = true OR followers < 500"
    )
    everyone, done, looks = np.arange(count, dtype=np.uint32), threading.Event(), list[bool]()

    def read() -> None:
        while not (looks and done.is_set()):
            mask = columns.mask(node, CONTEXT)
            whole = np.array_equal(np.flatnonzero(mask), everyone)
            looks.append(whole and columns.facet("niche", everyone) == {"food": count})

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        for row in range(count, FIRST_CAPACITY * 3, 8):
            new = [
                creator(at, total_followers=at, primary_niche=f"n{at}", secondary_niches=[f"s{at}", "b"])
                for at in range(row, row + 8)
            ]
            columns.upsert_all([one.row for one in new], new)
    finally:
        done.set()
        reader.join()
    assert looks
    assert all(looks)
    assert columns.count() >= FIRST_CAPACITY * 3


def test_nobody_is_put_into_a_tier_by_followers_of_which_nothing_may_be_made() -> None:
    columns = Columns(derives=(Platform.INSTAGRAM,))
    keys = [account_key(Platform.YOUTUBE, "1"), account_key(Platform.INSTAGRAM, "2")]
    counts = {"youtube": 2_000_000, "instagram": 20_000}
    columns.upsert(Row(0), creator(0, account_keys=keys, followers_by_platform=counts, total_followers=2_020_000))
    columns.upsert(
        Row(1),
        creator(1, account_keys=keys[:1], followers_by_platform={"youtube": 5}, total_followers=5),
    )
    assert columns.facet("tier", columns.rows()) == {"micro": 1}
    assert columns.mask(parse_filter("tier NOT EXISTS"), CONTEXT)[:2].tolist() == [False, True]


def test_a_creator_costs_little_memory() -> None:
    assert world().columns.bytes_a_row() <= 150


def test_a_creator_that_an_earlier_version_stored_can_be_read_and_filtered() -> None:
    stored = msgspec.msgpack.decode(encode(creator(0, total_followers=20_000, activity=Activity.ACTIVE))[1:])
    fields = msgspec.structs.fields(Creator)
    earlier = [field.name for field in fields].index("views_per_follower")
    old = decode(Creator, encode(creator(0))[:1] + msgspec.msgpack.encode(stored[:earlier]))
    columns = Columns()
    columns.upsert(Row(0), old)
    assert columns.mask(parse_filter("followers = 20k AND tier = micro"), CONTEXT)[0]
    for name in ("activity", "email", "website", "views_per_follower", "sponsored_share", "fresh_days"):
        assert columns.mask(Not(of=Exists(column=name)), CONTEXT)[0]


def test_quality_is_of_what_may_be_derived() -> None:
    """The same for every channel where the grant is denied, be it in the ranking or among suggestions."""
    columns = Columns([Platform.INSTAGRAM])
    channels = [
        Creator(
            creator_id=CreatorId(followers),
            row=Row(0),
            account_keys=[account_key(Platform.YOUTUBE, "a")],
            total_followers=followers,
            followers_by_platform={"youtube": followers},
        )
        for followers in (7, 7_000_000)
    ]
    assert len({columns.quality_of(one) for one in channels}) == 1
    assert len({Columns().quality_of(one) for one in channels}) == 2
