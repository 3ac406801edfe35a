from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from daemon.web.app import create_app
from daemon.web.pages import initials, share, short_count, web_link
from proto.errors import Unavailable
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
        tag in ("script", "style", "iframe", "b")
        or any(name == "style" or name.startswith("on") for name in attributes)
        for tag, attributes in page.tags
    )


async def test_the_start_page_lists_creators_and_the_state_of_the_daemon(connect: Connect) -> None:
    http = await connect(create_app(World([creator(1, "Ana Silva", handle="ana")]).services()))
    reply = await http.get("/")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Reader(reply.text)
    for text in ("Ana Silva", "@ana", "48.2k followers", "fitness", "About Ana Silva", "1,234 pending", "embedder"):
        assert text in page.words
    assert "/creators/1" in page.links()
    assert inert(page)


async def test_a_search_shows_its_hits_with_the_parts_of_their_scores(connect: Connect) -> None:
    fake = World([creator(1, "Ana Silva"), creator(2, "Bo")])
    page = Reader((await (await connect(create_app(fake.services()))).get("/", params={"q": "yoga & more"})).text)
    assert fake.queries[0].text == "yoga & more"
    assert "yoga & more" in page.words
    assert ("input", "yoga & more") in [(tag, attributes.get("value")) for tag, attributes in page.tags]
    assert "score 0.625" in page.words
    widths = [str(attributes["class"]) for tag, attributes in page.tags if "bar" in str(attributes.get("class"))]
    assert widths[:2] == ["bar w19", "bar w1"]


async def test_more_results_lead_on(connect: Connect) -> None:
    http = await connect(create_app(World([creator(number, f"N{number}") for number in range(1, 4)]).services()))
    page = Reader((await http.get("/", params={"q": "a&b", "limit": 2})).text)
    (onward,) = [link for link in page.links() if "cursor=" in link]
    following = Reader((await http.get(onward)).text)
    assert "N3" in following.words
    assert "N1" not in following.words


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
    for text in ("Ana Silva", "line one\nline two", "Leg day", "1.5M views", "48.2k"):
        assert text in page.words
    assert "https://www.youtube.com/@ana" in page.links()


async def test_nothing_found_and_still_loading_are_said(connect: Connect) -> None:
    fake = World([])
    http = await connect(create_app(fake.services()))
    assert "Nothing matches" in (await http.get("/?q=x")).text

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
    assert len(files) == 2
    for path in files:
        reply = await http.get(path)
        assert reply.status_code == 200
        assert "max-age=3600" in reply.headers["cache-control"]


async def test_every_width_of_a_bar_has_its_class(connect: Connect) -> None:
    style = (await (await connect(create_app(World([]).services()))).get("/static/style.css")).text
    assert {int(number) for number in re.findall(r"\.w(\d+) ", style)} == {share(n, 100) for n in range(101)}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "unknown"),
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (48_210, "48.2k"),
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
    assert [share(part, 2.0) for part in (-1, 0, 1, 2, 5)] == [0, 0, 10, 20, 20]
    assert share(1, 0) == 0


def test_only_web_links_are_links() -> None:
    assert web_link("https://a.example/") == "https://a.example/"
    assert [web_link(url) for url in ("javascript:alert(1)", " https://a", "data:x", "")] == ["", "", "", ""]
