"""What creators write of themselves stays text, whatever it is."""

from __future__ import annotations

import msgspec
import pytest

from daemon.web.app import create_app
from proto.ids import AccountKey
from proto.records import ContentItem
from tests.daemon.web.conftest import Connect
from tests.daemon.web.fakes import NOW, World, creator
from tests.daemon.web.test_pages import Reader, inert

PAYLOADS = (
    "<script>alert(1)</script>", "<SCRIPT SRC=//evil.example/x.js></SCRIPT>", "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>", "<img src=javascript:alert(1)>", "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>", "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>", "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>", "<object data=javascript:alert(1)></object>", "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>", "<meta http-equiv=refresh content='0;url=//evil.example'>", "<link rel=stylesheet href=//evil.example>",
    "<style>@import '//evil.example'</style>", "<style>*{background:url(//evil.example)}</style>", "<form action=//evil.example><input name=q></form>",
    "<button formaction=javascript:alert(1)>x</button>", "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>", "<audio src=x onerror=alert(1)>", "<body onload=alert(1)>", "<marquee onstart=alert(1)>",
    "<a href=javascript:alert(1)>x</a>", "<a href='java&#115;cript:alert(1)'>x</a>", "<a href=data:text/html,x>x</a>",
    "\"><script>alert(1)</script>", "'><script>alert(1)</script>", "\" onmouseover=alert(1) x=\"", "' onfocus=alert(1) autofocus x='",
    "\"/><img src=x onerror=alert(1)>", "</title><script>alert(1)</script>", "</textarea><script>alert(1)</script>", "</script><script>alert(1)</script>",
    "</option></select><img src=x onerror=alert(1)>", "--><script>alert(1)</script>", "]]><script>alert(1)</script>", "<!--<img src=x onerror=alert(1)>-->",
    "<![CDATA[<script>alert(1)</script>]]>", "{{ 7 * 7 }}", "{% include 'base.html' %}", "{{ config.items() }}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "vbscript:msgbox(1)", "data:text/html,<script>alert(1)</script>",
    "//evil.example/x", "https:evil.example", "\u202egnp.exe<b>", "\u0000<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;", "<x/onclick=alert(1)>x",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<template><script>alert(1)</script></template>", "\\x3cscript\\x3e", "%3Cscript%3Ealert(1)%3C/script%3E",
)  # fmt: skip


def world() -> World:
    """Each payload as everything that a creator may write."""
    pairs = []
    for number, text in enumerate(PAYLOADS, 1):
        record, (account,) = creator(number, text, handle=text, bio=text)
        account = msgspec.structs.replace(
            account, website=text, links=[text, f"https://example.com/{text}"], emails=[text], profile_image_url=text
        )
        record = msgspec.structs.replace(
            record, llm_summary=text, profile_image_url=text, country=text, language=text, content_style=text
        )
        pairs.append((record, [account]))
    return World(pairs, [written(text) for text in PAYLOADS])


def written(text: str) -> ContentItem:
    return ContentItem(
        content_id=text,
        account_key=AccountKey("youtube:UC1"),
        title_or_caption=text,
        description=text,
        published_at=int(NOW) - 60,
        permalink=text,
    )


def test_there_are_enough() -> None:
    assert len(set(PAYLOADS)) >= 60


async def test_nothing_that_creators_write_is_markup(connect: Connect) -> None:
    http = await connect(create_app(msgspec.structs.replace(world().services(), pictures=True)))
    everyone = [f"/creators/{number}" for number in range(1, len(PAYLOADS) + 1)]
    for path in (
        "/?limit=100",
        "/similar?id=1&id=2",
        "/compare?id=1&id=2&id=3&id=4&id=5",
        "/lists/put?id=1&id=30",
        *everyone,
    ):
        page = Reader((await http.get(path, headers={"Accept": "text/html"})).text)
        assert inert(page), path
        for tag, attributes in page.tags:
            assert (
                tag not in ("meta", "link")
                or (attributes.get("content") or attributes.get("href") or "").find("evil") < 0
            )
            if tag == "a" and (attributes.get("href") or "").startswith("http"):
                assert {"noopener", "nofollow"} <= set((attributes.get("rel") or "").split())
        if path in everyone:
            assert PAYLOADS[everyone.index(path)].strip("\0") in page.words.replace("\0", "")


@pytest.mark.parametrize("where", ["q", "niche", "filter", "followers_from", "drop", "sort", "cursor", "posted_within"])
async def test_nothing_that_stands_in_an_address_is_markup(connect: Connect, where: str) -> None:
    http = await connect(create_app(World([creator(1, "Ana")]).services()))
    for text in PAYLOADS:
        reply = await http.get("/", params={where: text}, headers={"Accept": "text/html"})
        assert reply.status_code == 200
        assert inert(Reader(reply.text)), text
