"""What the bare engines, SQLite and the oracle read of the benchmark's world: plain arrays, and the queries."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.documents import niche_words, text_document
from daemon.indexing import FIELD_NAMES, IndexKeeper
from daemon.simulator.generator import TONGUES
from models.taxonomy import Taxonomy
from proto.ids import Row
from proto.records import Creator
from stores.analysis import index_text, stem
from stores.catalog import creator_bundle
from stores.codec import decode
from stores.env import Environment
from stores.ports import Vector
from stores.ranking import quality_of
from tests.bench.search_world import NICHES, Vocabulary

TEXT_COLUMNS = ("name", "handle", "niche", "summary", "bio", "titles")
RARE_COUNTRIES = ("DE", "AT", "CH", "FR", "BE")
"""Each of about one creator in forty: with a niche and a wide band of followers they leave 0.1 %."""
WIDE_BELOW = 500_000
WHOLE, FIVE_PERCENT, TENTH_OF_PERCENT = "unfiltered", "filtered 5 %", "filtered 0.1 %"
ONE_PERCENT = "filtered 1 %"
CLASSES = (WHOLE, FIVE_PERCENT, TENTH_OF_PERCENT)
FEW_BELOW = 7_000
"""Followers that a fifth of the creators stays below: with a niche they leave 1 %."""

Mask = NDArray[np.bool_]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Words, and conditions that are empty where there are none."""

    text: str
    niche: str = ""
    country: str = ""
    below: int = 0

    @property
    def filter(self) -> str:
        parts = [f"niche = {self.niche}" if self.niche else "", f"country = {self.country}" if self.country else ""]
        return " AND ".join([*filter(None, parts), *([f"followers < {self.below}"] if self.below else [])])


class Data:
    """Arrays by row, as `export` wrote them."""

    def __init__(self, folder: Path) -> None:
        held = np.load(folder / "columns.npz", allow_pickle=False)
        self.creator_id: NDArray[np.int64] = held["creator_id"]
        self.niche: NDArray[np.str_] = held["niche"]
        self.country: NDArray[np.str_] = held["country"]
        self.followers: NDArray[np.int64] = held["followers"]
        self.quality: NDArray[np.float32] = held["quality"]
        self._folder = folder

    def vectors(self, field: str) -> Vector:
        """[rows, dims]"""
        vectors: Vector = np.load(self._folder / f"{field}.npy").astype(np.float32)
        return vectors

    def mask(self, query: Query) -> Mask | None:
        """Who passes; None where there is no condition."""
        if not query.filter:
            return None
        mask: Mask = (self.niche == query.niche) & (self.followers < query.below)
        return mask & (self.country == query.country) if query.country else mask


def export(folder: Path, env: Environment, keeper: IndexKeeper, items: int) -> None:
    """Columns and vectors by row, and the words of each creator as keyword search indexes them."""
    with env.snapshot() as txn:
        creators = [decode(Creator, value) for _, value in txn.scan("creators")]
        count = max(creator.row for creator in creators) + 1
        ordered = sorted(creators, key=lambda creator: creator.row)
        assert [creator.row for creator in ordered] == list(range(count)), "rows without a creator"
        _write_words(folder / "words.sqlite", env, ordered, items)
    np.savez(
        folder / "columns.npz",
        creator_id=np.array([one.creator_id for one in ordered], np.int64),
        niche=np.array([one.primary_niche for one in ordered]),
        country=np.array([one.country for one in ordered]),
        followers=np.array([one.total_followers for one in ordered], np.int64),
        quality=np.array([quality_of(one) for one in ordered], np.float32),
    )
    for name in FIELD_NAMES:
        vectors = keeper.fields[name].vectors_of([Row(row) for row in range(count)])
        assert len(vectors) == count, "everybody has every field"
        np.save(folder / f"{name}.npy", vectors.astype(np.float16))


def _write_words(path: Path, env: Environment, creators: Sequence[Creator], items: int) -> None:
    """As a table, since it is SQLite that reads them."""
    taxonomy = Taxonomy.load()
    path.unlink(missing_ok=True)
    held = sqlite3.connect(path)
    held.execute(f"create table words (row integer primary key, {', '.join(TEXT_COLUMNS)})")
    with env.snapshot() as txn:
        for creator in creators:
            bundle = creator_bundle(txn, creator.creator_id, items)
            assert bundle is not None, "it was listed a moment ago"
            document = text_document(bundle, niche_words(creator, taxonomy))
            texts = (
                " ".join(document.names),
                " ".join(document.handles),
                document.niche,
                document.summary,
                document.bio,
                document.titles,
            )
            held.execute("insert into words values (?,?,?,?,?,?,?)", (creator.row, *map(_stemmed, texts)))
    held.commit()
    held.close()


def _stemmed(text: str) -> str:
    return " ".join(stem(word) for word in index_text(text).split())


class Queries:
    """Two or three words of what creators say; none is asked twice, so that no cache answers."""

    def __init__(self, words: Vocabulary, seed: int) -> None:
        self._words, self._dice = words, random.Random(f"{seed}/queries")
        self._asked: set[str] = set()

    def take(self, kind: str, count: int) -> list[Query]:
        return [self._one(kind) for _ in range(count)]

    def _one(self, kind: str) -> Query:
        dice = self._dice
        niche = dice.choice(self._words.niches[:NICHES]).id
        if kind == TENTH_OF_PERCENT:
            return Query(text=self._text(niche), niche=niche, country=dice.choice(RARE_COUNTRIES), below=WIDE_BELOW)
        if kind == ONE_PERCENT:
            return Query(text=self._text(niche), niche=niche, below=FEW_BELOW)
        if kind == FIVE_PERCENT:
            return Query(text=self._text(niche), niche=niche, below=WIDE_BELOW)
        return Query(text=self._text(niche))

    def _text(self, niche: str) -> str:
        while True:
            tongue = self._dice.choices(TONGUES, [one.share for one in TONGUES])[0].code
            group = self._words.groups[niche, tongue]
            said = self._dice.choice([*group.bios, *group.titles]).text.split()
            begin = self._dice.randrange(max(len(said) - 2, 1))
            words = said[begin : begin + self._dice.choice((2, 2, 3))]
            if self._dice.random() < 0.3:
                words.append(self._words.names(self._dice, 1))
            text = " ".join(words).strip(".,:!? ")
            if len(text) > 3 and text not in self._asked:
                self._asked.add(text)
                return text
