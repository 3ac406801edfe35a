from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOOK = "import daemon, os, numpy; print(os.environ['OPENBLAS_NUM_THREADS'])"


def said(environment: dict[str, str]) -> str:
    """By a process that loads the daemon's package before anything else."""
    root = Path(__file__).parents[2]
    return subprocess.check_output([sys.executable, "-c", LOOK], cwd=root, env=environment, text=True).strip()


def test_products_are_computed_in_the_thread_that_asks_unless_somebody_says_otherwise() -> None:
    without = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    assert said(without) == "1"
    assert said(without | {"OPENBLAS_NUM_THREADS": "2"}) == "2"
