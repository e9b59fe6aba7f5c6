"""Memory is shared out among decoding threads, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from xintu_cli.imaging.room import Room

PATIENCE_SECONDS = 20.0


def test_what_fits_goes_on_side_by_side() -> None:
    room, together = Room(10), Barrier(3)

    def work() -> None:
        with room.taken(3):
            together.wait(PATIENCE_SECONDS)

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work) for _ in range(3)]:
            done.result(PATIENCE_SECONDS)


def test_more_than_all_the_room_is_had_alone_and_is_not_overtaken() -> None:
    room, order, entered, leave = Room(10), list[str](), Event(), Event()

    def small_first() -> None:
        with room.taken(4):
            entered.set()
            leave.wait(PATIENCE_SECONDS)
            order.append("first")

    def take(name: str, amount: int) -> None:
        with room.taken(amount):
            order.append(name)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(small_first)
        entered.wait(PATIENCE_SECONDS)
        large = threads.submit(take, "large", 50)
        while not room.waited_for:
            pass
        last = threads.submit(take, "last", 1)
        leave.set()
        for done in (first, large, last):
            done.result(PATIENCE_SECONDS)
    assert order == ["first", "large", "last"]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_never_more_is_taken_than_there_is(size: int) -> None:
    room, guard, taken, most = Room(size), Lock(), 0, 0

    def work(amount: int) -> None:
        nonlocal taken, most
        with room.taken(amount):
            with guard:
                taken += amount
                most = max(most, taken)
            with guard:
                taken -= amount

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [1 + number % 9 for number in range(400)]))
    assert most <= max(size, 9)


def test_a_failure_gives_its_room_back() -> None:
    room = Room(5)
    with pytest.raises(ValueError, match="x"), room.taken(5):
        raise ValueError("x")
    with room.taken(5):
        pass
