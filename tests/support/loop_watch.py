"""A pytest plugin that fails an async test whose event loop was blocked.

Every callback of the loop is timed. The time its thread stood ready but had no processor
(another process had it) is taken off, so that a busy machine does not fail honest code:
Linux tells it in `/proc/thread-self/schedstat`; elsewhere the wall clock must do.
A test that must block says so: `@pytest.mark.may_block_loop("why")`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest

LIMIT_SECONDS = 0.2
"""Blocking calls of the kinds we make (a decode, a commit, an import) take this or longer on
a slow disk; the loop's honest callbacks take less than a millisecond."""

_LOOK_AGAIN_SECONDS = 0.02
_SCHEDSTAT = "/proc/thread-self/schedstat"


class LoopWatch:
    """Times every callback between `install` and `remove`; `blocked` lists the slow ones."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self.blocked: list[str] = []
        self._original = asyncio.Handle._run
        self._waited = 0.0
        self._looked_at = -1.0

    def install(self) -> None:
        """Begin to time callbacks."""
        watch = self
        original = self._original

        def _run(handle: asyncio.Handle) -> None:
            started = time.perf_counter()
            if started - watch._looked_at > _LOOK_AGAIN_SECONDS:
                watch._waited, watch._looked_at = waited_seconds(), started
            original(handle)
            watch._judge(handle, time.perf_counter() - started)

        asyncio.Handle._run = _run  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Stop timing."""
        asyncio.Handle._run = self._original  # type: ignore[method-assign]

    def _judge(self, handle: asyncio.Handle, seconds: float) -> None:
        if seconds <= self.limit_seconds:
            return
        # Counted since the last look, at most 20 ms before the callback: never too strict.
        own = seconds - (waited_seconds() - self._waited)
        self._looked_at = -1.0
        if own > self.limit_seconds:
            self.blocked.append(f"{own:.2f} s in {_described(handle)}")


def _described(handle: asyncio.Handle) -> str:
    """Name the task whose step it was, else the callback."""
    callback = getattr(handle, "_callback", None)
    owner = getattr(callback, "__self__", None)
    return repr(owner if isinstance(owner, asyncio.Task) else callback)


def waited_seconds() -> float:
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
    watch = LoopWatch(LIMIT_SECONDS)
    watch.install()
    try:
        result = yield
    finally:
        watch.remove()
    if watch.blocked:
        pytest.fail("the event loop was blocked: " + "; ".join(watch.blocked), pytrace=False)
    return result
