"""What travels between processes and is stored at once is what would have been stored part by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.documents import niche_words, text_document
from actors.given_packing import Packed, pack, read_lines
from proto.ids import AccountKey
from proto.records import ContentItem
from stores.content import PackedItems, pack_items, put_items, put_packed, recent_items, unpack_items
from stores.env import Environment
from stores.text_index import _fields
from tests.actors.test_given import DAY, NICHE, NOW, PART, STYLE, TAXONOMY, account, creator, item, prepared, rules

KEY = AccountKey("youtube:UC1")

items = st.lists(
    st.builds(
        ContentItem,
        content_id=st.text("abc", min_size=1, max_size=3),
        account_key=st.just(KEY),
        title_or_caption=st.text(max_size=5),
        published_at=st.integers(0, NOW),
        views=st.none() | st.integers(0, 9),
        fetched_at=st.integers(0, NOW),
    ),
    max_size=12,
    unique_by=lambda one: one.content_id,
)


def stored(env: Environment) -> dict[str, Any]:
    with env.snapshot() as txn:
        return {name: dict(txn.scan(name)) for name in ("content", "content_months", "meta")}


@given(items, items)
@settings(max_examples=60)
def test_packed_items_are_stored_as_items_are(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any
) -> None:
    """Also those that come to others which are there."""
    kept = []
    for packed in (False, True):
        env = Environment(tmp_path_factory.mktemp("store"), map_size_bytes=1 << 22, durable=False)
        said = [
            env.write_now(
                lambda txn, part=part, packed=packed: (  # type: ignore[misc]
                    put_packed(txn, KEY, pack_items(part)) if packed else put_items(txn, KEY, part)
                ),
                synced=False,
            )
            for part in (first, second)
        ]
        kept.append((said, stored(env)))
        with env.snapshot() as txn:
            assert len(recent_items(txn, KEY, 99)) == len({one.content_id for one in (*first, *second)})
        env.close()
    assert kept[0] == kept[1]


@given(items)
def test_items_come_out_of_their_blocks_as_they_went_in(said: list[ContentItem]) -> None:
    packed = pack_items(said)
    bare = [msgspec.structs.replace(one, account_key=AccountKey("")) for one in said]
    assert sorted(unpack_items(packed), key=lambda one: one.content_id) == sorted(bare, key=lambda one: one.content_id)
    assert packed.published_at == sorted((one.published_at for one in said), reverse=True)
    assert packed == msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=PackedItems)


def test_a_creator_travels_whole() -> None:
    old = [item(number, published_at=NOW - DAY * 40 * number) for number in range(30)]
    labels = {"primary_niche": NICHE, "secondary_niches": [PART], "content_style": STYLE, "llm_summary": "Gardens."}
    said = {
        "method": "llm",
        "model": "m",
        "prompt_version": "1",
        "taxonomy_version": "1",
        "input_hash": "h",
        "at": NOW - 9,
        "confidence": 0.5,
    }
    lines = [
        creator(account(items=old, display_name="Gärtnerin"), **labels),
        creator(account(), account(platform="instagram", platform_user_id="7"), enrichment=said, **labels),
        creator(account(vectors=[])),
        {"accounts": []},
    ]
    made = read_lines([json.dumps(line).encode() for line in lines], rules(), NOW)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=list[Packed | str])
    assert back == made
    first, second, third, refused = back
    assert isinstance(refused, str)
    assert "1 to 50" in refused
    assert isinstance(first, Packed)
    assert isinstance(second, Packed)
    assert isinstance(third, Packed)
    assert second.labelling is not None
    assert second.labelling.summary == "Gardens."
    assert (third.labelling, third.text) == (None, None), "it goes to the stages"
    assert not any(part.items for part in first.bundle.accounts)
    assert len(first.items[0].blocks) == 30


def test_words_that_were_made_elsewhere_are_those_that_the_index_makes() -> None:
    said = prepared(creator(account(display_name="Gärtnerin Straße"), primary_niche=NICHE))
    packed = pack(said, TAXONOMY)
    assert packed.text is not None
    bare = text_document(said.bundle, niche_words(said.bundle.creator, TAXONOMY))
    assert msgspec.structs.replace(packed.text, words=None) == bare
    assert _fields(packed.text) == _fields(bare)
    assert packed.text.words


def test_packing_asks_for_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done in a process that has no store."""
    monkeypatch.chdir(tmp_path)
    read_lines([json.dumps(creator(primary_niche=NICHE)).encode()], rules(), NOW)
    assert not list(tmp_path.iterdir())
