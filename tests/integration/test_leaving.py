"""Leaving the process for real: a thread that hangs, a full stdout, a reader that went away."""

from __future__ import annotations

import signal
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


WAITING = """
import asyncio, os, signal, time
from xintu_cli.cli.exits import leave
if {ignored}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
async def sleep():
    os.kill(os.getpid(), {number})
    await asyncio.sleep(60)
def command():
    try:
        if {in_a_loop}:
            asyncio.run(sleep())
        os.kill(os.getpid(), {number})
        time.sleep(60)
    finally:
        print("tidied up")
leave(command)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("in_a_loop", [False, True])
def test_a_signal_interrupts_a_command_and_does_not_kill_it(
    number: signal.Signals, in_a_loop: bool
) -> None:
    done = left(WAITING.format(number=int(number), in_a_loop=in_a_loop, ignored=False))
    assert (done.returncode, done.stdout) == (128 + number, "tidied up\n"), done.stderr
    assert done.stderr == "xintu: interrupted.\n"


def test_a_command_in_the_background_that_ignores_ctrl_c_heeds_sigterm() -> None:
    done = left(WAITING.format(number=int(signal.SIGTERM), in_a_loop=False, ignored=True))
    assert (done.returncode, done.stdout) == (143, "tidied up\n"), done.stderr


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    source = """
import os, signal
from xintu_cli.cli.exits import leave
signal.signal(signal.SIGHUP, signal.SIG_IGN)
leave(lambda: os.kill(os.getpid(), signal.SIGHUP))
"""
    assert left(source).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_there_is_a_command_line_has_its_code_and_no_traceback(
    number: signal.Signals,
) -> None:
    source = f"""
import os, signal, sys
class Impatient:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Impatient())
from xintu_cli.__main__ import main
main()
"""
    done = left(source)
    assert (done.returncode, done.stderr) == (128 + number, "")


def test_a_signal_while_the_interpreter_would_be_taken_apart_changes_no_code() -> None:
    source = """
import atexit, os, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
sys.argv = ["xintu", "--version"]
from xintu_cli.__main__ import main
main()
"""
    done = left(source)
    assert (done.returncode, done.stderr) == (0, "")
