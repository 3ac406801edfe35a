"""What time it is for the daemon: the real one, or a world's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from daemon.config import DaemonConfig
from stores.env import Environment, Txn


def make_clock(config: DaemonConfig, env: Environment) -> Callable[[], float]:
    """Epoch seconds. A world's running clock goes on where it was, however often the daemon restarts."""
    if not config.clock_at:
        return time.time
    begins_at = datetime.fromisoformat(config.clock_at).timestamp()
    if config.clock_frozen:
        return lambda: begins_at
    origin = env.write_now(lambda txn: _origin(txn, config.clock_at))
    return lambda: begins_at + (time.time() - origin)


def _origin(txn: Txn, clock_at: str) -> float:
    """The real instant at which this world's clock first started on this data directory."""
    key = f"clock_origin:{clock_at}".encode()
    stored = txn.get("meta", key)
    if stored is None:
        stored = repr(time.time()).encode()
        txn.put("meta", key, stored)
    return float(stored)
