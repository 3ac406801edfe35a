"""Columns and vectors of the world by row, as the bare engines read them.

``python -m tests.bench.million_export ROOT CHUNK…``: in a process of its own, since a million creators are unpacked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from daemon.indexing import FIELD_NAMES
from proto.records import Creator
from stores.codec import decode
from stores.env import look_into
from stores.ranking import quality_of
from tests.bench.million_world import CHUNK, vector_file
from tests.bench.search_engines import ROWS_FILE


def main() -> None:
    root, chunks = Path(sys.argv[1]), [Path(one) for one in sys.argv[2:]]
    rows = _row_by_place(root, len(chunks) * CHUNK)
    for field in FIELD_NAMES:
        whole = np.lib.format.open_memmap(root / f"{field}.npy", "w+", "<f2", (int(rows.max()) + 1, 384))
        for at, chunk in enumerate(chunks):
            whole[rows[at * CHUNK : (at + 1) * CHUNK]] = np.load(vector_file(chunk, field))
        whole.flush()
    np.save(root / "bare" / ROWS_FILE, rows)


def _row_by_place(root: Path, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Which row the n-th creator of the files got: its handle ends in its number."""
    rows = np.zeros(count, np.uint32)
    columns: dict[str, list[object]] = {name: [] for name in ("row", "creator_id", "niche", "country", "followers")}
    quality = []
    with look_into(root / "data", shared=False) as glimpse:
        for _, value in glimpse.txn.scan("creators"):
            creator = decode(Creator, value)
            number = int(creator.account_keys[-1].rpartition("UC")[2][:-1]) if "UC" in creator.account_keys[-1] else -1
            if number < 0:
                number = int(creator.account_keys[0].rpartition(":")[2]) - 17_000_000_000
            if number < count:
                rows[number] = creator.row
            columns["row"].append(int(creator.row))
            columns["creator_id"].append(creator.creator_id)
            columns["niche"].append(creator.primary_niche or "")
            columns["country"].append(creator.country or "")
            columns["followers"].append(creator.total_followers or 0)
            quality.append(quality_of(creator))
    order = np.argsort(np.array(columns["row"], np.int64))
    np.savez(
        root / "columns.npz",
        creator_id=np.array(columns["creator_id"], np.int64)[order],
        niche=np.array(columns["niche"])[order],
        country=np.array(columns["country"])[order],
        followers=np.array(columns["followers"], np.int64)[order],
        quality=np.array(quality, np.float32)[order],
    )
    return rows


if __name__ == "__main__":
    main()
