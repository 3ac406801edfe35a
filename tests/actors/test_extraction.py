"""Links, accounts, addresses, tags and disclosures, as creators really write them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.extraction import Handle, emails, handles, hashtags, is_link_page, is_sponsored, links, mentions
from actors.extraction_tables import HANDLE_RULES, LABELS, PROFILE_URLS, RESERVED_PATHS
from proto.ids import Platform

CHANNEL = "UCBMvc6jvuTxH6TNo9ThpYjg"
EVERYTHING: tuple[Callable[[str], object], ...] = (
    links,
    handles,
    emails,
    hashtags,
    mentions,
    is_sponsored,
    is_link_page,
)


def pairs(text: str) -> list[tuple[str, str]]:
    return [(one.platform, one.handle) for one in handles(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://www.Site.com/A/?utm_source=ig&id=3&fbclid=x#top.", ["https://site.com/A?id=3"]),
        (
            "mysite.com/x, www.other.zone and (http://third.org)",
            [f"https://{s}" for s in ("mysite.com/x", "other.zone", "third.org")],
        ),
        ("https://en.wikipedia.org/wiki/Queen_(band), read it", ["https://en.wikipedia.org/wiki/Queen_(band)"]),
        ("twice site.com and http://www.site.com/", ["https://site.com"]),
        ("https://президент.рф/статья", ["https://президент.рф"]),
        ("http://site.com:8080/x", ["https://site.com/x"]),
        ("ブログhttps://ameblo.jp/aya/こちら", ["https://ameblo.jp/aya"]),
        ("https://youtu.be/abcdefghijkFollow me", ["https://youtu.be/abcdefghijk"]),
        ("https://www.youtube.com/watch?v=_QL8Pitidzwinstagram", ["https://youtube.com/watch?v=_QL8Pitidzw"]),
    ],
)
def test_links_are_normalised_in_order_and_once(text: str, expected: list[str]) -> None:
    assert links(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://bit.ly/BabishFacebookTwitter: x", ["https://bit.ly/BabishFacebook"]),
        ("https://www.mag.com/freshman/Credits:Directed by", ["https://mag.com/freshman"]),
        ("https://www.starts.orgInstagram: me", ["https://starts.org"]),
        ("https://www.site.com.Follow us", ["https://site.com"]),
        ("http://a.com/onehttps://b.com/twowww.c.com", ["https://a.com/one", "https://b.com/two", "https://c.com"]),
        ("twitter.com/maryinstagram.com/mary", ["https://x.com/mary", "https://instagram.com/mary"]),
    ],
)
def test_a_link_ends_where_the_next_line_ran_into_it(text: str, expected: list[str]) -> None:
    assert links(text) == expected


@pytest.mark.parametrize(
    "text", ["I was there.it was fun", "e.g. node.js", "U.S. v. Me", "done.In", "3.5", "me@site.com"]
)
def test_prose_and_addresses_hold_no_links(text: str) -> None:
    assert links(text) == []


def test_a_link_that_the_text_cut_short_is_left_out() -> None:
    assert links("https://www.humtv.tv/very-long-na... and https://a.com/x?igshi...") == ["https://a.com/x"]
    assert pairs("https://www.instagram.com/rainbow6gam...https://twitter.com/Rainbow6Game") == [("x", "rainbow6game")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://www.instagram.com/Gearbox/?hl=en", ("instagram", "gearbox")),
        ("instagr.am/_u/some.one", ("instagram", "some.one")),
        ("instagram.com/stories/mary", ("instagram", "mary")),
        (f"youtube.com/channel/{CHANNEL}Facebook", ("youtube", CHANNEL)),
        ("https://m.youtube.com/@MrBeast/videos", ("youtube", "@mrbeast")),
        ("youtube.com/channel/UC-lHJZR3Gqxm24_Vd_AJ5_-", ("youtube", "UC-lHJZR3Gqxm24_Vd_AJ5_-")),
        ("youtube.com/user/Vsauce", ("youtube", "user/vsauce")),
        ("youtube.com/c/Music", ("youtube", "c/music")),
        ("https://www.youtube.com/nbc", ("youtube", "c/nbc")),
        ("https://www.tiktok.com/@Some.Body?lang=en", ("tiktok", "some.body")),
        ("https://x.com/Jack", ("x", "jack")),
        ("mobile.twitter.com/@jack", ("x", "jack")),
        ("twitch.tv/Ninja/videos", ("twitch", "ninja")),
        ("https://de-de.facebook.com/Belgium.be", ("facebook", "belgiumbe")),
        ("https://www.facebook.com/profile.php?id=1000042", ("facebook", "1000042")),
        ("https://www.facebook.com/pages/Some-Band/123456789", ("facebook", "123456789")),
        ("https://www.threads.net/@zuck", ("threads", "zuck")),
        ("https://www.snapchat.com/add/evan-s", ("snapchat", "evan-s")),
    ],
)
def test_a_profile_url_names_its_account(text: str, expected: tuple[str, str]) -> None:
    assert pairs(text) == [expected]


@pytest.mark.parametrize(
    "url",
    [
        "instagram.com/p/BsuSa61FuSP/", "instagram.com/reel/Cabc", "instagram.com/explore/tags/x", "instagram.com/",
        "instagram.com/mary/reel/Cabc", "about.instagram.com/blog", "youtube.com/watch?v=3C66w5Z0ixs",
        "youtube.com/playlist?list=PL123", "youtube.com/shorts/3C66w5Z0ixs", "youtu.be/3C66w5Z0ixs", "youtube.com/channel/UCshort",
        "twitter.com/jack/status/20", "x.com/intent/post?text=hi", "twitter.com/hashtag/ad", "vm.tiktok.com/ZMabc",
        "tiktok.com/@mary/video/123", "clips.twitch.tv/Abc", "twitch.tv/directory/game", "facebook.com/groups/123",
        "facebook.com/sharer/sharer.php?u=x", "facebook.com/pages/Name", "snapchat.com/discover", "notinstagram.com/mary",
        "instagram.com.evil.org/mary", "twitter.com/a_name_longer_than_fifteen",
    ],
)  # fmt: skip
def test_posts_lists_and_other_hosts_name_no_account(url: str) -> None:
    assert pairs(f"https://{url}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://www.Instagram.com/GearboxTwitch: https://www.twitch.tv/x_y", "gearbox"),
        ("instagram.com/MythriOfficialInstagram: on", "mythriofficial"),
        ("https://www.instagram.com/xavcasanovaEditor: Bob", "xavcasanova"),
        ("http://instagram.com/nbcsnlSNL Facebook", "nbcsnl"),
        ("http://www.instagram.com/cg5beats/Follow @cg5live", "cg5beats"),
        ("https://instagram.com/AppleTVFacebook: x", "appletv"),
        ("https://www.instagram.com/playapex.Follow us", "playapex"),
        ("instagram.com/yogeshkathuriahttp://x.org", "yogeshkathuria"),
        ("https://instagram.com/rimmakaramova?igshid=tiwНАСТОЯЩИЙ", "rimmakaramova"),
        ("https://www.instagram.com/khj_newsshow.cbs#정치", "khj_newsshow.cbs"),
        ("Follow me! instagram.com/mary________", "mary"),
        ("Instagram Watson: @watsonalvesInstagram", "watsonalves"),
    ],
)
def test_words_that_ran_into_a_handle_are_cut_off(text: str, expected: str) -> None:
    assert next(one.handle for one in handles(text) if one.platform == "instagram") == expected


@pytest.mark.parametrize("name", ["21Savage", "DAZNBoxing", "YoSoyAntrax", "MyTwitchLife", "Some.One", "johnSmith"])
def test_capitals_of_a_whole_name_are_kept(name: str) -> None:
    assert pairs(f"https://instagram.com/{name}") == [("instagram", name.lower())]
    assert pairs(f"me: https://instagram.com/{name}\nmore") == [("instagram", name.lower())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IG: @Mary.Lou", [("instagram", "mary.lou")]),
        ("Instagram - marylou", [("instagram", "marylou")]),
        ("find me, insta @marylou!", [("instagram", "marylou")]),
        ("tiktok: dancer_1 and more", [("tiktok", "dancer_1")]),
        ("Tik Tok ➤ dancer\n", [("tiktok", "dancer")]),
        ("Snapchat: BrawadisTwitter: brawl", [("snapchat", "brawadis"), ("x", "brawl")]),
        ("📸 Instagram & 📣 Twitter: @evan", [("instagram", "evan"), ("x", "evan")]),
        ("IG/Twitter: @evan", [("instagram", "evan"), ("x", "evan")]),
        ("X: @jack", [("x", "jack")]),
        ("ig: marylou\nsnap: mary-lou", [("instagram", "marylou"), ("snapchat", "mary-lou")]),
        ("Instagram, TikTok, and Twitter @evan", [("instagram", "evan"), ("tiktok", "evan"), ("x", "evan")]),
        ("@mary on Instagram", [("instagram", "mary")]),
        ("Мой Инстаграм: @masha", [("instagram", "masha")]),
        ("私のインスタ→@aya_01", [("instagram", "aya_01")]),
        ("인스타그램: @minji", [("instagram", "minji")]),
        ("YouTube: @Mary", [("youtube", "@mary")]),
        ("Twitch: ninja | FB: @ninja.tv", [("twitch", "ninja"), ("facebook", "ninjatv")]),
        ("Instagram\n@mary", [("instagram", "mary")]),
    ],
)
def test_phrases_name_accounts(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Instagram: follow me there", "Instagram: check the stories", "I love Instagram and you", "instagram filters",
        "big: @mary", "Instagram: https://bit.ly/abc", "SpaceX: @mary", "YouTube: Mary Lou", "Insta: the", "sc 4 life", "x: marks", "Inſtagram: @mary", "Twıtter: @mary", "instagram.com: @", "Instagram: Mary Lou", "Instagram: www.com",
    ],
)  # fmt: skip
def test_prose_about_a_platform_names_nobody(text: str) -> None:
    assert pairs(text) == []


def test_an_account_named_twice_is_listed_once_in_the_order_of_the_text() -> None:
    text = "Twitter: @b_b\nhttps://instagram.com/Mary IG: @mary"
    assert pairs(text) == [("x", "b_b"), ("instagram", "mary")]


def test_followed_platforms_have_the_names_of_the_enum() -> None:
    assert {one.value for one in Platform} <= set(HANDLE_RULES)
    assert set(HANDLE_RULES) == set(LABELS) == set(PROFILE_URLS) == set(RESERVED_PATHS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail A.B+c@Site.co.uk.", ["a.b+c@site.co.uk"]),
        ("joe [at] host dot com", ["joe@host.com"]),
        ("joe(at)host(dot)co(dot)uk", ["joe@host.co.uk"]),
        ("joe at host dot com", ["joe@host.com"]),
        ("メールaya@host.jpまで", ["aya@host.jp"]),
        ("a@b.com, A@B.com", ["a@b.com"]),
        ("read more at ted.com", []),
        ("@mary @joe.x", []),
        ("a@b.1", []),
    ],
)
def test_addresses_are_found_also_when_spelled_out(text: str, expected: list[str]) -> None:
    assert emails(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#Travel #travel #日常#데일리#यात्रा", ["travel", "日常", "데일리", "यात्रा"]),
        ("we are #1, C# and &#39; ## x", []),
        ("https://site.com/page#part #real", ["real"]),
        ("＃東京 word#tag", ["東京", "tag"]),
    ],
)
def test_hashtags_of_every_script(text: str, expected: list[str]) -> None:
    assert hashtags(text) == expected


def test_mentions_are_names_and_not_addresses_or_paths() -> None:
    assert mentions("hi @Mary.Lou. and .@joe_1, 感谢@aya me@site.com tiktok.com/@bob @mary.lou") == [
        "mary.lou",
        "joe_1",
        "aya",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "love it #ad", "#AD", "new #sponsored", "Paid partnership with X", "Includes paid promotion", "This video is sponsored by X",
        "Thanks to Raycon for sponsoring this video", "Colaboración pagada", "#publi", "Incluye promoción pagada", "Parceria paga",
        "Inclui promoção paga", "#publicidade", "[Werbung]", "Anzeige | neu", "Enthält bezahlte Werbung", "#werbung",
        "Collaboration commerciale", "Partenariat rémunéré", "#sponsorisé", "Partnership pubblicizzata", "#pubblicità",
        "プロモーションを含みます", "#PR", "【PR】", "有料パートナーシップ", "유료 광고 포함", "#협찬", "[광고]", "На правах рекламы",
        "#реклама", "erid: 2Vtzq", "सशुल्क साझेदारी", "#विज्ञापन", "minecraft#sponsored",
    ],
)  # fmt: skip
def test_disclosures_are_known_in_ten_languages(text: str) -> None:
    assert is_sponsored(text)


@pytest.mark.parametrize(
    "text",
    [
        "#adventure", "ad-free listening", "#adidas #prague", "not sponsored by anyone", "This video is NOT sponsored by X", "#nosponsor",
        "sponsors wanted: me@x.com", "unbezahlte Werbung", "#unbezahltewerbung", "Bewerbung", "Реклама: me@x.com", "press ad to cart",
        "paid memberships", "楽曲提供", "광고문의", "Cette vidéo n'est pas sponsorisée", "#광고회사", "site.com/#ad", "",
    ],
)  # fmt: skip
def test_other_words_disclose_nothing(text: str) -> None:
    assert not is_sponsored(text)


def test_link_pages_are_known_by_host_subdomain_and_url() -> None:
    assert all(
        map(is_link_page, ("linktr.ee", "WWW.LinkTr.ee", "mary.carrd.co", "https://beacons.ai/mary", "linktr.ee:443"))
    )
    assert not any(map(is_link_page, ("mary.com", "notlinktr.ee", "linktr.ee.evil.com", "", "[", "https://[x")))


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("aA.@#:/ -_?=\n(Instagram:https://www.)é광हिſıİK")))
def test_any_text_is_answered(text: str) -> None:
    for extract in EVERYTHING:
        extract(text)


FRAGMENTS = (
    "https://", "www.", "instagram.com/", "youtube.com/", "facebook.com/profile.php?id=", "Instagram", ": ", "@", "mary", "Twitter",
    ".", "...", "…", "/", "?", "&", "#", "a", "A", "1", " ", "\n", " at ", "[at]", " dot ", "com", "UC", "p/", "é", "インスタ", "#ad", "not ",
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_what_is_found_is_well_formed(text: str) -> None:
    for url in links(text):
        assert url.startswith("https://")
        assert not set(url) & set(" \n#")
    for one in handles(text):
        assert handles(
            PROFILE_URLS[one.platform].format(f"channel/{one.handle}" if one.handle[:2] == "UC" else one.handle)
        ) == [one]
    assert all(one.count("@") == 1 and " " not in one for one in emails(text))


NAMES = st.from_regex(r"[a-z][a-z0-9_]{3,13}[a-z0-9]", fullmatch=True).filter(
    lambda name: not any(name in reserved for reserved in RESERVED_PATHS.values())
)


@settings(deadline=None)
@given(
    NAMES,
    st.sampled_from(["instagram", "tiktok", "x", "twitch", "threads", "snapchat"]),
    st.sampled_from(["", "/", "?hl=en", "\nmore", " | x", "、次"]),
)
def test_every_plain_name_survives_its_url(name: str, platform: str, after: str) -> None:
    text = PROFILE_URLS[platform].format(name)
    assert handles(f"me {text}{after}") == [Handle(platform, name)]
    assert links(f"me {text}{after}") == [text]


@settings(deadline=None)
@given(NAMES, st.sampled_from(["Twitter: @b", "Facebook", "Snapchat - c", "Follow us", "https://a.com", "www.a.com"]))
def test_a_fused_next_line_never_changes_the_name(name: str, following: str) -> None:
    assert handles(f"see https://www.instagram.com/{name}{following}")[0] == Handle("instagram", name)


@pytest.mark.parametrize(
    "piece",
    ["\n", "a.com ", "x / ", "https://a.", "Instagram: ", "instagram.com/aFollow", "a@a.", "#", "not #ad ", "a [at] "],
)
def test_time_grows_with_the_length_and_not_its_square(piece: str) -> None:
    """Eight times the text may take 8 times as long, and 64 times if squared; 24 lies well between."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        start = time.process_time()
        for extract in EVERYTHING:
            extract(text)
        return time.process_time() - start

    small = min(seconds(4_000) for _ in range(3))
    assert min(seconds(32_000) for _ in range(2)) < 24 * small + 0.05
