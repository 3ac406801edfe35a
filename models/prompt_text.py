"""Text that goes into a prompt, comes back from a model, or is shown of either: nothing to reach a person by."""

from __future__ import annotations

import re
import unicodedata

from models.packing import clean

TOKEN_BYTES = 4
"""Bytes of UTF-8 a token: four Latin letters, or a little more than one Chinese or Korean character."""
READ_FACTOR = 3
"""How much of a text is read for each byte to keep; the rest would be links and boilerplate."""

_OBFUSCATED = re.compile(r"\S{1,100}\s{0,3}[(\[]\s*(?:at|@)\s*[)\]]\s*\S+", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![\w.-])(?:[\w-]{1,63}\.){1,4}(?:com|net|org|info|biz|io|co|me|app|dev|shop|store|ly|link|bio|xyz|site|online"
    r"|page|blog|gg|tv|fm|ee|eu|us|uk|de|fr|es|it|nl|pl|br|mx|ar|ca|au|jp|kr|cn|in|ru|tr|ch|at|se)(?![\w-])(?:/\S*)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\+?\d(?:[\s()./·-]{0,3}\d){8,}")
"""Nine digits: "2019-2024" and "12 000 000" are no phone numbers."""
_EMAIL = re.compile(r"\S{1,100}@\S+")
_MENTION = re.compile(r"(?<!\w)@\w{2,}")
_LINK = re.compile(r"(?:https?:|www\.)\S*", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|pk|gsk|key|hf)[-_][\w-]{6,}", re.IGNORECASE)
_MARKUP = str.maketrans({"<": " ", ">": " ", "|": " ", "`": " ", "[": "(", "]": ")", "{": "(", "}": ")"})
"""What fences, chat templates and JSON are made of."""
_SPACES = re.compile(r"\s+")


def estimated_tokens(text: str) -> int:
    """Of any model, to within a third or so."""
    return -(-len(text.encode("utf-8", "replace")) // TOKEN_BYTES)


def plain(text: str, max_bytes: int) -> str:
    """One line of what a creator wrote, at most ``max_bytes`` of UTF-8: words only.

    Without links, e-mail addresses, phone numbers, mentions, boilerplate, control characters, and without the
    characters that a fence is made of, also those that become such when they are normalised.
    """
    read = unicodedata.normalize("NFKC", text[: READ_FACTOR * max_bytes])
    words = _unreachable(clean(_unreachable(read))).translate(_MARKUP)
    return cut(_printable(words), max_bytes)


def reaches_out(text: str) -> bool:
    """Whether a text holds a link, an e-mail address, a handle or a phone number."""
    return any(pattern.search(text) for pattern in (_EMAIL, _MENTION, _LINK, _OBFUSCATED, _DOMAIN, _NUMBER))


def excerpt(text: str, max_bytes: int = 120) -> str:
    """The beginning of what an endpoint said, fit for a log: no addresses, numbers, links or keys, one line."""
    masked = _KEY.sub("…", _unreachable(text[: 4 * max_bytes], "…"))
    shown = cut(_printable(masked), max_bytes)
    return shown + "…" if len(text) > len(shown) + 20 else shown


def cut(text: str, max_bytes: int) -> str:
    """At most ``max_bytes`` of UTF-8, white space put together, no half character at the end."""
    return _SPACES.sub(" ", text).strip().encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore").strip()


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def _unreachable(text: str, mark: str = " ") -> str:
    for pattern in (_LINK, _OBFUSCATED, _EMAIL, _MENTION, _DOMAIN, _NUMBER):
        text = pattern.sub(mark, text)
    return text
