from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from stores.forked import Forked, may_fork


def hang() -> None:
    threading.Event().wait()


def test_the_child_sees_memory_as_it_was(tmp_path: Path) -> None:
    numbers = np.arange(1_000)

    def job() -> None:
        (tmp_path / "sum").write_text(str(numbers.sum()))

    child = Forked(job)
    numbers[:] = 0
    child.wait(60)
    assert (tmp_path / "sum").read_text() == "499500"


def test_what_goes_wrong_in_the_child_is_said_here(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "no room")

    def bug() -> None:
        raise RuntimeError("a bug")

    for job, number in ((full, errno.ENOSPC), (bug, errno.EIO)):
        with pytest.raises(OSError, match=os.strerror(number)) as told:
            Forked(job).wait(60)
        assert told.value.errno == number


def test_a_child_that_is_killed_or_hangs_is_an_error_and_leaves_no_process() -> None:
    killed = Forked(hang)
    os.kill(killed._pid, 9)
    with pytest.raises(OSError, match="killed by signal 9"):
        killed.wait(60)
    hung = Forked(hang)
    with pytest.raises(TimeoutError, match=r"not done after 0\.05 s"):
        hung.wait(0.05)
    for child in (killed, hung):
        with pytest.raises(ProcessLookupError):
            os.kill(child._pid, 0)


def test_the_child_holds_nothing_open() -> None:
    """A listening socket would take connections in for nobody."""
    ours, theirs = socket.socketpair()
    hung = Forked(hang)
    theirs.close()
    ours.settimeout(30)
    assert ours.recv(1) == b"", "its other end is closed in every process"
    ours.close()
    with pytest.raises(TimeoutError):
        hung.wait(0)


def test_forking_beside_threads_at_work_never_hangs() -> None:
    """Of matrix products and of the interpreter; as long as products keep to their own thread."""
    assert may_fork()
    matrix, stop, products = np.ones((2_000, 384), np.float32), threading.Event(), [0, 0]

    def multiply(at: int) -> None:
        while not stop.is_set():
            products[at] += bool((matrix @ matrix[0])[0])

    workers = [threading.Thread(target=multiply, args=(at,)) for at in range(2)]
    for worker in workers:
        worker.start()
    began = time.monotonic()
    for _ in range(50):
        Forked(lambda: None).wait(30)
    stop.set()
    for worker in workers:
        worker.join()
    assert min(products) > 0
    assert time.monotonic() - began < 60


def test_the_child_ends_with_a_process_that_is_killed() -> None:
    """It has the pipe too, which ends with the last who has it."""
    script = (
        "import threading, stores.forked as f; f.Forked(threading.Event().wait); print('forked', flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout as told:
        assert told.readline() == b"forked\n"
        parent.kill()
        parent.wait()
        assert select.select([told], [], [], 30)[0], "the child goes on"
        assert told.read() == b""
