from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.web.guard import host_name
from daemon.web.params import decode_cursor, encode_cursor, flag, only_known, whole_number
from daemon.web.problems import BadParameter
from daemon.web.views import account_url, instant
from proto.ids import Platform
from proto.records import CreatorAccount


@given(offset=st.integers(0, 1 << 40), query=st.text(), snapshot=st.text(max_size=20))
def test_a_cursor_gives_back_what_it_carries(offset: int, query: str, snapshot: str) -> None:
    assume(snapshot.isprintable())
    found = decode_cursor(encode_cursor(offset, query, snapshot), query)
    assert (found.offset, found.snapshot) == (offset, snapshot)


@given(text=st.text(), query=st.text(max_size=5))
def test_any_text_as_cursor_is_an_offset_or_refused(text: str, query: str) -> None:
    try:
        assert decode_cursor(text, query).offset >= 0
    except BadParameter as error:
        assert error.pointer == "cursor"


@given(text=st.text())
def test_any_text_as_number_is_within_bounds_or_refused(text: str) -> None:
    try:
        assert 1 <= whole_number({"limit": text}, "limit", 20, 1, 100) <= 100
    except BadParameter as error:
        assert error.pointer == "limit"


def test_what_is_not_given_has_its_default() -> None:
    assert whole_number({}, "limit", 20, 1, 100) == 20
    assert flag({}, "explain", default=True)
    only_known({"q": "x"}, ("q",))


def test_a_name_far_from_all_gets_the_list() -> None:
    with pytest.raises(BadParameter, match="known are q, limit"):
        only_known({"zzz": ""}, ("q", "limit"))


@given(st.text())
def test_any_host_has_a_name_or_none(text: str) -> None:
    name = host_name(text)
    assert name == "" or name in text.casefold()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:7151", "localhost"),
        ("[::1]:7151", "::1"),
        ("[::1]", "::1"),
        ("A.B", "a.b"),
        ("::1", ""),
        ("a@b", ""),
        ("a/b", ""),
        ("a:x", ""),
        ("localhost\n", ""),
    ],
)
def test_host_names(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("platform", "handle", "user_id", "url"),
    [
        (Platform.YOUTUBE, "ana", "UC1", "https://www.youtube.com/@ana"),
        (Platform.YOUTUBE, "", "UC1", "https://www.youtube.com/channel/UC1"),
        (Platform.YOUTUBE, 'a"/é', "UC1", "https://www.youtube.com/@a%22%2F%C3%A9"),
        (Platform.INSTAGRAM, "ana", "1", "https://www.instagram.com/ana/"),
        (Platform.INSTAGRAM, "", "1", ""),
        (Platform.TIKTOK, "ana", "1", "https://www.tiktok.com/@ana"),
        (Platform.X, "ana", "1", "https://x.com/ana"),
        (Platform.X, "", "1", "https://x.com/i/user/1"),
    ],
)
def test_an_account_has_its_page(platform: Platform, handle: str, user_id: str, url: str) -> None:
    assert account_url(CreatorAccount(platform=platform, platform_user_id=user_id, handle=handle)) == url


def test_instants_are_rfc_3339_in_utc() -> None:
    assert instant(0) == "1970-01-01T00:00:00Z"
    assert instant(None) is None
