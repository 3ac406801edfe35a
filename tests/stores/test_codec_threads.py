"""Types are first met by several threads at once, as at the start of a daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS = 12
"""A start ended by a segmentation fault in a fifth of the cases before decoders were made one at a time."""
SCRIPT = """
import sys, threading
from proto import records
from proto.errors import Malformed
from stores.codec import decode, encode

sys.setswitchinterval(1e-6)
kinds = [one for one in vars(records).values() if isinstance(one, type) and issubclass(one, records.Record)]
stored = encode(records.Tenant(tenant_id="a", name="b", created_at=1))
together = threading.Barrier(8)

def read(first):
    together.wait()
    for kind in kinds[first:]:
        try:
            decode(kind, stored)
        except Malformed:
            pass

threads = [threading.Thread(target=read, args=(number % 3,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

FORCED = """
import sys, threading, time, typing
from pathlib import Path
import daemon.app
from stores.codec import learn_types
from stores.vector_snapshot import Sidecar, sidecar_path, snapshot_trouble

index = Path(sys.argv[1]) / "a.hnsw"
sidecar_path(index).write_text(
    '{"format": 3, "sha256": "x", "size": 1, "rows_sha256": "y", "rows_size": 1, "rows_kind": "float32", "end": 5,'
    '"dims": 384, "graph_dims": 0, "model_id": "m", "m": 16, "hnswlib": "0.8.0", "checkpoint": 7, "count": 5}'
)
learn_types()
hashed = typing._AnnotatedAlias.__hash__

def giving_way(self):
    time.sleep(0.05)
    return hashed(self)

typing._AnnotatedAlias.__hash__ = giving_way
first = threading.Thread(target=snapshot_trouble, args=(index,))
first.start()
time.sleep(0.02)
snapshot_trouble(index)
first.join()
"""
"""While msgspec learns the type it asks for the hash of what is `Annotated`, and there another thread may come in."""


def test_the_first_reads_of_several_threads_end_well() -> None:
    for _ in range(STARTS):
        done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]


def test_two_threads_that_look_at_snapshots_first_end_well(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORCED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
