"""A pytest plugin that fails an async test whose event loop was blocked.

Every callback of the loop is timed, in two ways, so that a busy machine does not fail honest
code. What it computes is told by its thread's own clock. What it waits for is the rest, less
the time that it stood ready but had no processor (Linux tells it in
`/proc/thread-self/schedstat`), and less what kept a bystander waiting too: a second thread that
sleeps for a hundredth of a second at a time, and adds up how late it wakes. A machine that stands
still and three hundred threads that want the interpreter's lock make both late; a disk, a socket
or a lock of ours only the loop. Garbage collection, which with a whole test suite in memory takes
0.2 s, counts for nobody.
A test that must block says so: `@pytest.mark.may_block_loop("why")`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

COMPUTING_SECONDS = 0.2
"""The loop's honest callbacks take less than a millisecond; a decode or an import takes this."""
WAITING_SECONDS = 0.5
"""Blocking on a lock, a disk or a socket, on purpose or not, lasts this long or longer."""

_LOOK_AGAIN_SECONDS = 0.02
_SCHEDSTAT = "/proc/thread-self/schedstat"


class Bystander:
    """A thread that wants nothing but to wake on time; `late_seconds` is how late it was so far."""

    _NAP_SECONDS = 0.01

    def __init__(self) -> None:
        self._woken_late = 0.0
        self._due = time.perf_counter() + self._NAP_SECONDS
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._stand_by, name="bystander", daemon=True)

    @property
    def late_seconds(self) -> float:
        """Its delays until now, the one that it is in included."""
        return self._woken_late + max(0.0, time.perf_counter() - self._due)

    def come(self) -> None:
        """Begin."""
        self._thread.start()

    def go(self) -> None:
        """End."""
        self._leave.set()
        self._thread.join()

    def _stand_by(self) -> None:
        while not self._leave.wait(self._NAP_SECONDS):
            now = time.perf_counter()
            self._woken_late += max(0.0, now - self._due)
            self._due = now + self._NAP_SECONDS


class LoopWatch:
    """Times every callback between `install` and `remove`; `blocked` lists the slow ones."""

    def __init__(self) -> None:
        self.blocked: list[str] = []
        self._original = asyncio.Handle._run
        self._excused = 0.0
        self._looked_at = -1.0
        self._bystander = Bystander()
        self._collecting_since = 0.0
        self._collected = 0.0

    def install(self) -> None:
        """Begin to time callbacks."""
        watch = self
        original = self._original

        def _run(handle: asyncio.Handle) -> None:
            collected, computed = watch._collected, time.thread_time()
            started = time.perf_counter()
            if started - watch._looked_at > _LOOK_AGAIN_SECONDS:
                watch._excused, watch._looked_at = watch._excuse(), started
            original(handle)
            seconds = time.perf_counter() - started
            if seconds > COMPUTING_SECONDS:
                collected = watch._collected - collected
                computed = time.thread_time() - computed
                watch._judge(handle, seconds - collected, computed - collected)

        gc.callbacks.append(self._collect)
        self._bystander.come()
        asyncio.Handle._run = _run  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Stop timing."""
        asyncio.Handle._run = self._original  # type: ignore[method-assign]
        gc.callbacks.remove(self._collect)
        self._bystander.go()

    def _excuse(self) -> float:
        """Return for how long so far something else than what it did kept the loop waiting."""
        return unscheduled_seconds() + self._bystander.late_seconds

    def _collect(self, phase: str, _statistics: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._collecting_since

    def _judge(self, handle: asyncio.Handle, seconds: float, computed: float) -> None:
        # Counted since the last look, at most 20 ms before the callback, and what made both late
        # twice over: never too strict.
        waited = seconds - computed - (self._excuse() - self._excused)
        self._looked_at = -1.0
        if computed > COMPUTING_SECONDS:
            self.blocked.append(f"computed for {computed:.2f} s in {_described(handle)}")
        elif waited > WAITING_SECONDS:
            self.blocked.append(f"waited for {waited:.2f} s in {_described(handle)}")


def _described(handle: asyncio.Handle) -> str:
    """Name the task whose step it was, else the callback."""
    callback = getattr(handle, "_callback", None)
    owner = getattr(callback, "__self__", None)
    return repr(owner if isinstance(owner, asyncio.Task) else callback)


def unscheduled_seconds() -> float:
    """Return how long this thread has been ready without a processor (0 where unknown)."""
    try:
        with open(_SCHEDSTAT, encoding="ascii") as statistics:  # noqa: PTH123 - 5 µs, not 20
            return int(statistics.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "may_block_loop(reason): this test may block its event loop, and why"
    )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Time the callbacks of an async test, and fail it when it passed but blocked."""
    is_async = pyfuncitem.get_closest_marker("anyio") is not None
    if not is_async or pyfuncitem.get_closest_marker("may_block_loop"):
        return (yield)
    watch = LoopWatch()
    watch.install()
    try:
        result = yield
    finally:
        watch.remove()
    if watch.blocked:
        pytest.fail("the event loop was blocked: " + "; ".join(watch.blocked), pytrace=False)
    return result
