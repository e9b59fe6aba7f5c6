"""Turns at file work: one after the other, unless whoever has the turn is slow."""

from __future__ import annotations

import anyio
import pytest

from tests.support.virtual_time import VIRTUAL_TIME, Backend
from xintu_cli.stages.control import Control

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return VIRTUAL_TIME


async def test_turns_are_taken_one_after_the_other() -> None:
    control, at_work, most = Control(), 0, 0

    async def work() -> None:
        nonlocal at_work, most
        async with control.turn():
            at_work += 1
            most = max(most, at_work)
            await anyio.lowlevel.checkpoint()
            at_work -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert most == 1


async def test_whoever_hangs_in_a_turn_holds_nobody_up_and_is_waited_for_again_later() -> None:
    control, inside, over = Control(), anyio.Event(), anyio.Event()

    async def hang() -> None:
        async with control.turn():
            inside.set()
            await over.wait()

    async def wait_a_little() -> bool:
        """Tell whether the turn can be had within 10 ms."""
        with anyio.move_on_after(0.01) as patience:
            async with control.turn():
                pass
        return not patience.cancelled_caught

    async with anyio.create_task_group() as group:
        group.start_soon(hang)
        await inside.wait()
        assert not await wait_a_little()
        with anyio.fail_after(30):
            # 0.25 s for the first; if each of them waited as long, the test would fail.
            for _ in range(1_000):
                async with control.turn():
                    pass
        over.set()
    assert await wait_a_little()
    inside, over = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(hang)
        await inside.wait()
        assert not await wait_a_little()
        over.set()
