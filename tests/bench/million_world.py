"""Import files with creators by the hundred thousand, vectors and all: a pure function of seed and place in the world.

The texts are those of `tests.bench.search_world`. A vector is the mean of its sentences' and as much of its own, as no two
people say quite the same: a mixture of so many clusters as there are niches and languages, without a run of the model
for each text. What is its own lies mostly in the directions in which sentences differ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.aggregation import FIELDS
from daemon.config import Config
from daemon.embedding import open_model
from daemon.pipeline import taxonomy_of
from daemon.simulator.generator import LATIN_NAMES, NOW, SUFFIXES, TONGUES
from proto.given import GivenAccount, GivenCreator, GivenItem, GivenVector
from proto.ids import Platform
from proto.records import ContentType
from tests.bench.search_world import BIO_SENTENCES, DAY_SECONDS, SENTENCES, Sentence, Vocabulary

WORLD_VERSION = 3
"""Raised when other lines are made of the same seed."""
CHUNK = 10_000
"""Creators a file."""
OWN = 1.0
"""Length of what is added to a vector of length 1. Cosines of a creator's nearest, of the nearest hundredth and of the nearest
tenth are then 0.64, 0.54 and 0.42; of real bios, captions and titles 0.54 to 0.60, 0.41 to 0.50, 0.30 to 0.39, and to build a
graph of them takes as long (measured, NOTES.md)."""
DRAWN = 1_000
"""At a time, as one product of matrices is quicker than many."""
OWN_DECAY = (30.0, 1.5)
"""The variance in the n-th of the directions falls as (n + offset) ** -exponent: as of real texts 80 % lie in 140 of 384."""
BOTH, YOUTUBE_ONLY = 0.3, 0.5
"""Shares of creators with accounts on both platforms, and on YouTube alone: 1.3 accounts and 2.6 vectors each."""
TITLES_SAID = 4
"""Sentences that make the vector of an account's content."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """``full``: everybody is on both platforms, so that all four vector fields are full. ``items``: content items of a
    creator, over its accounts."""

    creators: int
    seed: int = 1
    full: bool = True
    items: int = 20

    @property
    def mark(self) -> str:
        return f"{WORLD_VERSION}-{self.seed}-{'full' if self.full else 'real'}-{self.items}"


def chunk_files(world: World, folder: Path) -> list[Path]:
    """In the order in which they are imported; a larger world of the same kind begins with a smaller one's files."""
    return [folder / f"{world.mark}-{first:08d}.jsonl" for first in range(0, world.creators, CHUNK)]


def vector_file(chunk: Path, field: str) -> Path:
    """[creators of the chunk, dims] float16; zeros where a creator does not have the field."""
    return chunk.with_name(f"{chunk.stem}.{field}.npy")


def make_files(world: World, folder: Path, processes: int = 2) -> None:
    """Makes what is not there yet. A file appears whole."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(at * CHUNK, path) for at, path in enumerate(chunk_files(world, folder)) if not path.exists()]
    if not wanted:
        return
    with ProcessPoolExecutor(processes, initializer=_learn) as pool:
        made = [pool.submit(_make_file, world, first, path) for first, path in wanted]
        for done, one in enumerate(made, 1):
            one.result()
            print(f"\r{done * CHUNK:,} of {len(wanted) * CHUNK:,} creators written", end="", flush=True)
    print()


def model_config() -> Config:
    """With the model whose vectors these are."""
    plain = Config()
    return msgspec.structs.replace(plain, model=msgspec.structs.replace(plain.model, kind="onnx"))


def vocabulary() -> Vocabulary:
    """Every sentence is embedded once, by the model of 384 dimensions."""
    model = open_model(model_config(), lambda _: None)
    try:
        return Vocabulary(taxonomy_of(Config()).niches, model)
    finally:
        model.close()


class Own:
    """What texts say of their own, from a seed."""

    def __init__(self, words: Vocabulary, seed: tuple[int, int]) -> None:
        offset, exponent = OWN_DECAY
        variances = (np.arange(words.model.dims) + offset) ** -exponent
        lengths = np.sqrt(variances / variances.sum()).astype(np.float32)
        self._turned = lengths[:, None] * _directions(words).T
        self._dice = np.random.default_rng(seed)
        self._made: Iterator[NDArray[np.float32]] = iter(())

    def take(self) -> NDArray[np.float32]:
        """[dims], a length of about 1."""
        if (one := next(self._made, None)) is None:
            drawn = self._dice.standard_normal((DRAWN, len(self._turned)), dtype=np.float32)
            self._made = iter(drawn @ self._turned)
            one = next(self._made)
        return one


def _directions(words: Vocabulary) -> NDArray[np.float32]:
    """[dims, dims]: in which sentences differ, the most telling first, a column each."""
    said = np.stack([one.vector for group in words.groups.values() for one in (*group.bios, *group.titles)])
    differing = said - said.mean(axis=0)
    _, found = np.linalg.eigh(differing.T @ differing)
    return np.ascontiguousarray(found[:, ::-1], np.float32)


_learned: list[Vocabulary] = []
"""Of a worker process."""


def _learn() -> None:
    _learned.append(vocabulary())


def _make_file(world: World, first: int, path: Path) -> None:
    words, encoder = _learned[0], msgspec.json.Encoder()
    own = Own(words, (world.seed, first))
    partial = path.with_suffix(".part")
    vectors = {field: np.zeros((CHUNK, words.model.dims), "<f2") for field in FIELDS.values()}
    with partial.open("wb") as file:
        for at in range(CHUNK):
            creator = given_creator(words, world, first + at, own)
            file.write(encoder.encode(creator) + b"\n")
            for account in creator.accounts:
                for one in account.vectors:
                    field = FIELDS[account.platform, one.field.partition(".")[0]]
                    vectors[field][at] = np.frombuffer(one.vector, "<f2")
    for field, matrix in vectors.items():
        np.save(vector_file(path, field), matrix)
    partial.rename(path)


def given_creator(words: Vocabulary, world: World, index: int, own: Own) -> GivenCreator:
    """A creator with something to say, on one platform or both."""
    dice = random.Random(f"{world.seed}/{index}")
    tongue = dice.choices(TONGUES, [one.share for one in TONGUES])[0]
    niche = dice.choice(words.niches)
    group = words.groups[niche.id, tongue.code]
    handle = f"{dice.choice(LATIN_NAMES)}{words.names(dice, 1)}{dice.choice(SUFFIXES)}{index}"
    country = dice.choice(tongue.places)[0]
    followers = int(min(max(dice.lognormvariate(10.3, 1.7), 1_000), 20_000_000))
    newest = NOW - int(dice.choice((3, 20, 200)) * DAY_SECONDS * dice.random())
    platforms = _platforms(dice, full=world.full)
    accounts = []
    for platform in platforms:
        youtube = platform is Platform.YOUTUBE
        bios = dice.sample(group.bios, BIO_SENTENCES)
        titles = dice.sample(group.titles, TITLES_SAID)
        audience = followers if youtube or len(platforms) == 1 else followers // 3 + 1
        accounts.append(
            GivenAccount(
                platform=platform,
                platform_user_id=f"UC{index:021d}A" if youtube else str(17_000_000_000 + index),
                handle=handle,
                display_name=f"{dice.choice(tongue.names)} {words.names(dice, 2)}".title(),
                bio=" ".join([*(one.text for one in bios), words.names(dice, 3)]),
                followers=audience,
                media_count=world.items,
                total_views=audience * 50,
                country=country,
                language=tongue.code,
                fetched_at=NOW,
                items=_items(words, dice, titles, audience, newest, world.items // len(platforms), youtube=youtube),
                vectors=[
                    _vector("bio", bios, words.model.model_id, own),
                    _vector("content.0", titles, words.model.model_id, own),
                ],
            )
        )
    return GivenCreator(
        accounts=accounts,
        primary_niche=niche.id,
        llm_summary=f"{niche.name} creator from {country}: {group.titles[dice.randrange(SENTENCES)].text}",
    )


def _platforms(dice: random.Random, *, full: bool) -> list[Platform]:
    drawn = 0.0 if full else dice.random()
    if drawn < BOTH:
        return [Platform.YOUTUBE, Platform.INSTAGRAM]
    return [Platform.YOUTUBE] if drawn < BOTH + YOUTUBE_ONLY else [Platform.INSTAGRAM]


def _items(
    words: Vocabulary,
    dice: random.Random,
    titles: Sequence[Sentence],
    audience: int,
    newest: int,
    count: int,
    *,
    youtube: bool,
) -> list[GivenItem]:
    names = words.names(dice, count).split() if count else []
    made = []
    for at in range(count):
        views = int(audience * dice.lognormvariate(-2.0, 0.8)) + 10
        made.append(
            GivenItem(
                content_id=f"{dice.getrandbits(60):015x}",
                content_type=ContentType.VIDEO if youtube else ContentType.POST,
                title_or_caption=f"{titles[at % len(titles)].text} {names[at]}",
                published_at=newest - at * 4 * DAY_SECONDS,
                views=views,
                likes=views // 20,
                comments=views // 400,
                detailed=True,
            )
        )
    return made


def _vector(field: str, sentences: Sequence[Sentence], model_id: str, own: Own) -> GivenVector:
    mean = np.mean([one.vector for one in sentences], axis=0)
    told = mean / np.linalg.norm(mean) + OWN * own.take()
    unit = told / np.linalg.norm(told)
    return GivenVector(field=field, model_id=model_id, vector=unit.astype("<f2").tobytes())
