"""Wiring and edges: the commands, the daemon, its listeners, and the platforms played."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""Searches and stages have threads of their own. OpenBLAS would share out each product of a matrix and a vector among more,
which wait spinning: a search that scans 3,000 creators took 33 ms of CPU with them, and 8 without. It reads this where
numpy is first loaded."""
