"""Run the installed `xintu` on a terminal of its own: a real pty, whose keys send signals."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.command import Argument, clean_environment, installed_command

CTRL_C, CTRL_D = "\x03", "\x04"
_CODES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class OnTerminal:
    """One run on a terminal: wait for what it says, type, and see how it ends."""

    def __init__(
        self,
        *arguments: Argument,
        home: Path,
        env: Mapping[str, str] | None = None,
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        """Start the command; nothing is read from or written to anything but the terminal."""
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # A session with the terminal as its own: only there are Ctrl-C and Ctrl-D keys.
        command = ["setsid", "--ctty", *installed_command(), *arguments]
        self._process = subprocess.Popen(
            command,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=home,
            env=clean_environment(home, {"TERM": "xterm", **(env or {})}),
        )
        os.close(inside)
        self._seen = b""
        self._waited_to = 0
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """What was shown so far, without colours and movements of the cursor."""
        return _CODES.sub("", self._seen.decode("utf-8", "replace")).replace("\r", "")

    def wait_for(self, words: str, timeout_seconds: float = 60.0) -> None:
        """Return when the words have been shown, after what was waited for before."""
        deadline = time.monotonic() + timeout_seconds
        with self._news:
            while (at := self.text.find(words, self._waited_to)) < 0:
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise AssertionError(f"{words!r} was not shown:\n{self.text}")
                self._news.wait(min(left, 0.5))
        self._waited_to = at + len(words)

    def type(self, keys: str) -> None:
        """Press keys; a line ends with a newline."""
        os.write(self._screen, keys.encode())

    def leave(self, by: str | signal.Signals, timeout_seconds: float = 120.0) -> int:
        """Press a key, or send a signal, until a question is left; return the exit code.

        As people do: Python notes a Ctrl-C that comes between a prompt and the read of its
        answer only when that read returns.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            if isinstance(by, signal.Signals):
                self.send_signal(by)
            else:
                self.type(by)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        return self.finish(0.0)

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def finish(self, timeout_seconds: float = 120.0) -> int:
        """Wait for the end; return the exit code."""
        code = self._process.wait(timeout_seconds)
        self._reader.join()
        return code

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self._screen, 65536)
            except OSError:  # Linux says so when the last one has closed the terminal
                block = b""
            with self._news:
                self._seen += block
                self._news.notify_all()
            if not block:
                return
