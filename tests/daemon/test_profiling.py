from __future__ import annotations

import threading

import pytest

from daemon.profiling import sample


def test_threads_at_work_come_with_their_stacks_and_idle_ones_with_a_line() -> None:
    stop, at_work = threading.Event(), threading.Event()

    def spin() -> None:
        while not stop.is_set():
            at_work.set()

    threads = [threading.Thread(target=spin, name="spinning"), threading.Thread(target=stop.wait, name="waiting")]
    for thread in threads:
        thread.start()
    at_work.wait()
    text = sample(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    busy, idle = text.split("idle:")
    assert "spinning" in busy and "spin (daemon/test_profiling.py:" in busy
    assert "100.0%  waiting" in idle
    assert "profiling.py" not in busy.replace("test_profiling.py", "")


def test_it_ends_once_nobody_waits_for_it() -> None:
    class Gone(Exception):
        pass

    def cancelled() -> None:
        raise Gone

    with pytest.raises(Gone):
        sample(60, cancelled=cancelled)
