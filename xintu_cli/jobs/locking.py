"""One run at a time over the same roots and task, on this machine.

It only saves walking twice; correctness between runs is the claims'. The lock is the
kernel's (filelock's flock): one left by a killed run is gone with its process.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import xxhash
from filelock import FileLock, Timeout

from xintu_cli.errors import StorageError, TryLaterError


@contextmanager
def locked(
    directory: Path,
    roots: Sequence[bytes],
    task: str,
    *,
    wait: bool,
    notice: Callable[[str], None],
) -> Iterator[None]:
    """Hold the lock of (roots, task); raise `TryLaterError` where another run does.

    With `wait`, wait for it after saying so once.
    """
    real = sorted(os.path.realpath(root) for root in roots)
    name = xxhash.xxh3_64_hexdigest(b"\0".join([task.encode(), *real]))
    holder = directory / f"{name}.json"
    lock = FileLock(directory / f"{name}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _describe(holder)
        if not wait:
            raise TryLaterError(
                f"another run is at work on the same folders: {who}. "
                "Try again when it is done, or use --wait."
            ) from None
        notice(f"waiting for another run over the same folders: {who}")
        lock.acquire()
    except OSError as error:
        raise StorageError(
            f"cannot lock {directory}: {error.strerror}. Set XINTU_HOME to a local directory."
        ) from error
    try:
        _write(holder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _write(holder: Path) -> None:
    """Leave word of who holds the lock; it is a message to people, nothing depends on it."""
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # a full disk is for those to report who need it
        holder.write_text(json.dumps(who), encoding="utf-8")


def _describe(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just begun"
