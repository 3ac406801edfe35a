"""Many readers or one writer, for threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Turn about: a waiting writer goes before readers that come later, and a writer that is done lets those in that came
    meanwhile, before another goes on. So a search beside a long series of writes waits for one of them, not for all."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._reading, self._writing = 0, False
        self._waiting_readers = self._waiting_writers = 0
        self._let_in = 0
        """Readers that the last writer found waiting, and that have not come in yet."""
        self._read_at = -math.inf

    def quiet_seconds(self) -> float:
        """How long ago the last reader came."""
        return time.monotonic() - self._read_at

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._condition:
            self._read_at = time.monotonic()
            if self._writing or self._waiting_writers:
                self._waiting_readers += 1
                self._condition.wait_for(lambda: not self._writing and (self._let_in or not self._waiting_writers))
                self._waiting_readers -= 1
                self._let_in = max(self._let_in - 1, 0)
            self._reading += 1
        try:
            yield
        finally:
            with self._condition:
                self._reading -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._condition:
            self._waiting_writers += 1
            self._condition.wait_for(lambda: not (self._writing or self._reading or self._let_in))
            self._waiting_writers -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._let_in = self._waiting_readers
                self._condition.notify_all()
