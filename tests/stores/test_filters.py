"""Filters as text and as JSON: both ways, errors that name the place, and input that means harm."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.errors import FilterError, Malformed
from stores.filter_ast import And, Exists, In, Node, Not, Or, Range
from stores.filter_columns import COLUMNS, FACETS, MAX_NUMBER, Kind
from stores.filter_limits import MAX_BYTES, MAX_CHARS, MAX_DEPTH, MAX_NODES, MAX_VALUES
from stores.filters import (
    all_of,
    check_filter,
    columns_of,
    conditions_of,
    decode_filter,
    encode_filter,
    parse_filter,
    relaxable,
    show_filter,
    without_column,
)
from tests.stores.filter_trees import NICHES, VALUES, trees

VOCABULARY = {name: VALUES[name] for name in ("niche", "secondary_niche", "any_niche", "style")}
EMAIL = In(column="email", values=("true",))
NUMBERS = st.floats(-MAX_NUMBER, MAX_NUMBER)


def one_of(column: str, *values: str) -> In:
    return In(column=column, values=values)


@settings(max_examples=150)
@given(trees(NUMBERS))
def test_what_is_shown_means_the_same_and_so_does_the_json(node: Node) -> None:
    assert parse_filter(show_filter(node), VOCABULARY) == node
    assert decode_filter(encode_filter(node), VOCABULARY) == node
    assert decode_filter(msgspec.to_builtins(node), VOCABULARY) == node


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_value_can_be_written(value: str) -> None:
    node = Not(of=And(of=(one_of("list", value), one_of("list", value, ""))))
    assert parse_filter(show_filter(node)) == node


PIECES = (
    *COLUMNS,
    *[
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "<>",
        "==",
        "!",
        "(",
        ")",
        "[",
        "]",
        ",",
        '"',
        "'",
        "\\",
        "AND",
        "OR",
        "NOT",
        "IN",
        "TO",
        "EXISTS",
        "UNKNOWN",
        "TRUE",
        "FALSE",
    ],
    *[
        "youtube",
        "gaming",
        "5",
        "5k",
        "3%",
        "7d",
        "-1",
        "1e999",
        "nan",
        "inf",
        ".5",
        "0x1",
        "5_0",
        "٣",
        "ß",
        "İ",
        "\x00",
        "\n",
        "�",
    ],
)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=20), st.sampled_from(("", " ")))
def test_pieces_of_filters_in_any_order_are_a_filter_or_a_filter_error(pieces: list[str], between: str) -> None:
    understood(between.join(pieces))


@settings(max_examples=150)
@given(st.text(max_size=80))
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    understood(text)


def understood(text: str) -> None:
    try:
        node = parse_filter(text)
    except FilterError as error:
        assert str(error)
        assert error.position is None or 1 <= error.position <= len(text) + 1
    else:
        assert parse_filter(show_filter(node)) == node


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(COLUMNS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("op", "of", "column", "values", "gte", "lt", "x")), inner, max_size=4)
        | st.fixed_dictionaries(
            {"op": st.sampled_from(("and", "or", "not", "in", "range", "exists"))},
            optional={"of": inner, "column": inner, "values": inner, "gte": inner, "lt": inner},
        )
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(JSON)
def test_any_json_is_a_filter_or_a_filter_error(given_json: Any) -> None:
    try:
        node = decode_filter(given_json)
    except FilterError as error:
        assert str(error)
    else:
        assert decode_filter(encode_filter(node)) == node


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_filter_or_a_filter_error(data: bytes) -> None:
    with pytest.raises(FilterError):
        decode_filter(data)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("platform = youtube", one_of("platform", "youtube")),
        ("Platform == 'YouTube'", one_of("platform", "youtube")),
        ('platform IN [youtube, "instagram"]', one_of("platform", "youtube", "instagram")),
        ("platform not in (x)", Not(of=one_of("platform", "x"))),
        ("country = in", one_of("country", "IN")),
        ("list = My-List", one_of("list", "My-List")),
        ("niche != gaming", Not(of=one_of("niche", "gaming"))),
        ("niche <> gaming", Not(of=one_of("niche", "gaming"))),
        ("email", EMAIL),
        ("has_email AND NOT website", And(of=(EMAIL, Not(of=one_of("website", "true"))))),
        ("email OR UNKNOWN", Or(of=(EMAIL, Not(of=Exists(column="email"))))),
        ("country EXISTS", Exists(column="country")),
        ("EXISTS country", Exists(column="country")),
        ("country NOT EXISTS", Not(of=Exists(column="country"))),
        ("followers 5k TO 1.5m", Range(column="followers", gte=5_000, lte=1_500_000)),
        ("followers >5k to <50k", Range(column="followers", gt=5_000, lt=50_000)),
        ("followers >= 5_000", Range(column="followers", gte=5_000)),
        ("followers.youtube<2b", Range(column="followers.youtube", lt=2e9)),
        ("followers = 5", Range(column="followers", gte=5, lte=5)),
        ("followers != 5", Not(of=Range(column="followers", gte=5, lte=5))),
        ("engagement_rate >= 3.3%", Range(column="engagement_rate", gte=0.033)),
        ("growth > -5%", Range(column="growth_30d", gt=-0.05)),
        ("last_posted < 7d", Range(column="last_posted_days", lt=7)),
        ("last_posted_days < 7", Range(column="last_posted_days", lt=7)),
        ("fresh <= 36h", Range(column="fresh_days", lte=1.5)),
        ("last_posted 1mo TO 1y", Range(column="last_posted_days", gte=30, lte=365)),
        ("followers > 5 OR UNKNOWN", Range(column="followers", gt=5, unknown=True)),
        ("followers > 5 OR UNKNOWN OR email", Or(of=(Range(column="followers", gt=5, unknown=True), EMAIL))),
        ("NOT followers > 5 OR UNKNOWN", Not(of=Range(column="followers", gt=5, unknown=True))),
        ("email AND email OR email", Or(of=(And(of=(EMAIL, EMAIL)), EMAIL))),
        ("email AND (email OR email)", And(of=(EMAIL, Or(of=(EMAIL, EMAIL))))),
        ("((email))", EMAIL),
        ("TRUE AND FALSE", And(of=(And(of=()), Or(of=())))),
        ("NOT NOT email", Not(of=Not(of=EMAIL))),
    ],
)
def test_what_text_means(text: str, node: Node) -> None:
    assert parse_filter(text, VOCABULARY) == node


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the filter is empty at character 1; leave it out, or write a condition"),
        ("ab folowers > 5", "unknown column 'ab' at character 1; columns are platform, followers, "),
        ("email AND folowers > 5", "unknown column 'folowers' at character 11; did you mean 'followers'?"),
        ("niche = gamign", "unknown value 'gamign' of niche at character 9; did you mean 'gaming'?"),
        ("platform IN [youtube, instagarm]", "'instagarm' of platform at character 23; did you mean 'instagram'?"),
        ("activity = dead", "of activity at character 12; known are active, long_tail, semi_active"),
        (
            "country = Brazil",
            "'Brazil' is no value of country at character 11; expected two letters (ISO 3166-1), such as BR",
        ),
        ("country = ß", "is no value of country at character 11"),
        ("followers = many", "expected a number for followers, not 'many', at character 13; such as 5, 5k, 5m, 5b"),
        ("followers > 5%", "'5%' is no number of followers at character 13; such as 5, 5k, 5m, 5b"),
        ("followers IN [5]", "followers is a number at character 11; give a range, such as followers >= 5"),
        ("followers 50k TO 5k", "the range of followers ends before it begins at character 18"),
        ("followers > 1e16", "a bound of followers is beyond 1e+15 at character 13"),
        ("followers > 1e999", "a bound of followers is beyond 1e+15 at character 13"),
        ("followers", "expected a comparison with followers, not the end at character 10; such as followers >= 5"),
        ("followers 5k", "expected TO and a second number, not the end at character 13"),
        ("niche > 5", "unexpected '>' after niche at character 7; after a column comes =, !=, IN"),
        ("niche", "nothing follows niche at character 6; after a column comes =, !=, IN"),
        (
            '{"op": "exists", "column": "niche"}',
            "as JSON, given as a text at character 1; it goes as it is into a JSON body",
        ),
        ("email email", "unexpected 'email' after email at character 7"),
        ("(email", "expected ')', not the end at character 7; '(' was opened at 1"),
        ("email)", "unexpected ')' at character 6; join conditions by AND or OR"),
        ("platform = x email", "unexpected 'email' at character 14; join conditions by AND or OR"),
        ("platform IN x", "expected [ after IN, not 'x' at character 13"),
        ("platform IN [x", "expected ',', not the end at character 15; '[' was opened at 13"),
        ("platform =", "expected a value of platform, not the end at character 11"),
        ("platform NOT = x", "expected IN or EXISTS, not '=' at character 14"),
        ("list = 'x", "a quote that is not closed at character 8"),
        ("list ! x", "unexpected '!' at character 6; not equal is !="),
        ("'email'", "expected a column, not 'email' at character 1"),
        ("AND", "unknown column 'AND' at character 1"),
    ],
)
def test_an_error_names_the_character_and_the_remedy(text: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, VOCABULARY)
    assert message in str(caught.value)
    assert f"at character {caught.value.position}" in message


@pytest.mark.parametrize(
    ("data", "pointer", "message"),
    [
        ({"op": "nand", "of": []}, "/op", "unknown operator 'nand' at /op; did you mean 'and'?"),
        ({"of": []}, "", "object missing required field `op` at /"),
        ([], "", "expected `object`, got `array` at /"),
        ({"op": "in", "column": "niche"}, "", "object missing required field `values`"),
        ({"op": "and", "of": [{"op": "in", "column": "email", "values": [True]}]}, "/of/0/values/0", "expected `str`"),
        (
            {"op": "in", "column": "nich", "values": []},
            "/column",
            "unknown column 'nich' at /column; did you mean 'niche'",
        ),
        ({"op": "not", "of": {"op": "exists", "column": "x"}}, "/of/column", "unknown column 'x' at /of/column"),
        (
            {"op": "or", "of": [{"op": "in", "column": "niche", "values": ["food", "muzic"]}]},
            "/of/0/values/1",
            "unknown value 'muzic' of niche at /of/0/values/1; did you mean 'music'?",
        ),
        ({"op": "range", "column": "niche", "gte": 5}, "/gte", "niche is no number at /gte; use = or IN"),
        ({"op": "in", "column": "followers", "values": ["5"]}, "/values/0", "followers is a number at /values/0"),
        (
            {"op": "range", "column": "followers"},
            "",
            "the range of followers has no bound at /; give gte, gt, lte or lt",
        ),
        ({"op": "range", "column": "followers", "gte": 5, "gt": 4}, "", "has both gte and gt"),
        ({"op": "range", "column": "followers", "gte": 5, "lt": 4}, "", "ends before it begins"),
        ({"op": "range", "column": "followers", "gte": "5"}, "/gte", "expected `float | null`, got `str` at /gte"),
        ({"op": "range", "column": "followers", "min": 5}, "", "unknown field `min`"),
    ],
)
def test_an_error_in_json_names_the_pointer(data: Any, pointer: str, message: str) -> None:
    for form in (data, msgspec.json.encode(data)):
        with pytest.raises(FilterError) as caught:
            decode_filter(form, VOCABULARY)
        assert message in str(caught.value)
        assert caught.value.pointer == pointer


def test_an_error_is_one_of_malformed_input_and_names_the_column() -> None:
    with pytest.raises(Malformed) as caught:
        parse_filter("niche = gamign", VOCABULARY)
    assert isinstance(caught.value, FilterError)
    assert caught.value.column == "niche"


def test_a_range_that_is_no_number_is_refused() -> None:
    with pytest.raises(FilterError, match="beyond"):
        check_filter(Range(column="followers", gte=math.nan))


def test_where_there_is_no_list_that_is_said() -> None:
    with pytest.raises(FilterError, match="unknown value 'spring' of list at character 8; there is no list yet"):
        parse_filter("list = spring", VOCABULARY | {"list": ()})


def test_without_a_vocabulary_any_niche_may_be_asked_for() -> None:
    assert parse_filter("niche = Whatever") == one_of("niche", "whatever")


def test_a_conjunction_of_one_is_that_one() -> None:
    node = And(of=(Or(of=(EMAIL, And(of=(EMAIL,)))),))
    assert check_filter(node) == Or(of=(EMAIL, EMAIL)) == parse_filter(show_filter(node))
    assert show_filter(Not(of=And(of=(node,)))) == "NOT (email = true OR email = true)"


# what means harm


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {"op": "exists", "column": "email"}
    for _ in range(depth - 1):
        data = {"op": "not", "of": data}
    return data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("email" + " " * MAX_CHARS, f"the filter has {MAX_CHARS + 5:,} characters; at most {MAX_CHARS:,} are read"),
        ("(" * 4_000, f"nested more than {MAX_DEPTH} deep at character {MAX_DEPTH + 1}"),
        ("NOT " * 1_000 + "email", f"nested more than {MAX_DEPTH} deep at character {4 * MAX_DEPTH + 1}"),
        ("NOT (" * 500, f"nested more than {MAX_DEPTH} deep"),
        (" OR ".join(["email"] * MAX_NODES), f"more than {MAX_NODES} conditions"),
        (f"list IN [{','.join('x' * (MAX_VALUES + 1))}]", f"more than {MAX_VALUES} values of list"),
        (f"list = {'x' * 300}", "a value of list has more than 200 characters at character 8"),
        ("x" * 4_000, "unknown column 'xxx"),
        ("followers > " + "9" * 4_000, "beyond 1e+15"),
        ("followers > 0." + "9" * 4_000, ""),
        ('"' + "\\" * 4_000, "a quote that is not closed at character 1"),
        ("list = " + '"' * 4_001, "a quote that is not closed at character 4008"),
    ],
)
def test_hostile_text_is_refused_in_plain_words(text: str, message: str) -> None:
    if not message:
        assert parse_filter(text) == Range(column="followers", gt=1.0)
        return
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_hostile_json_is_refused_in_plain_words() -> None:
    for depth in (MAX_DEPTH + 1, 3_000):
        with pytest.raises(FilterError, match="nested"):
            decode_filter(msgspec.json.encode(nested(depth)) if depth < 100 else deep_bytes(depth))
    with pytest.raises(FilterError, match="nested far too deep"):
        decode_filter(nested(20_000))
    with pytest.raises(FilterError, match="at most 65,536 are read"):
        decode_filter(b" " * (MAX_BYTES + 1))
    countries: dict[str, object] = {"op": "in", "column": "country", "values": ["BR"] * MAX_VALUES}
    with pytest.raises(FilterError, match="at most 65,536 are read"):
        decode_filter({"op": "or", "of": [countries] * 20})
    many = {"op": "or", "of": [nested(1)] * MAX_NODES}
    with pytest.raises(FilterError, match=f"more than {MAX_NODES} conditions"):
        decode_filter(many)
    with pytest.raises(FilterError, match=f"more than {MAX_VALUES} values of list at /values"):
        decode_filter({"op": "in", "column": "list", "values": ["x"] * (MAX_VALUES + 1)})


def deep_bytes(depth: int) -> bytes:
    return b'{"op":"not","of":' * depth + b'{"op":"exists","column":"email"}' + b"}" * depth


def test_what_is_just_small_enough_is_read() -> None:
    deepest = decode_filter(nested(MAX_DEPTH))
    assert parse_filter(show_filter(deepest)) == deepest
    widest = decode_filter({"op": "or", "of": [nested(1)] * (MAX_NODES - 1)})
    assert isinstance(widest, Or)
    assert len(decode_filter({"op": "in", "column": "list", "values": ["x"] * MAX_VALUES}).values) == MAX_VALUES  # type: ignore[union-attr]


# parts of a filter


def test_each_condition_of_the_topmost_conjunction_can_be_dropped_alone() -> None:
    node = parse_filter("email AND (website AND followers > 5) AND (country = BR OR country = PT)")
    email, website, followers, country = conditions_of(node)
    assert [show_filter(one) for one, _ in relaxable(node)] == [
        "email = true",
        "website = true",
        "followers > 5",
        "country = BR OR country = PT",
    ]
    assert [rest for _, rest in relaxable(node)][1] == And(of=(email, followers, country))
    assert relaxable(website) == [(website, None)]
    assert relaxable(None) == []
    assert relaxable(And(of=(email, website))) == [(email, website), (website, email)]


@settings(max_examples=50)
@given(trees())
def test_conditions_put_together_again_are_the_filter(node: Node) -> None:
    assert check_filter(all_of(conditions_of(node)) or And(of=())) is not None
    for dropped, rest in relaxable(node):
        assert columns_of(dropped) | columns_of(rest) == columns_of(node)


def test_a_facet_leaves_out_what_was_asked_of_its_own_column() -> None:
    node = parse_filter(
        "niche IN [food, music] AND NOT niche = gaming AND (niche = food OR email) AND (niche = food OR niche = x)"
    )
    assert without_column(node, "niche") == parse_filter("niche = food OR email")
    assert without_column(parse_filter("niche = food"), "niche") is None
    assert without_column(None, "niche") is None
    kept = parse_filter("NOT (niche = food AND email)")
    assert without_column(kept, "niche") == kept


def test_the_table_of_columns_tells_what_each_is() -> None:
    assert {column.kind for column in COLUMNS.values()} == set(Kind)
    assert set(NICHES) <= set(VALUES["any_niche"])
    assert FACETS == (
        "platform",
        "niche",
        "secondary_niche",
        "style",
        "country",
        "language",
        "activity",
        "tier",
        "label_method",
    )
    for column in COLUMNS.values():
        assert column.about
        assert (column.unit is not None) == (column.kind is Kind.NUMBER)
