"""Names as identity compares them: one alphabet, no blanks, with and without the words that many names share."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii
from rapidfuzz.distance import JaroWinkler

from actors.extraction_tables import words as word_table

LEAST_CORE_CHARS = 4
"""What is left of a name without its common words must still be one."""

AFFIXES = word_table(
    """
    the official officiel oficial offiziell ofc real thereal its itis iam im i am the only original
    tv hd vevo channel channels kanal canal chaine insta instagram ig yt youtube tube vlog vlogs gram
    inc llc ltd gmbh ag sa co corp corporation company group
    hq global international intl worldwide world usa us uk eu online app shop store stores
    of de la le el und and foundation
    """
)
"""Words that tell no two owners apart: marks of a genuine account, platforms, legal forms, reach."""

GLUED = tuple(
    sorted(
        word_table(
            """
        official officiel oficial offiziell ofc thereal real therealofficial the its iam tv vevo channel kanal canal
        insta instagram youtube ytb vlogs vlog inc llc ltd gmbh corp company group hq global international intl
        worldwide usa us uk online app shop store foundation
        """
        ),
        key=lambda word: (-len(word), word),
    )
)
"""Those that are also written together with a name."""

FAN_WORDS = word_table(
    """
    fan fans fanpage fanclub fansite fandom stan updates memes edits archive archives
    parody tribute unofficial lovers wiki quotes topic
    """
)
"""Words by which an account about somebody differs from somebody's own."""
GLUED_FAN_WORDS = ("fanpage", "fanclub", "fansite", "fans", "updates", "memes", "edits", "parody")

ABOUT = word_table("daily clips clip moments fc bestof team archive highlights news")
"""What an account about somebody, but at times a second one of somebody's own, adds to the handle."""

LEAST_NAME_CHARS = 2
_GLUED_FRONT = re.compile(f"^(?:{'|'.join(GLUED)})(?=.{{{LEAST_CORE_CHARS}}})")
_GLUED_END = re.compile(f"(?<=.{{{LEAST_CORE_CHARS}}})(?:{'|'.join(GLUED)})$")
_LATIN = re.compile(r"[^\u0000-\u024f]+")
_FAN_BIO = re.compile(
    r"\b(?:fan[ -]?(?:page|club|site|account|made)|(?:not|no) affiliat\w+|unofficial|parody|tribute|dedicated to|(?:clips|moments|edits) of)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z0-9]+")


@lru_cache(maxsize=4_096)
def words(text: str) -> tuple[str, ...]:
    """The words of a name in ASCII, lower case, without marks: ``"Соловьёв LIVE"`` → ``("solovev", "live")``."""
    letters = "".join(one for one in text if unicodedata.category(one) != "So")  # emoji have names in ASCII
    plain = anyascii(letters.casefold().replace("&", " and ")).lower().replace("'", "").replace("`", "")
    return tuple(_WORD.findall(plain))


def skeleton(text: str) -> str:
    """The words without what stands between them."""
    return "".join(words(text))


def variants(text: str) -> list[str]:
    """The name, and its Latin part alone where another script repeats it: ``"TREASURE (트레저)"``, ``"TREASURE"``."""
    latin = _LATIN.sub(" ", text).strip() if not text.isascii() else ""
    return list(dict.fromkeys(one for one in (text, latin) if len(skeleton(one)) >= LEAST_NAME_CHARS))


@lru_cache(maxsize=16_384)
def core(text: str) -> str:
    """The skeleton without common words, apart or written together; the skeleton itself where too little is left."""
    kept = "".join(word for word in words(text) if word not in AFFIXES)
    whole = skeleton(text)
    found = _unglued(kept if len(kept) >= LEAST_CORE_CHARS else whole)
    return found if len(found) >= LEAST_CORE_CHARS else whole


def fan_words(text: str) -> list[str]:
    """Words that mark an account about somebody, apart or at the end of a name."""
    found = words(text)
    apart = {word for word in found if word in FAN_WORDS}
    glued = {fan for fan in GLUED_FAN_WORDS for word in found if word.endswith(fan) and len(word) > len(fan) + 3}
    return sorted(apart | glued)


def is_fan_bio(text: str) -> bool:
    """Whether an account says of itself that it is about somebody."""
    return bool(_FAN_BIO.search(text))


def likeness(one: str, other: str) -> float:
    """Of two skeletons, in 0..1: Jaro–Winkler, the measure made for names (Winkler 1990); 0 when one is empty."""
    return JaroWinkler.similarity(one, other) if one and other else 0.0


def _unglued(name: str) -> str:
    """The longest glued word at the front goes, then the longest at the end, where a name is left."""
    return _GLUED_END.sub("", _GLUED_FRONT.sub("", name, count=1), count=1)
