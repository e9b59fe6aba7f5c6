"""A terminal to answer questions on: the installed command with all its streams on a pty."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.command import Argument, Home, clean_environment, installed_command

TIMEOUT_SECONDS = 60.0
END_OF_INPUT = "\x04"


class Terminal:
    """A command that is being talked to; `shown` is all it has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.shown = ""
        self._descriptor = descriptor
        self._read_to = 0

    def wait_for(self, text: str) -> None:
        """Wait until `text` is shown, after what was waited for before."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert self._read(deadline - time.monotonic()), f"no {text!r} in {self.shown}"
        self._read_to = at + len(text)

    def answer(self, question: str, answer: str) -> None:
        """Wait for the question, then type the answer and a return."""
        self.wait_for(question)
        self.type(answer if answer == END_OF_INPUT else answer + "\r")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def finish(self) -> int:
        """Wait for the end; return the exit code."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(TIMEOUT_SECONDS)

    def _read(self, seconds: float) -> bool:
        """Read on; False where nothing comes any more."""
        ready, _, _ = select.select([self._descriptor], [], [], max(seconds, 0.0))
        try:
            block = os.read(self._descriptor, 65536) if ready else b""
        except OSError:  # Linux says EIO when the other side has closed
            block = b""
        self.shown += block.decode("utf-8", "replace")
        return bool(block)


@contextmanager
def on_terminal(
    home: Home, *arguments: Argument, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Start the command on a terminal of its own; it does not outlive the block."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*installed_command(), *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=home.path, start_new_session=True,
            env=clean_environment(home.path, {"TERM": "xterm", **home.environment, **(env or {})}),
        )  # fmt: skip
    finally:
        os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
