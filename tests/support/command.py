"""Run the installed `xintu` in a subprocess, away from whatever this machine has configured.

Every run gets an environment made from nothing and an own `XINTU_HOME`; streams come back as
text in which bytes that are not UTF-8 survive as surrogate escapes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

Argument = str | bytes | Path

# A run of a few photos takes a second; the rest is for machines that do ten things at once.
TIMEOUT_SECONDS = 120.0
RACY_SECONDS = 2.1


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind. A run ended by signal N that nobody caught has exit code -N."""

    exit_code: int
    stdout: str
    stderr: str
    command: tuple[str, ...] = ()

    def json(self) -> Any:
        """Parse stdout, all of it, as one JSON document."""
        return json.loads(self.stdout)

    def lines(self) -> list[str]:
        """Return stdout's lines."""
        return self.stdout.splitlines()

    def __str__(self) -> str:
        """Show the whole run: what pytest prints when an assertion about it fails."""
        shown = " ".join(self.command)
        streams = f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        return f"$ {shown}\nexit {self.exit_code}\n{streams}"


def installed_command() -> tuple[str, ...]:
    """Return how to start xintu: `XINTU_COMMAND`, else the script beside this interpreter."""
    named = os.environ.get("XINTU_COMMAND")
    if named:
        return (named,)
    script = Path(sysconfig.get_path("scripts")) / "xintu"
    if not script.exists():
        raise FileNotFoundError(
            f"xintu is not installed beside {sys.executable}. Run: pip install -e '.[dev]'"
        )
    return (str(script),)


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of this machine's user is configured."""
    environment = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "XINTU_HOME": str(home / "state"),
    }
    environment.update(extra or {})
    return environment


def run_xintu(
    *arguments: Argument,
    home: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout_seconds: float = TIMEOUT_SECONDS,
    wrapper: Sequence[str] = (),
) -> Finished:
    """Run xintu to its end; `wrapper` is a command that runs it (strace, setpriv, faketime)."""
    command = [*wrapper, *installed_command(), *arguments]
    completed = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        cwd=cwd or home,
        env=clean_environment(home, env),
        timeout=timeout_seconds,
        check=False,
    )
    return Finished(
        completed.returncode,
        _text(completed.stdout),
        _text(completed.stderr),
        tuple(_shown(part) for part in command),
    )


@dataclass(frozen=True, slots=True)
class Home:
    """One user's machine: state, configuration and environment that several runs share."""

    path: Path
    environment: Mapping[str, str]

    @property
    def state(self) -> Path:
        """Where xintu keeps cache, index and locks."""
        return self.path / "state"

    def run(self, *arguments: Argument, **options: Any) -> Finished:
        """Run xintu here; options as in `run_xintu`."""
        env = {**self.environment, **options.pop("env", {})}
        return run_xintu(*arguments, home=self.path, env=env, **options)

    def start(self, *arguments: Argument, **options: Any) -> Running:
        """Start xintu here; options as in `Running`."""
        env = {**self.environment, **options.pop("env", {})}
        return Running(*arguments, home=self.path, env=env, **options)

    def summary(self, *arguments: Argument, **options: Any) -> tuple[Finished, dict[str, Any]]:
        """Run `classify` with these arguments; return what it left and its JSON summary."""
        finished = self.run("classify", *arguments, "--summary", "-", **options)
        assert finished.stdout, finished
        summary: dict[str, Any] = finished.json()
        return finished, summary


def grow_old(folder: Path) -> None:
    """Wait until no file of a folder counts as just touched.

    The index trusts no entry of a file that was touched within two seconds of being hashed,
    and a file's ctime cannot be set: only time makes it old.
    """
    newest = max(os.lstat(path).st_ctime for path in [folder, *folder.rglob("*")])
    while (missing := newest + RACY_SECONDS - time.time()) > 0:
        time.sleep(missing)


class Running:
    """A run that has been started: watch it, send it signals, take what it leaves.

    Use it as a context manager: whatever is still running at the end is killed.
    """

    def __init__(
        self,
        *arguments: Argument,
        home: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.command = [*wrapper, *installed_command(), *arguments]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd or home,
            env=clean_environment(home, env),
            start_new_session=True,
        )
        self._news = threading.Condition()
        self._received: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._open_streams = len(self._received)
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True)
            for name in self._received
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def wait_for_line(self, pattern: str, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
        """Wait until stderr has a line that matches; return the match."""
        expression = re.compile(pattern)

        def match() -> re.Match[str] | None:
            return expression.search(_text(bytes(self._received["stderr"])))

        with self._news:
            self._news.wait_for(lambda: match() or not self._open_streams, timeout_seconds)
            found = match()
        if found is None:
            raise AssertionError(f"no line matched {pattern!r} in time:\n{self._so_far()}")
        return found.group()

    def wait_until(
        self, happened: Callable[[], bool], timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Poll until `happened()`; fail when the run ends or the time is over before that."""
        deadline = time.monotonic() + timeout_seconds
        while not happened():
            if self.process.poll() is not None and not happened():
                raise AssertionError(f"the run ended before it happened:\n{self._so_far()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not happen in time:\n{self._so_far()}")
            time.sleep(0.01)

    def pause(self, seconds: float) -> None:
        """Let the run go on for a moment: where a signal is to come at no particular time."""
        time.sleep(seconds)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process (not to its children)."""
        self.process.send_signal(number)

    def finish(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Finished:
        """Wait for the end; return what the run left."""
        exit_code = self.process.wait(timeout_seconds)
        for reader in self._readers:
            reader.join()
        return Finished(
            exit_code,
            _text(bytes(self._received["stdout"])),
            _text(bytes(self._received["stderr"])),
            tuple(_shown(part) for part in self.command),
        )

    def has_children_left(self) -> bool:
        """Tell whether, after the end, a process of this run's session still lives."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "stdout" else self.process.stderr
        assert stream is not None
        with stream:
            while block := os.read(stream.fileno(), 65536):
                with self._news:
                    self._received[name] += block
                    self._news.notify_all()
        with self._news:
            self._open_streams -= 1
            self._news.notify_all()

    def _so_far(self) -> str:
        return "\n".join(
            f"--- {name}\n{_text(bytes(received))}" for name, received in self._received.items()
        )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _shown(part: Argument) -> str:
    return _text(part) if isinstance(part, bytes) else str(part)
