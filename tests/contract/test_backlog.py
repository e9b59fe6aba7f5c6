"""What the backlog promises the feeder, and that it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xintu_cli.interfaces import Backlog
from xintu_cli.records import Task
from xintu_cli.storage.backlog import SqliteBacklog


@pytest.fixture
def backlog(tmp_path: Path) -> Iterator[Backlog]:
    """Open an empty backlog."""
    with SqliteBacklog(tmp_path) as opened:
        yield opened


def task(name: str, path: str = "", *, provisional: bool = False) -> Task:
    return Task(name, f"/p/{path or name}.jpg".encode(), 10, provisional)


def test_an_empty_backlog_has_nothing_to_give(backlog: Backlog) -> None:
    assert list(backlog.take(10)) == []
    assert backlog.waiting() == 0


def test_tasks_come_in_the_order_they_were_added(backlog: Backlog) -> None:
    tasks = [task("a"), task("b"), task("c")]
    assert list(backlog.add(tasks)) == [True, True, True]
    assert tasks[:2] == list(backlog.take(2))
    assert tasks[2:] == list(backlog.take(2))


def test_misses_come_before_provisional_photos(backlog: Backlog) -> None:
    first, second = task("a", provisional=True), task("b")
    backlog.add([first, second])
    assert [second, first] == list(backlog.take(2))


def test_a_taken_task_is_not_given_twice_but_still_counts(backlog: Backlog) -> None:
    backlog.add([task("a"), task("b")])
    backlog.take(1)
    assert [task("b")] == list(backlog.take(5))
    assert backlog.waiting() == 2


def test_a_task_that_is_given_back_waits_at_the_end(backlog: Backlog) -> None:
    backlog.add([task("a"), task("b")])
    taken = backlog.take(1)
    backlog.give_back(taken)
    assert [task("b"), task("a")] == list(backlog.take(5))


def test_a_task_keeps_the_category_of_its_stand_in(backlog: Backlog) -> None:
    provisional = task("a", provisional=True)._replace(category="pets")
    backlog.add([provisional])
    assert [provisional] == list(backlog.take(1))


def test_a_second_file_of_an_image_becomes_a_copy(backlog: Backlog) -> None:
    assert list(backlog.add([task("a"), task("a", "again")])) == [True, False]
    assert [task("a")] == list(backlog.take(5))
    assert list(backlog.add([task("a", "once-more")])) == [False]
    assert backlog.waiting() == 1
    assert backlog.settle(["a"]) == {"a": [b"/p/again.jpg", b"/p/once-more.jpg"]}


def test_settling_an_image_without_copies_tells_nothing(backlog: Backlog) -> None:
    backlog.add([task("a")])
    assert backlog.settle(["a", "unknown"]) == {}
    assert backlog.waiting() == 0


def test_a_copy_that_comes_after_settling_is_queued_anew(backlog: Backlog) -> None:
    backlog.add([task("a")])
    backlog.take(1)
    backlog.settle(["a"])
    assert list(backlog.add([task("a", "late")])) == [True]
    assert [task("a", "late")] == list(backlog.take(5))


def test_a_task_waits_again_when_its_own_file_comes_back(backlog: Backlog) -> None:
    backlog.add([task("a")])
    backlog.take(1)
    assert list(backlog.add([task("a")])) == [True]
    assert [task("a")] == list(backlog.take(1))
    assert backlog.waiting() == 1


def test_a_waiting_task_that_is_added_again_stays_one(backlog: Backlog) -> None:
    backlog.add([task("a")])
    assert list(backlog.add([task("a")])) == [False]
    assert backlog.settle(["a"]) == {}


def test_names_are_bytes_of_any_kind(backlog: Backlog) -> None:
    odd = Task("a", b"/p/\xff\n\x00.jpg", 10, provisional=False)
    backlog.add([odd])
    assert [odd] == list(backlog.take(1))


def test_it_lies_on_the_disk_under_no_name(tmp_path: Path) -> None:
    with SqliteBacklog(tmp_path / "state") as backlog:
        backlog.add([task(str(number)) for number in range(20_000)])
        backlog.take(100)
        assert list((tmp_path / "state").iterdir()) == []
    assert list((tmp_path / "state").iterdir()) == []
