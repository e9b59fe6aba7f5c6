"""Which runs of this machine are alive: each holds a lock on a file of its own while it lasts.

The lock is the kernel's (filelock's flock): however a run ends, it is gone with the process, and
a process that is only stopped keeps it. So a file that nobody holds is a dead run's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import xxhash
from filelock import FileLock, Timeout

from xintu_cli.errors import StorageError

_OTHERS_SECONDS = 5.0
"""How long the file is tried for where another run has just taken it for a dead one's."""


class LivingRuns:
    """The runs of this machine that claim photos in one cache."""

    def __init__(self, directory: Path, cache_id: str) -> None:
        self._directory = directory
        # What a cache says of itself goes into no path.
        self._prefix = f"run-{xxhash.xxh3_64_hexdigest(cache_id.encode())}-"

    @contextmanager
    def joined(self, run_id: str, *, may_have_claims: Callable[[], bool]) -> Iterator[None]:
        """Be among the living until the block is left.

        Where the run `may_have_claims` then all the same, its file is left to be found. Raises
        `StorageError`.
        """
        path = self._path(run_id)
        lock = FileLock(path, mode=0o600)
        try:
            lock.acquire(timeout=_OTHERS_SECONDS)
        except Timeout:
            pass  # Nobody will know when it dies: its claims will run out.
        except OSError as error:
            raise StorageError(
                f"cannot lock {path}: {error.strerror}. Set XINTU_HOME to a local directory."
            ) from error
        try:
            yield
        finally:
            if not may_have_claims():
                _remove(path)
            lock.release()

    @contextmanager
    def dead(self) -> Iterator[list[str]]:
        """Give the runs that died, to this run alone; they are forgotten if the block ends well."""
        with ExitStack() as held:
            found = []
            for path in sorted(self._directory.glob(f"{self._prefix}*.lock")):
                lock = FileLock(path, mode=0o600)
                with suppress(Timeout, OSError):
                    lock.acquire(timeout=0)
                    held.callback(lock.release)
                    found.append(path)
            yield [path.stem.removeprefix(self._prefix) for path in found]
            for path in found:
                _remove(path)

    def _path(self, run_id: str) -> Path:
        return self._directory / f"{self._prefix}{run_id}.lock"


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows removes no file that is open
        path.unlink()
