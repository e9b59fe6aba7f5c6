"""One run at a time over the same folders: two processes, a killed one, one that waits."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xintu_cli.errors import StorageError, TryLaterError
from xintu_cli.jobs.locking import locked

HOLD = """
import os, sys
from pathlib import Path
from xintu_cli.jobs.locking import locked
directory, task, wait, *roots = sys.argv[1:]
def notice(message):
    print(message, flush=True)
roots = list(map(os.fsencode, roots))
with locked(Path(directory), roots, task, wait=wait == "wait", notice=notice):
    print("held", flush=True)
    sys.stdin.readline()
print("let go", flush=True)
"""


class Holder:
    """Another process that takes the lock and holds it until it is told to let go."""

    def __init__(self, directory: Path, *roots: Path, task: str = "t", wait: bool = False) -> None:
        waits = "wait" if wait else "no"
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, directory, task, waits, *roots],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Wait for its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def let_go(self) -> None:
        """Tell it to end, and wait for that."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.line() == "let go"
        self.process.wait(60)


@contextmanager
def holding(directory: Path, *roots: Path, task: str = "t", wait: bool = False) -> Iterator[Holder]:
    holder = Holder(directory, *roots, task=task, wait=wait)
    try:
        yield holder
    finally:
        holder.process.kill()
        holder.process.wait()
        for stream in (holder.process.stdin, holder.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """Return the directory of locks."""
    directory = tmp_path / "locks"
    directory.mkdir()
    return directory


def take(directory: Path, *roots: Path, task: str = "t") -> None:
    """Take the lock and let go of it; nobody is to wait for anything."""
    names = [str(root).encode() for root in roots]

    def nobody_waits(message: str) -> None:
        raise AssertionError(message)

    with locked(directory, names, task, wait=False, notice=nobody_waits):
        pass


def test_a_lock_can_be_taken_again_once_it_was_let_go(locks: Path, tmp_path: Path) -> None:
    for _ in range(3):
        take(locks, tmp_path)
    assert [path.suffix for path in locks.iterdir()] == [".lock"]


@pytest.mark.row("F1")
def test_a_second_run_is_told_who_holds_the_lock_since_when(locks: Path, tmp_path: Path) -> None:
    with holding(locks, tmp_path) as other:
        assert other.line() == "held"
        with pytest.raises(TryLaterError) as caught:
            take(locks, tmp_path)
        assert re.fullmatch(
            rf"another run is at work on the same folders: process {other.process.pid} on \S+ "
            r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d\. "
            r"Try again when it is done, or use --wait\.",
            str(caught.value),
        )
        assert caught.value.exit_code == 75
        other.let_go()
    take(locks, tmp_path)


@pytest.mark.row("F2")
def test_the_lock_of_a_killed_run_is_gone_with_it(locks: Path, tmp_path: Path) -> None:
    with holding(locks, tmp_path) as other:
        assert other.line() == "held"
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
        take(locks, tmp_path)


def test_a_waiting_run_says_so_once_and_goes_on_when_it_is_its_turn(
    locks: Path, tmp_path: Path
) -> None:
    with holding(locks, tmp_path) as first:
        assert first.line() == "held"
        with holding(locks, tmp_path, wait=True) as second:
            assert second.line().startswith(
                f"waiting for another run over the same folders: process {first.process.pid} on "
            )
            first.let_go()
            assert second.line() == "held"
            with pytest.raises(TryLaterError, match=f"process {second.process.pid} on"):
                take(locks, tmp_path)
            second.let_go()


def test_a_waiting_run_takes_over_from_a_killed_one(locks: Path, tmp_path: Path) -> None:
    with holding(locks, tmp_path) as first:
        assert first.line() == "held"
        with holding(locks, tmp_path, wait=True) as second:
            assert second.line().startswith("waiting for another run")
            first.process.kill()
            assert second.line() == "held"
            second.let_go()


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        (("a", "b"), ("b", "a"), True),
        (("a",), ("link-to-a",), True),
        (("a",), ("b",), False),
        (("a",), ("a", "b"), False),
    ],
)
def test_the_lock_is_of_the_folders_whatever_they_are_called(
    locks: Path, tmp_path: Path, mine: tuple[str, ...], theirs: tuple[str, ...], same: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "link-to-a").symlink_to("a")
    with holding(locks, *(tmp_path / name for name in theirs)) as other:
        assert other.line() == "held"
        if same:
            with pytest.raises(TryLaterError):
                take(locks, *(tmp_path / name for name in mine))
        else:
            take(locks, *(tmp_path / name for name in mine))


def test_another_taxonomy_over_the_same_folders_is_another_run(locks: Path, tmp_path: Path) -> None:
    with holding(locks, tmp_path, task="one") as other:
        assert other.line() == "held"
        take(locks, tmp_path, task="two")


def test_an_error_inside_lets_go_of_the_lock(locks: Path, tmp_path: Path) -> None:
    root = str(tmp_path).encode()
    with (
        pytest.raises(ZeroDivisionError),
        locked(locks, [root], "t", wait=False, notice=print),
    ):
        raise ZeroDivisionError
    take(locks, tmp_path)


@pytest.mark.parametrize("word", ["", "{", "[]", "null", '{"pid": 1}', "\udcff"])
def test_a_word_of_the_holder_that_cannot_be_read_costs_nothing_but_the_word(
    locks: Path, tmp_path: Path, word: str
) -> None:
    with holding(locks, tmp_path) as other:
        assert other.line() == "held"
        [path] = locks.glob("*.json")
        path.write_bytes(word.encode("utf-8", "surrogateescape"))
        with pytest.raises(TryLaterError, match=r"folders: it has just begun\. Try again"):
            take(locks, tmp_path)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        take(tmp_path / "file", tmp_path)
    assert str(caught.value).startswith(f"cannot lock {tmp_path / 'file'}: ")
    assert str(caught.value).endswith(". Set XINTU_HOME to a local directory.")


def test_a_full_disk_does_not_keep_a_run_from_its_lock(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    """The word of who holds it is for people; nothing depends on it."""
    disk = small_disk("64k")
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(1024)):
                pass
        except OSError:
            pass
    take(disk, tmp_path)
