from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.platforms.youtube_feed import MAX_FEED_BYTES, FeedEntry, parse_feed
from proto.errors import Malformed

ENTRY = """<entry><id>yt:video:abc</id><yt:videoId>abc</yt:videoId><yt:channelId>UCx</yt:channelId><title>T &amp; U</title>
<link rel="alternate" href="https://www.youtube.com/shorts/abc"/><published>2026-01-01T00:00:00+00:00</published>
<updated>2026-01-01T00:00:30+00:00</updated>{more}</entry>"""


def feed(*entries: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" '
        'xmlns:media="http://search.yahoo.com/mrss/" xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:at="http://purl.org/atompub/tombstones/1.0"><title>YouTube video feed</title>'
        + "".join(entries)
        + "</feed>"
    ).encode()


def test_a_recorded_feed_is_read_entry_by_entry(shared_data: Path) -> None:
    read = parse_feed((shared_data / "api_fixtures" / "youtube_atom" / "atom-feed-youtube.xml").read_bytes())
    assert read.title == "Digital Foundry"
    assert len(read.entries) == 15
    first = read.entries[0]
    assert (first.video_id, first.channel_id) == ("W_S7iKZZdHw", "UC9PBzalIcEQCsiIkq36PyUA")
    assert (first.views, first.likes, first.published_at) == (23_088, 1_580, 1_735_747_644)
    assert first.description.startswith("As the holiday period begins")
    assert first.is_edit
    assert not first.is_short


def test_a_notification_has_an_entry_without_statistics() -> None:
    (entry,) = parse_feed(feed(ENTRY.format(more=""))).entries
    assert entry == FeedEntry(
        video_id="abc", channel_id="UCx", title="T & U", published_at=1_767_225_600, updated_at=1_767_225_630, is_short=True
    )  # fmt: skip
    assert not entry.is_edit


def test_a_tombstone_names_the_video_and_its_channel() -> None:
    read = parse_feed(
        feed(
            '<at:deleted-entry ref="yt:video:abc" when="2026-01-01T00:00:00+00:00"><link href="x"/>'
            "<at:by><name>N</name><uri>https://www.youtube.com/channel/UCx</uri></at:by></at:deleted-entry>"
        )
    )
    assert read.entries == ()
    assert read.deleted == (("abc", "UCx"),)


@pytest.mark.parametrize(
    "more",
    [
        "<media:group/>",
        "<media:group><media:community/></media:group>",
        '<media:group><media:community><media:starRating count="0"/><media:statistics views="-1"/></media:community></media:group>',
    ],
)
def test_missing_or_absurd_statistics_are_unknown(more: str) -> None:
    (entry,) = parse_feed(feed(ENTRY.format(more=more))).entries
    assert (entry.views, entry.likes) == (None, None)


def test_an_entry_without_id_or_date_does_not_take_the_feed_with_it() -> None:
    broken = ENTRY.format(more="").replace("2026-01-01T00:00:00+00:00", "yesterday")
    assert [entry.video_id for entry in parse_feed(feed(broken, ENTRY.format(more=""))).entries] == ["abc"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_any_encoding(encoding: str) -> None:
    """Entities that name each other would unfold to gigabytes."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE feed [<!ENTITY a "aaaa">]>'
    with pytest.raises(Malformed, match="declares a document type"):
        parse_feed((text + '<feed xmlns="http://www.w3.org/2005/Atom"><title>&a;</title></feed>').encode(encoding))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<feed/>",
        b"not xml",
        b"\xff\xfe\x00",
        feed("<entry>"),
        b'<!DOCTYPE feed [<!ENTITY a "aaaa">]>' + feed(),
        b'<?xml version="1.0" encoding="klingon"?><feed/>',
        b"<" * 10_000,
        b"<a>" * 200_000,
        b" " * (MAX_FEED_BYTES + 1),
    ],
)
def test_what_is_no_feed_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(Malformed, match="youtube feed: "):
        parse_feed(body)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse_feed(body)
    except Malformed:
        return
