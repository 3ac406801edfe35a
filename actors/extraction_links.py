"""URLs as people write them: bare, tracked, cut short, run into the next word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import msgspec

from actors.extraction_fused import cut_host, cut_name, cut_tail
from actors.extraction_tables import (
    PATH_ONLY_TLDS,
    PLAIN_TLDS,
    PLATFORM_HOSTS,
    PLATFORM_SUBDOMAINS,
    POST_PATHS,
    RESERVED_PATHS,
    TAB_PATHS,
    TRACKING_PARAMETERS,
    YOUTUBE,
)

_KNOWN = "|".join(re.escape(host) for host in PLATFORM_HOSTS if len(host) > 7)
_NEXT_URL = rf"https?://|www\.|(?:{_KNOWN})/"
# Browsers copy other scripts percent-encoded, so in running text a kana or an arrow ends the URL.
_CHARACTER = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_LABEL = r"[a-z0-9_][a-z0-9_-]{0,62}"
_URL = re.compile(
    rf"(?:(?P<scheme>https?://)|(?P<www>(?=www\.))|(?P<known>(?=(?:{_KNOWN})/))|(?<![\w@./-]))"
    rf"(?P<host>(?:{_LABEL}\.){{1,6}}[a-z][a-z0-9-]{{1,40}}"
    rf"|(?<=//)(?:[^\W_a-z][\w-]{{0,62}}\.){{1,4}}[^\W\d_a-z]{{2,24}})"
    rf"(?::\d{{2,5}})?(?P<tail>[/?#](?:(?!{_NEXT_URL}){_CHARACTER}){{0,2048}})?",
    re.IGNORECASE,
)
_CLOSING = ".,;:!?'\")]}*~-|"
_AFTER = 8
"""Characters behind a URL that tell whether it is whole."""

_NAME = re.compile(
    r"/(?:(?:channel|user|c|add|stories|_u|(?:pages|people)/[\w.%-]{1,110})/)?@?(?P<name>[\w.·-]{1,110})", re.IGNORECASE
)
_FIXED = re.compile(r"/channel/UC[\w-]{22}|/watch\?v=[\w-]{11}|/(?:shorts|live|embed)/[\w-]{11}", re.ASCII)
_VIDEO = re.compile(r"/[\w-]{11}", re.ASCII)
# "vm.tiktok.com" and "vt.tiktok.com" shorten links to videos.
_LANGUAGE = re.compile(r"(?!vm|vt)[a-z]{2}(?:-[a-z]{2})?")
_WORD = re.compile(r"\w{1,30}", re.ASCII)


class Url(msgspec.Struct, frozen=True):
    """A URL as found: characters ``start`` to ``end`` of the text, host in lower case, the rest as written."""

    start: int
    end: int
    host: str
    tail: str
    platform: str | None
    cut_short: bool
    """Whether the text itself shortened it, as in ``example.com/some-lo...``."""


def find_urls(text: str) -> Iterator[Url]:
    """Every URL of the text in order, none overlapping; in linear time, since each piece has a greatest length."""
    position = 0
    while match := _URL.search(text, position):
        url = _url_of(match)
        position = match.end("host") if url is None else url.end
        if url is not None:
            yield url


def without_urls(text: str, urls: Iterable[Url]) -> str:
    """The text with newlines in the place of each URL, so that positions stay."""
    pieces, position = [], 0
    for url in urls:
        pieces += [text[position : url.start], "\n" * (url.end - url.start)]
        position = url.end
    return "".join([*pieces, text[position:]])


def normalise(url: Url) -> str:
    """``https``, no ``www.``, fragment, tracking or closing slash, so that equal pages mostly have equal URLs."""
    path, _, query = url.tail.partition("#")[0].partition("?")
    kept = "&".join(one for one in query.split("&") if one and not _tracks(one))
    path = re.sub(r"/{2,}", "/", path).rstrip("/")
    return f"https://{url.host}{path}" + (f"?{kept}" if kept else "")


def host_of(url: str) -> str:
    """Host of a URL or of a bare host, lower case, without ``www.`` and port; empty where there is none."""
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.").rstrip(".")


def platform_of(host: str) -> str | None:
    """The platform whose profiles live on the host; None for its other services (``clips.twitch.tv``)."""
    for known, platform in PLATFORM_HOSTS.items():
        if host == known or host.endswith(f".{known}"):
            before = host.removesuffix(known).rstrip(".")
            return platform if before in PLATFORM_SUBDOMAINS or _LANGUAGE.fullmatch(before) else None
    return None


def _url_of(match: re.Match[str]) -> Url | None:
    text = match.string
    written = cut_host(match["host"])
    host_end = match.start("host") + len(written)
    tail = (match["tail"] or "") if written == match["host"] else ""
    explicit = match["scheme"] or written.lower().startswith("www.")
    host = written.lower().removeprefix("www.")
    if "." not in host or text[host_end : host_end + 1] == "@" or not (explicit or _believable(written, tail)):
        return None
    start = match.start("tail") if tail else host_end
    after = text[start + len(tail) : start + len(tail) + _AFTER]
    tail, dots, _ = tail.partition("...")
    cut_short, platform = bool(dots) or after[:1] == "…", platform_of(host)
    if cut_short and "?" in tail:  # only the query is lost
        tail, cut_short = tail.partition("?")[0], False
    whole = _whole_tail(host, platform, tail, "" if dots else after)
    cut_short = cut_short and whole == tail and not tail.endswith("/")
    return Url(match.start(), start + len(whole), host, whole, platform, cut_short)


def _whole_tail(host: str, platform: str | None, tail: str, after: str) -> str:
    """The tail without what ran into it; ids of a known length are taken as they are, since they may end in "-"."""
    if fixed := _FIXED.match(tail) if platform == YOUTUBE else _VIDEO.match(tail) if host == "youtu.be" else None:
        return fixed.group()
    name = _NAME.match(tail) if platform else None
    if platform is None or name is None or name["name"].lower() in RESERVED_PATHS[platform]:
        return _strip(cut_tail(tail, after))
    behind = tail[name.end() :]
    if behind[:1] == "/":
        part = _WORD.match(behind, 1)
        known = part is not None and part.group().lower() in POST_PATHS | TAB_PATHS
        return _strip(cut_tail(tail, after)) if known else tail[: name.end() + 1]
    if behind[:1] == "?":
        return tail[: name.end()]
    behind += after
    kept = cut_name(name["name"], behind, whole_line=behind[:1] in ("", "\n"))
    return tail[: name.start("name") + len(kept)]


def _strip(tail: str) -> str:
    """Without the punctuation of the sentence around it; a closing bracket stays if it was opened within."""
    bare = tail.rstrip(_CLOSING)
    return bare + ")" if "(" in bare and tail[len(bare) :].startswith(")") else bare


def _believable(written: str, tail: str) -> bool:
    """Whether a host without ``https://`` and ``www.`` is one, and not two sentences without a space."""
    head, _, last = written.rpartition(".")
    ending = last.lower()
    if ending not in PLAIN_TLDS or head.isdigit() or not (last.islower() or written.isupper()):
        return False
    return ending not in PATH_ONLY_TLDS or (len(tail) > 1 and tail[0] == "/")


def _tracks(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name.startswith("utm_") or name in TRACKING_PARAMETERS
