"""The pages for people: server-rendered, without scripts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from quart import Response, request
from quart_trio import QuartTrio

from daemon.web.answering import answer
from daemon.web.asking import ask
from daemon.web.creators import detail, moved_to
from daemon.web.params import whole_number
from daemon.web.replies import see
from daemon.web.services import PublicServices
from daemon.web.tenant import tenant_id
from proto.api import SearchRequest, SignView
from proto.errors import Unavailable

PAGE_SIZE = 20
STATIC_AGE_SECONDS = 3_600


def register(app: QuartTrio, services: PublicServices) -> None:
    pages = Environment(
        loader=PackageLoader("daemon.web", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"short": short_count, "initials": initials, "share": share, "web_link": web_link, "sign": sign}

    @app.get("/")
    async def home() -> Response:
        text = request.args.get("q", "")[:512]
        limit = whole_number(request.args.to_dict(), "limit", PAGE_SIZE, 1, 100)
        cursor = request.args.get("cursor", "")
        ready = await services.ready()
        offset = 0
        try:
            asked = await ask(
                services.searching, SearchRequest(q=text, limit=limit, cursor=cursor, explain=True), tenant_id()
            )
            offset = asked.query.offset
            found = await answer(services.searching, asked, services.audit, services.now())
        except Unavailable:
            found = None
        following = urlencode({"q": text, "cursor": found.cursor}) if found and found.cursor else ""
        return html(
            pages.get_template("search.html").render(
                q=text, found=found, ready=ready, following=following, offset=offset, banner=services.banner
            )
        )

    @app.get("/creators/<creator_id>")
    async def creator_page(creator_id: str) -> Response:
        moved = await moved_to(services, creator_id)
        if moved is not None:
            return see(f"/creators/{moved}")
        page = await detail(services, creator_id)
        return html(
            pages.get_template("creator.html").render(
                creator=page.creator,
                content=page.recent_content,
                signs=page.vital_signs.overall if page.vital_signs else None,
                q="",
                banner=services.banner,
            )
        )


def html(text: str) -> Response:
    return Response(text, content_type="text/html; charset=utf-8")


def short_count(number: int | None) -> str:
    """48210 → 48.2k; None → unknown."""
    if number is None:
        return "unknown"
    for step, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if number >= step:
            return f"{number / step:.1f}".removesuffix(".0") + letter
    return str(number)


def sign(found: SignView, pattern: str) -> str:
    """The value by a pattern such as ``{:.1%}``, or why there is none."""
    return f"unknown ({found.why})" if found.value is None else pattern.format(found.value)


def initials(name: str) -> str:
    """At most two letters that stand for a missing picture."""
    words = [word for word in name.split() if any(one.isalnum() for one in word)]
    letters = [next(one for one in word if one.isalnum()) for word in words[:2]]
    return "".join(letters).upper() or "?"


def web_link(url: str) -> str:
    """Empty for anything but http(s): a link from a record never runs a script."""
    return url if url.startswith(("https://", "http://")) else ""


def share(value: Any, total: Any) -> int:
    """Twentieths of a whole, 0..20, for a bar's width class."""
    return max(0, min(20, round(20 * float(value) / float(total)))) if total else 0
