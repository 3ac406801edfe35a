"""A job done in a forked child, which sees memory as it was at that moment while this process goes on writing to it."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import NoReturn

from stores.memory_maps import memory_maps

NICE = 10
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when the thread that forked it is no more."""
BEAT_SECONDS = 0.02

_libc = ctypes.CDLL(None)


class Forked:
    """Runs ``job`` at once.

    Safe beside other threads, of which none is in the child, as long as the job only reads memory that no thread was
    writing to and writes files: glibc holds its allocator's locks over a fork, Python renews its own, and the child
    closes what it inherited (a listening socket or the lock on the data directory would outlive this process in it),
    ignores signals, collects no garbage and ends without a word to anybody. It ends with this process too, even where
    that is killed: what it wrote late would lie beside what the next one writes, and tell of who is erased by then.
    OpenBLAS is the exception: it ends its threads before a fork, and waits for ever when one of them is at work
    (`may_fork`).
    """

    def __init__(self, job: Callable[[], None]) -> None:
        """By the thread that waits for it: the job ends with that. Raises OSError when the system has no room for another
        process."""
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _run(job, parent)

    def wait(self, seconds: float) -> None:
        """Blocking. Raises OSError for what went wrong in the child; one that takes longer is killed."""
        deadline = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                raise OSError(errno.ETIMEDOUT, f"not done after {seconds:g} s")
            time.sleep(BEAT_SECONDS)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            raise OSError(errno.ECHILD, f"the process that wrote it was killed by signal {-code}")
        if code:
            raise OSError(code, os.strerror(code))


def _run(job: Callable[[], None], parent: int) -> NoReturn:
    code = errno.EIO
    try:
        gc.disable()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before that was asked for
            os._exit(code)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        with suppress(OSError):  # a sandbox may refuse it
            os.nice(NICE)
        job()
        code = 0
    except OSError as error:
        code = error.errno or errno.EIO
    finally:
        os._exit(code)


def may_fork() -> bool:
    """Whether numpy's matrix products keep to the thread that asks, as `daemon` arranges; asked of OpenBLAS itself, since
    the environment may have changed after it was loaded. With another library: no."""
    return _blas_threads() == 1


@cache
def _blas_threads() -> int:
    """0 where that cannot be told."""
    loaded = {os.fsdecode(line.split(maxsplit=5)[-1]) for line in memory_maps() if b"openblas" in line}
    for path in loaded:
        with suppress(OSError):  # a file that is only called so, or was replaced since
            library = ctypes.CDLL(path)
            for name in (
                "scipy_openblas_get_num_threads64_",
                "openblas_get_num_threads64_",
                "openblas_get_num_threads",
            ):
                if hasattr(library, name):
                    return int(getattr(library, name)())
    return 0
