"""How people of the identity world are called, what they call their accounts and how they speak: pure, from dice."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from daemon.evaluation.identity_tongues import (
    EMOJI,
    SYLLABLES,
    TONGUES,
    TOPICS,
    TRADES,
    WORDS,
    Spelled,
    Tongue,
    frequencies,
)
from proto.ids import Platform

MAX_HANDLE_CHARS, MAX_WANTED_CHARS = 30, 22
"""What Instagram and YouTube accept, and how much of it leaves room for what a taken handle gets."""

_TONGUE_WEIGHTS = [tongue.share for tongue in TONGUES]
_GIVEN_WEIGHTS = {tongue.code: frequencies(len(tongue.given)) for tongue in TONGUES}
_FAMILY_WEIGHTS = {tongue.code: frequencies(len(tongue.family)) for tongue in TONGUES}


def drawn_tongue(dice: random.Random) -> Tongue:
    return dice.choices(TONGUES, _TONGUE_WEIGHTS)[0]


def drawn_name(dice: random.Random, tongue: Tongue) -> tuple[Spelled, Spelled]:
    """Given and family name, each as frequent as its place in the table says."""
    return (
        dice.choices(tongue.given, cum_weights=_GIVEN_WEIGHTS[tongue.code])[0],
        dice.choices(tongue.family, cum_weights=_FAMILY_WEIGHTS[tongue.code])[0],
    )


def full_name(tongue: Tongue, given: Spelled, family: Spelled) -> str:
    return f"{family.own}{given.own}" if tongue.family_first else f"{given.own} {family.own}"


def person_parts(dice: random.Random, given: Spelled, family: Spelled) -> tuple[str, ...]:
    """The words of a handle: a name, a name and what one does, or something invented."""
    chance = dice.random()
    if chance < 0.12:
        return given.latin, family.latin
    if chance < 0.30:
        return given.latin, family.latin, str(dice.randint(1, 99))
    if chance < 0.40:
        return given.latin, family.latin, dice.choice(TOPICS)
    if chance < 0.50:
        return given.latin, nickname(dice, dice.randint(2, 3))
    if chance < 0.53:
        return dice.choice(TOPICS), "with", given.latin
    if chance < 0.80:
        return (nickname(dice, dice.choice((3, 4, 4, 5))),)
    return invented_words(dice)


def brand_parts(dice: random.Random) -> tuple[str, ...]:
    trade = dice.choice(TRADES).lower()
    return (*invented_words(dice), trade) if dice.random() < 0.5 else (nickname(dice, 3), trade)


def nickname(dice: random.Random, syllables: int) -> str:
    return "".join(dice.choices(SYLLABLES, k=syllables))


def invented_words(dice: random.Random) -> tuple[str, str]:
    """Mostly a word with an invented one, as two plain words are soon taken."""
    return dice.choice(WORDS), dice.choice(WORDS) if dice.random() < 0.1 else nickname(dice, 2)


def joined(dice: random.Random, parts: tuple[str, ...]) -> str:
    """A handle of the words, as people write it."""
    chance = dice.random()
    if chance < 0.35:
        return "".join(parts)
    if chance < 0.60:
        return "".join(part.title() for part in parts)
    return ("_" if chance < 0.82 else ".").join(parts)


def variation(dice: random.Random, handle: str) -> str:
    """What people take who cannot have the handle, or want to be told from others of it."""
    name, number = handle[:MAX_WANTED_CHARS].rstrip("."), dice.choice((dice.randint(1, 99), dice.randint(1980, 2010)))
    other = name.replace(".", "_") if "." in name else name.replace("_", ".") if "_" in name[1:] else f"{name}_"
    return dice.choice(
        (
            *(other, f"{name}_", f"_{name}", f"{name}{number}", f"{name}_{number}", f"{name}.{number}"),
            *(f"{name}official", f"{name}.official", f"official_{name}", f"{name}tv", f"{name}_tv"),
            *(f"the{name}", f"the.{name}", f"real{name}", f"iam{name}"),
        )
    )


def fitting(platform: Platform, wanted: str) -> str:
    """The handle as the platform would give it; Instagram knows lower case only."""
    handle = re.sub(r"\.{2,}", ".", wanted)[:MAX_HANDLE_CHARS].strip(".")
    return handle.lower() if platform is Platform.INSTAGRAM else handle


def prose(dice: random.Random, tongue: Tongue, given: Spelled) -> list[str]:
    """A bio without links; equal ones of strangers are rare."""
    lines = [said(dice, tongue, given, picked(dice, tongue.openings))]
    lines += [said(dice, tongue, given, extra) for extra in dice.sample(tongue.extras, dice.randint(0, 2))]
    return [f"{dice.choice(EMOJI)} {line}" if dice.random() < 0.2 else line for line in lines]


def title(dice: random.Random, tongue: Tongue, given: Spelled) -> str:
    return said(dice, tongue, given, picked(dice, tongue.titles))


def said(dice: random.Random, tongue: Tongue, given: Spelled, pattern: str) -> str:
    first, second = int(dice.random() * len(tongue.subjects)), 1 + int(dice.random() * (len(tongue.subjects) - 1))
    text = pattern.format(
        name=given.own,
        place=picked(dice, tongue.places),
        subject=tongue.subjects[first],
        other=tongue.subjects[(first + second) % len(tongue.subjects)],
        n=2 + int(dice.random() * 39),
        year=2006 + int(dice.random() * 21),
    )
    return text[:1].upper() + text[1:]


def picked(dice: random.Random, among: Sequence[str]) -> str:
    """As ``dice.choice``, at a third of the cost: what is said is most of a world's making."""
    return among[int(dice.random() * len(among))]
