"""Leaving the process for real: a thread that hangs, a full stdout, a reader that went away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HANGING_THREAD = """
import threading
from xintu_cli.cli.exits import leave, say
def command():
    threading.Thread(target=threading.Event().wait).start()
    print("an answer")
    say("a word")
    raise SystemExit(4)
leave(command)
"""


def left(source: str, stdout: int | Path = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", "-c", source]
    if isinstance(stdout, int):
        return subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    with stdout.open("w") as opened:
        return subprocess.run(
            command, stdout=opened, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    done = left(HANGING_THREAD)
    assert (done.returncode, done.stdout, done.stderr) == (4, "an answer\n", "xintu: a word\n")


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_output_that_does_not_fit_is_no_success(size: int) -> None:
    """Less than a buffer fails when it is flushed at the end, more when it is written."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this machine has no /dev/full")
    done = left(
        f"from xintu_cli.cli.exits import leave\nleave(lambda: print('x' * {size}))",
        full,
    )
    assert (done.returncode, done.stderr) == (
        73,
        (
            "xintu: cannot write to stdout: No space left on device. "
            "Free some space, or write somewhere else.\n"
        ),
    )


def test_an_error_of_ours_counts_more_than_an_output_that_does_not_fit() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this machine has no /dev/full")
    source = """
from xintu_cli.cli.exits import leave
from xintu_cli.errors import StorageError
def command():
    print("x")
    raise StorageError("it is broken.")
leave(command)
"""
    done = left(source, full)
    assert (done.returncode, done.stderr) == (74, "xintu: it is broken.\n")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_seen_enough_is_no_failure(lines: int) -> None:
    source = f"""
import sys
from xintu_cli.cli.exits import leave
def command():
    for number in range({lines}):
        print(number)
leave(command)
"""
    writer = subprocess.Popen(
        [sys.executable, "-E", "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    with writer.stdout, writer.stderr:
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.wait(60) == 0
