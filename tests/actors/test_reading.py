from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.reading import MAX_FOUND, with_extracted
from proto.ids import AccountKey, Platform, account_key
from proto.records import ContentItem, CreatorAccount, Normalised

KEY = account_key(Platform.INSTAGRAM, "7")


def read(
    bio: str, *, platform: Platform = Platform.INSTAGRAM, website: str = "", handle: str = "ana"
) -> CreatorAccount:
    account = CreatorAccount(platform=platform, platform_user_id="7", handle=handle, bio=bio, website=website)
    said = with_extracted(Normalised(account_key=account.key, account=account))
    assert said.account is not None
    return said.account


def read_item(text: str, *, key: AccountKey = KEY, detailed: bool = True, **fields: object) -> ContentItem:
    item = ContentItem(content_id="a", account_key=key, title_or_caption=text, detailed=detailed, **fields)  # type: ignore[arg-type]
    (found,) = with_extracted(Normalised(account_key=key, items=[item])).items
    return found


def test_a_bio_gives_links_addresses_and_accounts() -> None:
    found = read(
        "Booking: Ana [at] studio dot com\nTikTok: @ana.dances\nhttps://youtube.com/@AnaDances?si=x",
        website="linktr.ee/ana",
    )
    assert "https://linktr.ee/ana" in found.links
    assert found.emails == ["ana@studio.com"]
    assert set(found.named_accounts) == {"tiktok:ana.dances", "youtube:@anadances"}


def test_an_account_does_not_name_itself() -> None:
    assert read("find me: instagram.com/Ana and instagram.com/other").named_accounts == ["instagram:other"]


def test_a_caption_gives_tags_and_its_disclosure() -> None:
    found = read_item("new shoes! #ad #Running @brand")
    assert (found.sponsored, found.tags) == (True, ["ad", "running"])
    assert not read_item("new shoes! #adventure").sponsored


def test_what_the_platform_states_stays() -> None:
    assert read_item("#b", key=account_key(Platform.YOUTUBE, "7"), tags=["a"]).tags == ["a"]
    assert read_item("nothing", sponsored=True).sponsored


def test_a_mere_listing_is_left_alone() -> None:
    assert not read_item("#ad", detailed=False).sponsored


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_read_and_reading_twice_adds_nothing(bio: str, website: str) -> None:
    once = read(bio, website=website)
    twice = with_extracted(Normalised(account_key=once.key, account=once)).account
    assert twice == once
    assert len(once.links) <= MAX_FOUND
