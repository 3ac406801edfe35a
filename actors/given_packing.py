"""Prepared creators, packed: as they are stored, and as they go from one process to another. Pure functions.

A creator has hundreds of small parts. Whoever stores and indexes it needs few of them one by one, and to make and to free
them takes as long as all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.documents import niche_words, text_document
from actors.given import GivenRules, Prepared, prepare
from actors.labelling import LLM, labelling_as_given
from models.taxonomy import Taxonomy
from proto.errors import Malformed
from proto.ids import AccountKey
from proto.labelling import Labelling
from proto.records import CreatorAccount
from stores.catalog import CreatorBundle
from stores.content import PackedItems, pack_items
from stores.ports import TextDocument
from stores.text_index import words_of


class Packed(msgspec.Struct, kw_only=True):
    """A `Prepared`."""

    bundle: CreatorBundle
    """Its accounts are without content."""
    founder: AccountKey
    items: list[PackedItems]
    """Of each account."""
    unembedded: list[AccountKey]
    labelling: Labelling | None
    """What a language model said of it, where that is where its labels are from."""
    text: TextDocument | None
    """Of one that came with all it needs, vectors and labels; its row and its prominence are still to be given."""
    notes: list[str]
    unsaid: dict[AccountKey, list[str]]
    """As of a `Prepared`."""

    @property
    def accounts(self) -> list[CreatorAccount]:
        return [part.account for part in self.bundle.accounts]


def pack(prepared: Prepared, taxonomy: Taxonomy) -> Packed:
    bundle = prepared.bundle
    enrichment = bundle.creator.enrichment
    whole = prepared.labelled and not prepared.unembedded
    return Packed(
        bundle=msgspec.structs.replace(
            bundle, accounts=[msgspec.structs.replace(part, items=[]) for part in bundle.accounts]
        ),
        founder=prepared.founder,
        items=[pack_items(items) for items in prepared.items],
        unembedded=prepared.unembedded,
        labelling=labelling_as_given(bundle) if enrichment is not None and enrichment.method == LLM else None,
        text=_text(bundle, taxonomy) if whole else None,
        notes=prepared.notes,
        unsaid=prepared.unsaid,
    )


def read_lines(lines: Sequence[bytes], rules: GivenRules, now: int) -> list[Packed | str]:
    """Of each line what it holds, or why it cannot be taken in."""
    return [_read(line, rules, now) for line in lines]


def _read(line: bytes, rules: GivenRules, now: int) -> Packed | str:
    try:
        return pack(prepare(line, rules, now), rules.taxonomy)
    except Malformed as error:
        return str(error)


def _text(bundle: CreatorBundle, taxonomy: Taxonomy) -> TextDocument:
    document = text_document(bundle, niche_words(bundle.creator, taxonomy))
    return msgspec.structs.replace(document, words=words_of(document))
