from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from daemon.web.app import create_app
from daemon.web.page_search import saved_url
from daemon.web.rendering import addressed, age, counted, hue, initials, label, pieces, share, short_count, web_link
from proto.api import SearchRequest
from proto.errors import Unavailable
from stores.filter_ast import In
from stores.filters import show_filter
from stores.ports import Relaxation
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import HOSTILE, World, creator, item


class Reader(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def links(self) -> list[str]:
        return [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]


def inert(page: Reader) -> bool:
    """No script, no inline style, no handler: the policy would block them, and creator text must not make them."""
    return not any(
        tag in ("style", "iframe", "object", "embed", "base", "math")
        or (tag == "script" and not (attributes.get("src") or "").startswith("/static/"))
        or any(name == "style" or name.startswith("on") for name in attributes)
        or any(
            not harmless(attributes[name] or "")
            for name in ("href", "src", "action", "formaction")
            if name in attributes
        )
        for tag, attributes in page.tags
    )


def harmless(url: str) -> bool:
    """A place on this host, or one of the web."""
    return url.startswith(("#", "https://", "http://")) or (url.startswith("/") and not url.startswith("//"))


async def test_the_start_page_lists_creators_and_the_state_of_the_daemon(connect: Connect) -> None:
    http = await connect(create_app(World([creator(1, "Ana Silva", handle="ana")]).services()))
    reply = await http.get("/")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Reader(reply.text)
    for text in ("Ana Silva", "@ana", "48.2k", "Fitness and health", "About Ana Silva", "1,234 pending", "3 creators"):
        assert text in page.words
    assert "/creators/1" in page.links()
    assert inert(page)


async def test_a_search_shows_its_hits_with_the_parts_of_their_scores(connect: Connect) -> None:
    fake = World([creator(1, "Ana Silva"), creator(2, "Bo")])
    page = Reader((await (await connect(create_app(fake.services()))).get("/", params={"q": "yoga & more"})).text)
    assert fake.queries[0].text == "yoga & more"
    assert "2 creators by words or meaning for yoga & more" in page.words
    assert ("input", "yoga & more") in [(tag, attributes.get("value")) for tag, attributes in page.tags]
    assert "0.625" in page.words
    widths = [attributes["width"] for tag, attributes in page.tags if attributes.get("class") in ("s0", "s1")]
    assert widths[:2] == ["96.0", "4.0"]
    assert "/why/1?q=yoga+%26+more" in page.links()


async def test_more_results_lead_on(connect: Connect) -> None:
    http = await connect(create_app(World([creator(number, f"N{number}.") for number in range(1, 24)]).services()))
    page = Reader((await http.get("/", params={"q": "a&b"})).text)
    (onward,) = [link for link in page.links() if "cursor=" in link]
    following = Reader((await http.get(onward)).text)
    assert "N23." in following.words
    assert "N1." not in following.words


async def test_text_of_creators_is_never_markup(connect: Connect) -> None:
    fake = World(
        [creator(1, HOSTILE, handle=HOSTILE, bio=HOSTILE)],
        [item(HOSTILE), item("bad link", permalink="javascript:alert(1)")],
    )
    http = await connect(create_app(fake.services()))
    for path, params in (("/", {"q": HOSTILE}), ("/creators/1", {})):
        page = Reader((await http.get(path, params=params)).text)
        assert HOSTILE in page.words
        assert inert(page)
        assert not any(link.startswith("javascript") for link in page.links())


async def test_a_page_for_one_creator(connect: Connect) -> None:
    fake = World([creator(1, "Ana Silva", handle="ana", bio="line one\nline two")], [item("Leg day")])
    page = Reader((await (await connect(create_app(fake.services()))).get("/creators/1")).text)
    for text in ("Ana Silva", "line one\nline two", "Leg day", "1.5M views", "48.2k", "One reading so far"):
        assert text in page.words
    assert "https://www.youtube.com/@ana" in page.links()


async def test_nothing_found_and_still_loading_are_said(connect: Connect) -> None:
    fake = World([])
    http = await connect(create_app(fake.services()))
    assert "Nothing matches" in (await http.get("/?q=x")).text
    fake.relaxations = (Relaxation(dropped=In(column="country", values=("BR",)), total=7),)
    page = Reader((await http.get("/?q=x&country=BR")).text)
    assert "without country = BR" in page.words
    assert "/?q=x" in page.links()

    async def loading() -> None:
        raise Unavailable("search is still loading")

    fake.before_search = loading
    reply = await http.get("/?q=x")
    assert reply.status_code == 200
    assert "Search is still loading" in reply.text


async def test_what_the_page_names_is_there_and_may_be_cached(connect: Connect) -> None:
    http = await connect(create_app(World([]).services()))
    page = Reader((await http.get("/")).text)
    files = [str(attributes["href"]) for tag, attributes in page.tags if tag == "link"]
    files += [str(attributes["src"]) for tag, attributes in page.tags if tag == "script"]
    assert len(files) == 4
    for path in files:
        reply = await http.get(path)
        assert reply.status_code == 200
        assert "max-age=3600" in reply.headers["cache-control"]


async def test_every_class_that_a_page_may_name_is_in_the_style(connect: Connect) -> None:
    style = (await (await connect(create_app(World([]).services()))).get("/static/style.css")).text
    assert {int(number) for number in re.findall(r"\.h(\d+) ", style)} == {hue(str(n)) for n in range(100)}
    assert {int(number) for number in re.findall(r"\.s(\d+) ", style)} == set(range(7))
    assert "url(" not in style
    assert "@import" not in style


async def test_a_choice_of_a_facet_becomes_a_filter_and_a_chip(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    fake.facets = {"niche": {"fitness": 3, "gaming": 2}, "country": {"BR": 1}}
    http = await connect(create_app(fake.services()))
    page = Reader((await http.get("/?q=x&niche=fitness&niche=gaming&followers_from=5k&followers_to=50%2C000")).text)
    assert show_filter(fake.queries[0].filters) == "niche IN [fitness, gaming] AND followers 5000 TO 50000"  # type: ignore[arg-type]
    assert "/?q=x&niche=gaming&followers_from=5k&followers_to=50%2C000" in page.links()
    checked = [attributes["value"] for tag, attributes in page.tags if tag == "input" and "checked" in attributes]
    assert checked == ["fitness", "gaming"]


async def test_words_that_were_read_can_be_dropped_changed_and_taken_back(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    http = await connect(create_app(fake.services()))
    page = Reader((await http.get("/", params={"q": "fitness under 50k"})).text)
    drop = next(link for link in page.links() if "drop=followers" in link)
    assert "/?q=fitness+under+50k&followers_to=50000#facet-followers" in page.links()
    page = Reader((await http.get(drop)).text)
    assert "undo" in page.words
    assert "/?q=fitness+under+50k" in page.links()


async def test_what_was_dropped_belongs_to_its_text(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    http = await connect(create_app(fake.services()))
    page = Reader((await http.get("/", params={"q": "fitness under 50k"})).text)
    drop = next(link for link in page.links() if "drop=followers" in link)
    form = [one for tag, one in Reader((await http.get(drop)).text).tags if tag == "input" and "disabled" not in one]
    sent = {str(one["name"]): str(one["value"]) for one in form if str(one.get("name")).startswith("drop")}
    assert sent.keys() == {"drop", "drop_of"}
    for text, given, dropped in (
        ("fitness under 50k", sent, True),
        ("fitness under 60k", sent, False),
        ("fitness under 50k", {"drop": sent["drop"]}, True),  # a link of before
    ):
        page = Reader((await http.get("/", params={"q": text, **given})).text)
        assert ("undo" in page.words) == dropped
        assert ("under" in fake.queries[-1].text) == dropped


async def test_a_blank_query_is_none(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    page = Reader((await (await connect(create_app(fake.services()))).get("/?q=+%20")).text)
    assert "best known first" in page.words


async def test_the_form_keeps_what_it_does_not_offer(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    http = await connect(create_app(fake.services()))
    page = Reader((await http.get("/?posted_within=14&sort=growth_30d%3Aasc")).text)
    chosen = [attributes["value"] for tag, attributes in page.tags if tag == "option" and "selected" in attributes]
    assert sorted(map(str, chosen)) == ["14", "growth_30d:asc"]


def test_a_saved_search_by_a_tree_keeps_its_filter() -> None:
    tree = {"op": "in", "column": "country", "values": ["BR"]}
    assert saved_url(SearchRequest(q="yoga", filter=tree)) == "/?q=yoga&filter=country+%3D+BR"
    for none in (None, "", {}, {"op": "odd"}):
        assert saved_url(SearchRequest(q="yoga", filter=none)) == "/?q=yoga"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("followers_from=many", "'many' is no number"),
        ("followers_from=50k&followers_to=5k", "followers from 50k to 5k"),
        ("niche=nonsense", "nonsense"),
        ("filter=followers+%3E", "followers"),
        ("country=BR&filter=followers+%3E+5%29+OR+%28followers+%3E+6", "character"),
        ("sort=colour", "colour"),
        ("cursor=odd", "cursor"),
    ],
)
async def test_what_is_wrong_is_told_on_the_page_itself(connect: Connect, given: str, told: str) -> None:
    reply = await (await connect(create_app(World([]).services()))).get(f"/?q=x&{given}")
    page = Reader(reply.text)
    assert reply.status_code == 200
    assert told in page.words
    assert ("input", "x") in [(tag, attributes.get("value")) for tag, attributes in page.tags]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("followers_from=abc", ""),
        ("followers_from=5k&followers_to=abc", ""),
        ("posted_within=abc", ""),
        ("followers_from=5k", "5k or more"),
        ("followers_from=50k&followers_to=5k", "50k to 5k"),
        ("posted_within=30", "30 days"),
    ],
)
async def test_what_is_no_number_is_no_chip(connect: Connect, given: str, shown: str) -> None:
    text = (await (await connect(create_app(World([]).services()))).get(f"/?q=x&{given}")).text
    chips = Reader(text.partition('id="chips"')[2].partition('<div class="columns">')[0].partition(">")[2])
    assert (shown in chips.words, bool(chips.links())) == (True, bool(shown))
    assert "character" not in Reader(text).words


async def test_a_part_of_a_page_has_no_frame(connect: Connect) -> None:
    http = await connect(create_app(World([creator(1, "Ana")]).services()))
    page = Reader((await http.get("/?q=x&part=1")).text)
    assert "html" not in [tag for tag, _ in page.tags]
    assert {"chips", "facets", "results"} <= {attributes.get("id") for _, attributes in page.tags}


async def test_what_is_being_typed_is_not_logged_as_a_query(connect: Connect) -> None:
    fake = World([creator(1, "Ana")])
    fake.features = 5
    http = await connect(create_app(fake.services()))
    await http.get("/?q=yo&part=1&typing=1")
    assert (len(fake.audited), fake.notes) == (1, [])
    await http.get("/?q=yoga")
    assert [note.text for note in fake.notes] == ["yoga"]


async def test_a_problem_is_a_page_for_who_reads_pages(connect: Connect) -> None:
    http = await connect(create_app(World([]).services()))
    for path in ("/nowhere", "/creators/5", "/creators/x", "/similar?id=7", "/compare?id=1&id=2&id=3&id=4&id=5&id=6"):
        reply = await http.get(path, headers={"Accept": "text/html,*/*"})
        assert reply.status_code in (400, 404)
        assert reply.headers["content-type"].startswith("text/html")
        assert "To the search" in reply.text
        assert (await http.get(path)).headers["content-type"] == "application/problem+json"
    reply = await http.get("/v1/search?limit=x", headers={"Accept": "text/html"})
    assert reply.headers["content-type"] == "application/problem+json"


async def test_the_choice_of_colours_is_kept_and_leads_nowhere_else(connect: Connect) -> None:
    http = await connect(create_app(World([]).services()))
    reply = await http.post("/theme", data={"theme": "dark", "next": "/lists", "csrf_token": ""})
    assert (reply.status_code, reply.headers["location"]) == (303, "/lists")
    assert 'data-theme="dark"' in (await http.get("/")).text
    for away in ("//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "x"):
        assert (await http.post("/theme", data={"theme": "", "next": away})).headers["location"] == "/"
    assert "data-theme" not in (await http.get("/")).text


async def test_a_form_of_another_origin_or_session_is_refused(connect: Connect) -> None:
    http = await connect(create_app(World([]).services()))
    for headers, data in (
        ({"Origin": "https://evil.example"}, {}),
        ({"Origin": "null"}, {}),
        ({"Origin": "http://127.0.0.1:1"}, {}),
        ({"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-site"}, {}),
        ({}, {"csrf_token": "x"}),
    ):
        assert (await http.post("/theme", data={"theme": "dark", **data}, headers=headers)).status_code == 403


async def test_pictures_of_elsewhere_are_loaded_only_where_that_is_allowed(connect: Connect) -> None:
    record, accounts = creator(1, "Ana")
    record = msgspec.structs.replace(record, profile_image_url="https://pictures.example/1.jpg")
    services = World([(record, accounts)]).services()
    reply = await (await connect(create_app(services))).get("/")
    assert "pictures.example" not in reply.text
    assert "https:" not in reply.headers["content-security-policy"]
    assert reply.headers["cache-control"] == "private, no-cache"
    allowed = create_app(msgspec.structs.replace(services, pictures=True))
    reply = await (await connect(allowed)).get("/")
    assert 'src="https://pictures.example/1.jpg"' in reply.text
    assert "img-src 'self' data: https:" in reply.headers["content-security-policy"]


async def test_without_operations_there_is_no_such_page(connect: Connect) -> None:
    http = await connect(create_app(World([creator(1, "Ana")]).services()))
    assert (await http.get("/operations")).status_code == 404
    assert (await http.get("/operations/live")).status_code == 404
    assert (await http.post("/creators/1/forget", data={"confirm": "Ana"})).status_code == 404
    assert "Forget" not in (await http.get("/creators/1")).text


def test_words_are_marked_where_they_stand() -> None:
    assert list(pieces("yoga and more yoga", [(0, 4), (14, 18)])) == [
        ("yoga", True),
        (" and more ", False),
        ("yoga", True),
    ]
    assert list(pieces("none", [])) == [("none", False)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (90, "1 min"), (7_200, "2 h"), (86_400 * 3, "3 d"), (86_400 * 15, "2 w"), (86_400 * 400, "1 y")],
)
def test_ages_are_whole(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_labels_are_words() -> None:
    assert [label(one) for one in ("semi_active", "x", None, "ab-cd")] == ["semi-active", "X", "unknown", "ab cd"]


def test_one_is_not_many() -> None:
    assert [counted(one, "comment") for one in (0, 1, 2_000)] == ["0 comments", "1 comment", "2,000 comments"]
    assert counted(1_500, "view", "1.5k") == "1.5k views"


def test_an_address_is_broken_between_its_parts() -> None:
    assert addressed("videos?part=id,x&id=A/b") == ["videos?", "part=", "id,", "x&", "id=", "A/", "b"]
    assert addressed("") == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "unknown"),
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (48_210, "48.2k"),
        (999_940, "999.9k"),
        (999_950, "1M"),
        (1_500_000, "1.5M"),
        (2 * 10**9, "2B"),
    ],
)
def test_counts_are_short(number: int | None, text: str) -> None:
    assert short_count(number) == text


@pytest.mark.parametrize(
    ("name", "text"), [("Ana Silva Costa", "AS"), ("", "?"), ("🔥 🔥", "?"), ("🔥Bo", "B"), ("日本 語", "日語")]
)
def test_initials(name: str, text: str) -> None:
    assert initials(name) == text


def test_a_share_stays_within_the_bar() -> None:
    assert [share(part, 2.0) for part in (-1, 0, 1, 2, 5)] == [0, 0, 50, 100, 100]
    assert share(1, 0) == 0


def test_only_web_links_are_links() -> None:
    assert web_link("https://a.example/") == "https://a.example/"
    assert [web_link(url) for url in ("javascript:alert(1)", " https://a", "data:x", "")] == ["", "", "", ""]
