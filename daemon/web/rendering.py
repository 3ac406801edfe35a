"""Templates, and how values are written in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from quart import Response, request

from daemon.web import charts
from daemon.web.names import COUNTRIES, LANGUAGES, country_name, language_name
from daemon.web.telling import BAD, COOKIE, TOLD
from daemon.web.viewer import Viewer
from proto.api import Contribution, SignView

STATIC = Path(__file__).parent / "static"
HUES = 24
THEMES = ("light", "dark")
PLATFORMS = {"youtube": "YouTube", "instagram": "Instagram", "tiktok": "TikTok", "x": "X"}
LABELS = {"semi_active": "semi-active", "long_tail": "long tail", "llm": "language model", "local": "local rules"}
FACET_NAMES = {
    "platform": "Platform", "niche": "Niche", "style": "Style", "country": "Country", "language": "Language",
    "activity": "Activity", "tier": "Tier", "label_method": "Labelled by", "followers": "Followers",
}  # fmt: skip
AGES = ((60, "s"), (60, "min"), (24, "h"), (7, "d"), (4.345, "w"), (12, "mo"), (0, "y"))


class Pages:
    """Renders a template for a viewer; a part of a page where ``part`` is asked for."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        banner: str,
        pictures: bool,
        niches: Mapping[str, str],
        styles: Mapping[str, str],
    ) -> None:
        """``niches``: names of niches and of narrower subjects."""
        self._now = now
        self._templates = Environment(
            loader=PackageLoader("daemon.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        named = {"niche": niches, "style": styles, "country": COUNTRIES, "language": LANGUAGES}
        self._templates.filters |= {
            **FILTERS,
            "niche": lambda value: niches.get(value) or label(value),
            "style": lambda value: styles.get(value) or label(value),
            "valued": lambda value, column: named.get(column, {}).get(value) or label(value),
        }
        self._templates.globals |= {
            "asset": assets().__getitem__,
            "banner": banner,
            "pictures": pictures,
            "facet_names": FACET_NAMES,
        }

    def render(self, template: str, who: Viewer, code: int = 200, **values: Any) -> Response:
        part = request.args.get("part") == "1"
        theme, told = request.cookies.get("theme", ""), "" if part else request.cookies.get(COOKIE, "")
        text = self._templates.get_template(template).render(
            layout="part.html" if part else "base.html",
            part=part,
            who=who,
            now=self._now(),
            theme=theme if theme in THEMES else "",
            path=request.full_path.removesuffix("?"),
            told=told,
            told_text=TOLD.get(told, ""),
            told_bad=told in BAD,
            **({"q": ""} | values),
        )
        answer = Response(text, code, content_type="text/html; charset=utf-8")
        answer.headers["Cache-Control"] = "private, no-cache"  # of this viewer, and as of now
        if told:
            answer.delete_cookie(COOKIE, httponly=True, samesite="Lax")
        return answer

    def piece(self, template: str, **values: Any) -> str:
        """Without a page around it."""
        return self._templates.get_template(template).render(now=self._now(), **values)


def assets() -> dict[str, str]:
    """Addresses of static files, which change with what is in them: browsers may keep them as long as they like."""
    return {
        one.name: f"/static/{one.name}?v={hashlib.blake2b(one.read_bytes(), digest_size=6).hexdigest()}"
        for one in sorted(STATIC.iterdir())
        if one.is_file()
    }


def short_count(number: float | None) -> str:
    """48210 → 48.2k; None → unknown."""
    if number is None:
        return "unknown"
    for step, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if number >= 0.99995 * step:  # what rounds to 1,000 of the unit below is one of this
            return f"{number / step:.1f}".removesuffix(".0") + letter
    return f"{number:g}"


def grouped(number: float | None) -> str:
    return "unknown" if number is None else f"{number:,.0f}"


def counted(number: float | None, one: str, written: str = "") -> str:
    """``1 comment``, ``2 comments``, as ``written``."""
    return f"{written or grouped(number)} {one if number == 1 else one + 's'}"


def addressed(text: str) -> list[str]:
    """An address, cut where it may be broken into lines."""
    return [piece for piece in re.split(r"(?<=[&?,/=:])", text) if piece]


def percent(share: float | None, pattern: str = "{:.1%}") -> str:
    """0.054 → 5.4%."""
    return "unknown" if share is None else pattern.format(share).replace("-", "−")


def sign(found: SignView, pattern: str) -> str:
    """The value by a pattern such as ``{:.1%}``, or why there is none."""
    if found.value is None:
        return "unknown"
    return pattern.format(found.value).replace("-", "−")


def initials(name: str) -> str:
    """At most two letters that stand for a missing picture."""
    words = [word for word in name.split() if any(one.isalnum() for one in word)]
    letters = [next(one for one in word if one.isalnum()) for word in words[:2]]
    return "".join(letters).upper() or "?"


def hue(creator_id: str) -> int:
    """One of the hues of avatars, always the same for a creator."""
    return int(creator_id) % HUES if creator_id.isdecimal() else 0


def web_link(url: str) -> str:
    """Empty for anything but http(s): a link from a record never runs a script."""
    return url if url.startswith(("https://", "http://")) else ""


def share(value: Any, total: Any) -> float:
    return charts.percent_of(float(value), float(total))


def platform_name(name: str) -> str:
    return PLATFORMS.get(name, name)


def label(value: str | None) -> str:
    """A word of ours as people say it."""
    if not value:
        return "unknown"
    return LABELS.get(value) or PLATFORMS.get(value) or value.replace("-", " ").replace("_", " ")


@pass_context
def ago(context: Context, instant: str | None) -> str:
    """``3 h ago``, ``in 5 h``."""
    if not instant:
        return "never"
    return since(context["now"] - datetime.fromisoformat(instant).timestamp())


def since(seconds: float) -> str:
    """``3 h ago``; of what is to come, ``in 5 h``."""
    if abs(seconds) < 60:
        return "just now"
    text = age(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def age(seconds: float) -> str:
    """Whole units: ``5 h``."""
    value = seconds
    for size, unit in AGES:
        if not size or value < size:
            return f"{int(value)} {unit}"
        value /= size
    raise AssertionError("the last age has no end")


def day(instant: str | None) -> str:
    return datetime.fromisoformat(instant).strftime("%-d %b %Y") if instant else "unknown"


def moment(instant: str | None) -> str:
    return datetime.fromisoformat(instant).strftime("%-d %b %Y, %H:%M UTC") if instant else "unknown"


def pieces(text: str, marks: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """The text, cut where words of the query begin and end; true for those."""
    at = 0
    for begin, end in marks:
        if begin > at:
            yield text[at:begin], False
        yield text[begin:end], True
        at = end
    if at < len(text):
        yield text[at:], False


def parts(contributions: Sequence[Contribution]) -> list[tuple[str, float]]:
    return [(one.name, one.contribution) for one in contributions]


FILTERS: Mapping[str, Callable[..., Any]] = {
    "short": short_count,
    "grouped": grouped,
    "percent": percent,
    "counted": counted,
    "addressed": addressed,
    "sign": sign,
    "initials": initials,
    "hue": hue,
    "web_link": web_link,
    "share": share,
    "platform": platform_name,
    "label": label,
    "country": country_name,
    "language": language_name,
    "ago": ago,
    "age": age,
    "since": since,
    "day": day,
    "moment": moment,
    "pieces": pieces,
    "parts": parts,
    "stacked": charts.stacked,
    "spark": charts.spark,
}
