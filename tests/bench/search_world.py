"""Creators by the hundred thousand for `make bench-search`, in a data directory that is made once and kept."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from actors.aggregation import aggregate
from daemon.config import Config
from daemon.derived_data import EMBEDDED_WITH
from daemon.evaluation.search_store import open_search
from daemon.housekeeping import RESOLVED_WITH
from daemon.labelling import LABELLED_WITH
from daemon.pipeline import taxonomy_of
from daemon.readiness import KEYWORD_SEARCH
from daemon.simulator.generator import LATIN_NAMES, NOW, SUFFIXES, TONGUES, Tongue, subject_words
from models.embedding_port import EmbeddingPort
from models.taxonomy import Niche
from proto.ids import CreatorId, Platform, Row, creator_id_of
from proto.records import ContentItem, ContentType, Creator, CreatorAccount, EmbeddingRecord, IdentityLink
from stores.belonging import Membership, arrange
from stores.catalog import (
    AccountBundle,
    Catalog,
    CreatorBundle,
    get_creator,
    log_indexed,
    put_account,
    put_creator,
    put_creator_embeddings,
)
from stores.content import put_items
from stores.env import Environment, Txn
from stores.ports import Vector
from tests.flow.processes import Daemon, wait_for

WORLD_VERSION = 1
"""Raised when other creators are made of the same seed, or the store holds them otherwise."""
SLICE = 1_000
"""Creators taken in at once; as many are done again after an interruption."""
TAKEN_IN = "bench_taken_in"
RULES = (EMBEDDED_WITH, RESOLVED_WITH, LABELLED_WITH)
MAP_SIZE_BYTES = 64 << 30
DAY_SECONDS = 86_400

NICHES = 18
"""Of the taxonomy's, each as likely: one of them and a wide band of followers are about 5 % of all."""
SENTENCES = 60
"""Of each kind, in each language and niche."""
BIO_SENTENCES, VIDEOS, POSTS = 2, 6, 4
LEXICON_WORDS, LEXICON_SKEW = 30_000, 1.05
"""Names and coinages beside the taxonomy's words: the n-th is as likely as n to the power of minus the skew (Zipf)."""
SYLLABLES = [
    "ba",
    "be",
    "bo",
    "ca",
    "da",
    "de",
    "di",
    "do",
    "fa",
    "fe",
    "fi",
    "ga",
    "go",
    "ha",
    "he",
    "ka",
    "ke",
    "ko",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "mo",
    "na",
    "ne",
    "no",
    "pa",
    "pe",
    "po",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "si",
    "so",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "ve",
    "vi",
    "za",
    "zo",
]


STILL = {
    "PLATFORMS__YOUTUBE__ENABLED": "false",
    "PLATFORMS__YOUTUBE__DERIVED_DATA": "granted",
    "PLATFORMS__INSTAGRAM__ENABLED": "false",
    "DAEMON__CLOCK_AT": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW)),
    "DAEMON__CLOCK_FROZEN": "true",
    "LOG__LEVEL": "warning",
}
"""Settings of a daemon that fetches nothing and whose clock stands still."""


class Folder(msgspec.Struct, kw_only=True, frozen=True):
    """Where one world is kept; ``data`` is a data directory of the daemon."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def done(self) -> Path:
        return self.root / "made"


class Sentence(msgspec.Struct, frozen=True):
    """What creators say, and its vector."""

    text: str
    vector: Vector


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences of one niche in one language."""

    bios: list[Sentence]
    titles: list[Sentence]


class Vocabulary:
    """What creators say of each niche in each language, embedded once, and a long tail of names."""

    def __init__(self, niches: Sequence[Niche], model: EmbeddingPort) -> None:
        self.model = model
        self.niches = list(niches)[:NICHES]
        self.groups = {
            (niche.id, tongue.code): _group(niche, tongue, model) for niche in self.niches for tongue in TONGUES
        }
        dice = random.Random("lexicon")
        coined = ("".join(dice.choices(SYLLABLES, k=dice.randint(2, 4))) for _ in range(LEXICON_WORDS * 2))
        self._lexicon = list(dict.fromkeys(coined))[:LEXICON_WORDS]
        weights = (place**-LEXICON_SKEW for place in range(1, len(self._lexicon) + 1))
        self._cumulated = list(itertools.accumulate(weights))

    def names(self, dice: random.Random, count: int) -> str:
        return " ".join(dice.choices(self._lexicon, cum_weights=self._cumulated, k=count))


def _group(niche: Niche, tongue: Tongue, model: EmbeddingPort) -> Group:
    dice = random.Random(f"{niche.id}/{tongue.code}")
    said = [
        [_say(niche, tongue, patterns, dice) for _ in range(SENTENCES)] for patterns in (tongue.bios, tongue.titles)
    ]
    bios, titles = (
        [Sentence(text, vector) for text, vector in zip(texts, model.embed(texts), strict=True)] for texts in said
    )
    return Group(bios=bios, titles=titles)


def _say(niche: Niche, tongue: Tongue, patterns: Sequence[str], dice: random.Random) -> str:
    topic = dice.choice(niche.secondary) if niche.secondary else None
    words = subject_words(niche, topic, tongue.code)
    return dice.choice(patterns).format(
        cue=dice.choice(words),
        cue2=dice.choice(words),
        topic=topic.name if topic else niche.name,
        name=dice.choice(tongue.names),
        place=dice.choice(tongue.places)[1],
        n=dice.randint(2, 30),
    )


def make_creator(words: Vocabulary, seed: int, index: int) -> tuple[CreatorBundle, str]:
    """A channel and a profile with something to say each, so that all four vector fields are there; and the niche.

    A text is sentences and names; its vector is the mean of the sentences' (as that of content is the mean of its
    packs'): to embed a hundred thousand times four texts one by one would take most of an hour.
    """
    dice = random.Random(f"{seed}/{index}")
    tongue = dice.choices(TONGUES, [tongue.share for tongue in TONGUES])[0]
    niche = dice.choice(words.niches)
    group = words.groups[niche.id, tongue.code]
    handle = f"{dice.choice(LATIN_NAMES)}{words.names(dice, 1)}{dice.choice(SUFFIXES)}{index}"
    country = dice.choice(tongue.places)[0]
    followers = int(min(max(dice.lognormvariate(10.3, 1.7), 1_000), 20_000_000))
    newest = NOW - int(dice.choice((3, 20, 200)) * DAY_SECONDS * dice.random())
    parts = []
    for platform, count in ((Platform.YOUTUBE, VIDEOS), (Platform.INSTAGRAM, POSTS)):
        user_id = f"UC{index:022d}" if platform is Platform.YOUTUBE else str(17_000_000_000 + index)
        bios = dice.sample(group.bios, BIO_SENTENCES)
        titles = dice.sample(group.titles, count)
        audience = followers if platform is Platform.YOUTUBE else followers // 3 + 1
        account = CreatorAccount(
            platform=platform,
            platform_user_id=user_id,
            handle=handle,
            display_name=f"{dice.choice(tongue.names)} {words.names(dice, 2)}".title(),
            bio=" ".join([*(one.text for one in bios), words.names(dice, 3)]),
            followers=audience,
            media_count=count,
            total_views=audience * 50,
            country=country,
            language=tongue.code,
            fetched_at=NOW,
            content_fetched_at=NOW,
        )
        items = [
            _item(account, at, f"{one.text} {words.names(dice, 1)}", newest - at * 4 * DAY_SECONDS, dice)
            for at, one in enumerate(titles)
        ]
        vectors = {"bio": _record("bio", bios, words.model), "content.0": _record("content.0", titles, words.model)}
        parts.append(AccountBundle(account=account, items=items, vectors=vectors))
    creator = Creator(
        creator_id=creator_id_of(parts[0].account.key),
        row=Row(index),
        primary_niche=niche.id,
        llm_summary=f"{niche.name} creator from {country}: {group.titles[dice.randrange(SENTENCES)].text}",
    )
    return CreatorBundle(creator=creator, accounts=parts, embeddings={}), niche.id


def _item(account: CreatorAccount, at: int, title: str, published_at: int, dice: random.Random) -> ContentItem:
    views = int((account.followers or 0) * dice.lognormvariate(-2.0, 0.8)) + 10
    return ContentItem(
        content_id=f"{account.platform_user_id}.{at}",
        account_key=account.key,
        content_type=ContentType.VIDEO if account.platform is Platform.YOUTUBE else ContentType.POST,
        title_or_caption=title,
        published_at=published_at,
        views=views,
        likes=views // 20,
        comments=views // 400,
        fetched_at=NOW,
        detailed=True,
    )


def _record(field: str, sentences: Sequence[Sentence], model: EmbeddingPort) -> EmbeddingRecord:
    mean = np.mean([one.vector for one in sentences], axis=0)
    return EmbeddingRecord(
        field=field,
        model_id=model.model_id,
        dims=model.dims,
        input_hash="",
        vector=(mean / np.linalg.norm(mean)).astype("<f2").tobytes(),
        updated_at=NOW,
    )


@contextmanager
def open_daemon(folder: Folder, model: str = "") -> Iterator[Daemon]:
    """`pokedexd serve` on the world, all of it loaded; it fetches nothing, and its clock stands still."""
    settings = STILL | {"MODEL__DIR": model}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POKEDEXD_")}
    with Daemon(folder.data, clean | {f"POKEDEXD_{name}": value for name, value in settings.items()}) as daemon:
        wait_for(partial(_is_loaded, daemon), "the daemon")
        yield daemon


def _is_loaded(daemon: Daemon) -> bool:
    """Keyword search and every vector field serve, nothing waits to be done, and the text index is not rewritten."""
    ready = daemon.get("/readyz").json()
    compact = ready["dependencies"][KEYWORD_SEARCH]["detail"] == "compact"
    fields = [part for name, part in ready["dependencies"].items() if name.startswith("vectors/")]
    loading = any(part["state"] == "loading" for part in ready["dependencies"].values())
    return bool(fields) and compact and not loading and ready["counts"]["work_pending"] == 0


def world_folder(creators: int, seed: int, model: EmbeddingPort) -> Folder:
    """Under ``$POKEDEXD_BENCH_DIR``, else ``~/.cache/pokedexd-bench``."""
    base = Path(os.environ.get("POKEDEXD_BENCH_DIR") or Path.home() / ".cache" / "pokedexd-bench")
    mark = hashlib.blake2b(f"{WORLD_VERSION} {model.model_id}".encode(), digest_size=4).hexdigest()
    folder = Folder(root=base / f"{creators}-{seed}-{mark}")
    folder.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def adopt_rules(folder: Folder, model: str = "") -> None:
    """Has the store say that it was filled under this version's rules, as an empty one does that the daemon has opened:
    else the daemon would embed, weigh and label a hundred thousand creators anew. ``model``: a folder, or the default."""
    with tempfile.TemporaryDirectory(prefix="pokedexd-bench-") as place:
        empty = Folder(root=Path(place))
        empty.data.mkdir()
        with open_daemon(empty, model) as daemon:
            assert daemon.terminate() == 0
        opened = Environment(empty.data, map_size_bytes=MAP_SIZE_BYTES)
        with opened.snapshot() as txn:
            marks = {name.encode(): txn.get("meta", name.encode()) for name in RULES}
        opened.close()
    assert all(marks.values()), "a mark has another name"
    world = Environment(folder.data, map_size_bytes=MAP_SIZE_BYTES)
    world.write_now(partial(_put_marks, marks=marks))
    world.close()


def _put_marks(txn: Txn, marks: Mapping[bytes, bytes | None]) -> None:
    for name, mark in marks.items():
        txn.put("meta", name, mark or b"")


async def make_world(folder: Folder, creators: int, seed: int, model: EmbeddingPort) -> None:
    """Goes on where an earlier run was interrupted."""
    if folder.done.exists():
        return
    config = Config()
    env = Environment(folder.data, map_size_bytes=MAP_SIZE_BYTES, durable=False)
    catalog = Catalog(env)
    try:
        words = Vocabulary(taxonomy_of(config).niches, model)
        began, first = time.perf_counter(), int(await catalog.meta(TAKEN_IN) or 0)
        for part in _slices(first, creators):
            await env.write(partial(_put, words=words, seed=seed, part=part))
            rate = (part.stop - first) / (time.perf_counter() - began)
            print(f"\r{part.stop:,} of {creators:,} creators, {rate:,.0f} a second", end="", flush=True)
        print("\nbuilding the indexes", flush=True)
        async with open_search(folder.data, env, model, config, lambda: float(NOW)) as opened:
            await opened.keeper.save()
    finally:
        env.close()
    folder.done.touch()


def _slices(first: int, end: int) -> Iterator[range]:
    for at in range(first, end, SLICE):
        yield range(at, min(at + SLICE, end))


def _put(txn: Txn, words: Vocabulary, seed: int, part: range) -> None:
    """Afterwards the store holds them as if they were indexed: an index that is opened takes them in."""
    for index in part:
        bundle, _ = make_creator(words, seed, index)
        creator_id = bundle.creator.creator_id
        for one in bundle.accounts:
            put_account(txn, one.account)
            put_items(txn, one.account.key, one.items)
        arrange(txn, [_membership(bundle, creator_id)], NOW)
        arranged = get_creator(txn, creator_id)
        assert arranged is not None, "it was arranged a moment ago"
        bundle.creator.row, bundle.creator.created_at = arranged.row, arranged.created_at
        creator, embeddings = aggregate(bundle, derived_from=bundle.accounts, language=None, now=NOW)
        put_creator(txn, creator)
        put_creator_embeddings(txn, creator_id, embeddings)
        log_indexed(txn, creator_id)
    txn.put("meta", TAKEN_IN.encode(), str(part.stop).encode())


def _membership(bundle: CreatorBundle, creator_id: CreatorId) -> Membership:
    links = (
        IdentityLink(account_key=one.account.key, creator_id=creator_id, confidence=1.0, at=NOW)
        for one in bundle.accounts
    )
    return Membership(creator_id=creator_id, links=tuple(links))
