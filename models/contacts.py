"""What a person could be reached by: taken out of a text before it leaves the machine."""

from __future__ import annotations

import re

_LINK = re.compile(r"(?:https?:|www\.)\S*", re.IGNORECASE)
_EMAIL = re.compile(r"\S{1,100}@[\w-]+\.\S+")
_OBFUSCATED = re.compile(r"\S{1,100}\s{0,3}[(\[]\s*(?:at|@)\s*[)\]]\s*\S+", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![\w.-])(?:[\w-]{1,63}\.){1,4}(?:com|net|org|info|biz|io|co|me|app|dev|shop|store|ly|link|bio|xyz|site|online"
    r"|page|blog|gg|tv|fm|ee|eu|us|uk|de|fr|es|it|nl|pl|br|mx|ar|ca|au|jp|kr|cn|in|ru|tr|ch|at|se)(?![\w-])(?:/\S*)?",
    re.IGNORECASE,
)
_PHONE = re.compile(r"\+?\(?\d(?:[\s()./·-]{0,3}\d){8,}")
"""Nine digits: "2019-2024" and "12 000 000" are no phone numbers."""
_MENTION = re.compile(r"(?<!\w)@\w[\w.]+")
_SPACES = re.compile(r"\s+")


def without_contacts(text: str) -> str:
    """One line without links, e-mail addresses, phone numbers and handles."""
    for pattern in (_LINK, _OBFUSCATED, _EMAIL, _MENTION, _DOMAIN, _PHONE):
        text = pattern.sub(" ", text)
    return _SPACES.sub(" ", text).strip()
