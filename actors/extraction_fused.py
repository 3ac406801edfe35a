"""Where a name or URL ends when the newline after it was lost and the next word ran into it."""

from __future__ import annotations

import re

from actors.extraction_tables import NAMES_THAT_FUSE, PLAIN_TLDS

_FUSED = "|".join(sorted(NAMES_THAT_FUSE, key=len, reverse=True))
# A label counts when it ends the run or another one follows: "gearboxTwitch" is cut, "MyTwitchLife" is not.
_LABEL_IN_NAME = re.compile(rf"(?<=.)(?:{_FUSED})(?=$|\.|http|www|(?:{_FUSED}))")
_LOWER_LABEL = re.compile(r"(?<=.{2})(?:instagram|twitter|facebook|youtube|snapchat|tiktok|twitch)$")
_URL_IN_NAME = re.compile(r"(?<=.)(?:https?$|www\.)")
# "xavcasanovaEditor" shows a seam; "21Savage" and "DAZNBoxing" do not.
_CAMEL = re.compile(r"^(?=[^A-Z]*[a-z])[^A-Z]{3,}(?=[A-Z])")
_SENTENCE = re.compile(r"(?<=[a-z0-9_])\.(?=[A-Z][a-z])")
_RULE = re.compile(r"_{3,}$")
_MARK = re.compile(r"\s{0,2}[:：►▶→➤➜➡»|]|\s{0,2}[-–—]\s|\s{0,2}@")
_NEXT_LINE = re.compile(rf"(?<=[^/])(?:[A-Z][a-z]{{2,20}}:(?!//)|(?:{_FUSED})$)|(?<=/)(?:[A-Z][a-z]{{2,20}}:(?!//))")
_TLD = re.compile(r"[a-z]+")


def cut_name(name: str, after: str, *, whole_line: bool) -> str:
    """The part of ``name`` that is the name; ``after`` is the text behind it, a few characters.

    With ``whole_line`` a line or the text ends here, so a capital within a lower-case name is its own.
    """
    name = name.partition("..")[0]  # no platform allows two dots together
    for pattern in (_URL_IN_NAME, _LABEL_IN_NAME):
        if match := pattern.search(name):
            name = name[: match.start()]
    if (match := _SENTENCE.search(name)) and name[: match.start()].islower():
        name = name[: match.start()]
    if (match := _LOWER_LABEL.search(name)) and _MARK.match(after):
        name = name[: match.start()]
    if not whole_line and (match := _CAMEL.match(name)):
        name = match.group()
    return _RULE.sub("", name).rstrip(".-")


def cut_tail(tail: str, after: str) -> str:
    """The part of a path and query that is the URL's own: up to ``Credits:`` or, before a mark, ``Twitter``."""
    match = _NEXT_LINE.search(tail)
    if match is None:
        return tail
    return tail[: match.start()] if match.group().endswith(":") or _MARK.match(after) else tail


def cut_host(host: str) -> str:
    """``site.comFollow`` and ``site.com.Follow`` are ``site.com``; a host without a fused word stays."""
    head, _, last = host.rpartition(".")
    before = head.rpartition(".")[2]
    if last[:1].isupper() and last.lower() not in PLAIN_TLDS and "." in head and before in PLAIN_TLDS:
        return head
    match = _TLD.match(last)
    if match is None or match.end() == len(last):
        return f"{head}.{last.removesuffix('http').removesuffix('https')}" if last.endswith(("http", "https")) else host
    return f"{head}.{match.group()}" if match.group() in PLAIN_TLDS and last[match.end()].isupper() else host
