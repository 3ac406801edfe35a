"""What the scheduled posts say and how many will have seen them: a function of the seed, the account and the slot."""

from __future__ import annotations

import random
from collections.abc import Mapping

from daemon.simulator.generator import SHORT_SHARE, TONGUES, Tongue, subject_words
from daemon.simulator.posting import Slot
from daemon.simulator.world import Channel, Post, Profile, Truth, Video
from models.taxonomy import Niche

UNKNOWN_FOLLOWERS = 1_000
"""Assumed where an account hides its followers."""


class Author:
    """Writes for every account; ``niches`` by id."""

    def __init__(self, seed: int, niches: Mapping[str, Niche]) -> None:
        self._seed, self._niches = seed, niches
        self._tongues = {tongue.code: tongue for tongue in TONGUES}

    def video(self, channel: Channel, slot: Slot, video_id: str, changed_niche: str = "") -> Video:
        """Its counts are those at the end of its life."""
        dice = self._dice(channel.id, slot)
        niche = self._niches.get(changed_niche or (channel.truth.niche if channel.truth else ""))
        title, words = self._title(dice, channel.truth, changed_niche, channel.title)
        short = dice.random() < SHORT_SHARE
        views = int((channel.subscribers or UNKNOWN_FOLLOWERS) * dice.lognormvariate(-2.0, 0.8)) + 10
        return Video(
            id=video_id,
            channel_id=channel.id,
            title=f"{title} #shorts" if short else title,
            published_at=slot.at,
            description=f"{title}. {channel.description}",
            tags=words[:5],
            category_id=niche.youtube[0] if niche and niche.youtube else "22",
            duration_seconds=dice.randint(12, 60) if short else dice.randint(120, 3_600),
            views=views,
            likes=int(views * dice.uniform(0.01, 0.08)),
            comments=int(views * dice.uniform(0.0005, 0.008)),
            language=channel.truth.language if channel.truth else channel.default_language,
        )

    def post(self, profile: Profile, slot: Slot, post_id: str, changed_niche: str = "") -> Post:
        dice = self._dice(profile.id, slot)
        title, words = self._title(dice, profile.truth, changed_niche, profile.name or profile.username)
        followers = profile.followers or UNKNOWN_FOLLOWERS
        tag = f" #{words[0].replace(' ', '').replace('-', '')}" if words else ""
        return Post(
            id=post_id,
            taken_at=slot.at,
            caption=f"{title}{tag}",
            likes=int(followers * dice.uniform(0.01, 0.06)),
            comments=int(followers * dice.uniform(0.0003, 0.003)),
        )

    def bio(self, account: Channel | Profile, before: str, niche_id: str) -> str:
        """The bio that an account gives itself for a niche, in its language: only the first line changes, links stay.

        As it was for a niche that the taxonomy lacks.
        """
        niche, tongue = self._niches.get(niche_id), self._tongue(account.truth)
        if niche is None:
            return before
        dice = random.Random(f"{self._seed}/bio/{account.id}/{niche_id}")
        words = subject_words(niche, None, tongue.code)
        text = dice.choice(tongue.bios).format(
            name=dice.choice(tongue.names),
            place=dice.choice(tongue.places)[1],
            topic=niche.name,
            cue=dice.choice(words),
            cue2=dice.choice(words),
        )
        return "\n".join([text[:1].upper() + text[1:], *before.splitlines()[1:]])

    def _tongue(self, truth: Truth | None) -> Tongue:
        return self._tongues.get(truth.language if truth else "en", TONGUES[0])

    def _dice(self, account: str, slot: Slot) -> random.Random:
        return random.Random(f"{self._seed}/text/{account}/{slot.block}/{slot.place}")

    def _title(self, dice: random.Random, truth: Truth | None, changed_niche: str, name: str) -> tuple[str, list[str]]:
        """The title and the words of its subject; for an account of unknown niche only its name."""
        tongue = self._tongue(truth)
        niche = self._niches.get(changed_niche or (truth.niche if truth else ""))
        if niche is None or truth is None:
            return f"{name} #{dice.randint(2, 999)}", []
        topic = next((part for part in niche.secondary if part.id == truth.topic), None)
        words = subject_words(niche, topic, tongue.code)
        text = dice.choice(tongue.titles).format(cue=dice.choice(words), cue2=dice.choice(words), n=dice.randint(2, 30))
        return text[:1].upper() + text[1:], words
