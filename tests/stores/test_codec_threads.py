"""Records are first read by several threads at once, as at the start of a daemon."""

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


def test_the_first_reads_of_several_threads_end_well() -> None:
    for _ in range(STARTS):
        done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]
