"""What fails an async test: a blocked loop, and not a busy machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial

from tests.support.loop_watch import COMPUTING_SECONDS, WAITING_SECONDS, LoopWatch


def verdicts(step: Callable[[], object]) -> list[str]:
    """Run one step of a loop of its own under a watch."""
    watch = LoopWatch()
    watch.install()
    try:

        async def main() -> None:
            await asyncio.sleep(0)
            step()

        asyncio.run(main())
    finally:
        watch.remove()
    return watch.blocked


def compute() -> None:
    until = time.thread_time() + 1.5 * COMPUTING_SECONDS
    while time.thread_time() < until:
        pass


def wait_for_a_thread_that_keeps_the_interpreter() -> None:
    """Let another thread work in one C function for longer than a loop may wait."""
    numbers, seconds = 20_000_000, 0.0

    def work() -> None:
        nonlocal seconds
        started = time.perf_counter()
        sum(range(numbers))
        seconds = time.perf_counter() - started

    while seconds < 1.2 * WAITING_SECONDS:
        numbers *= 2
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def test_a_sleep_on_the_loop_is_blocking() -> None:
    """What a busy machine does to every thread meanwhile is excused: it may take a longer one."""
    seconds, blocked = 2 * WAITING_SECONDS, list[str]()
    while not blocked and seconds < 60:
        blocked = verdicts(partial(time.sleep, seconds))
        seconds *= 2
    assert ["waited for" in each for each in blocked] == [True]


def test_a_long_computation_on_the_loop_is_blocking() -> None:
    (blocked,) = verdicts(compute)
    assert "computed for" in blocked


def test_what_keeps_every_thread_waiting_is_not_the_loops_doing() -> None:
    assert verdicts(wait_for_a_thread_that_keeps_the_interpreter) == []


def test_quick_steps_are_none() -> None:
    assert verdicts(lambda: None) == []
