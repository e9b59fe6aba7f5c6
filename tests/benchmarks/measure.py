"""Run a command and say what it took: seconds, and the most memory it ever had."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.command import Argument, clean_environment, installed_command


@dataclass(frozen=True, slots=True)
class Measured:
    """One command's end. `peak_mb` is the kernel's high-water mark of its resident memory.

    The kernel counts what this process had when it started the child as the child's, so
    nothing heavy is imported here: bare loops are commands of their own.
    """

    seconds: float
    peak_mb: float
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where one benchmark works: an empty directory, with a home for xintu's state."""

    path: Path

    @property
    def home(self) -> Path:
        """The user's home directory; xintu's state is below it."""
        home = self.path / "home"
        home.mkdir(exist_ok=True)
        return home

    @property
    def state(self) -> Path:
        """Where xintu keeps cache and index."""
        return self.home / "state"

    def xintu(
        self,
        *arguments: Argument,
        wrapper: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Measured:
        """Run the installed command here."""
        command = [*wrapper, *installed_command(), *arguments]
        return run(command, cwd=self.home, env=clean_environment(self.home, env))


def run(
    command: Sequence[Argument], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Measured:
    """Run a command to its end; its output goes to files, so that no pipe slows it down."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd, env=env
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        return Measured(
            seconds,
            usage.ru_maxrss / 1024,
            process.returncode,
            _content(stdout),
            _content(stderr),
        )


def succeed(measured: Measured) -> Measured:
    """Return what succeeded; a benchmark of a failed run measures nothing."""
    if measured.exit_code != 0:
        raise RuntimeError(f"exit {measured.exit_code}: {measured.stderr[-2000:]}")
    return measured


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
