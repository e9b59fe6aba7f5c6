"""Which runs of this machine are alive: each holds a lock on a file of its own while it lasts.

The lock is the kernel's (filelock's flock): however a run ends, it is gone with the process, and
a process that is only stopped keeps it. So a file that nobody holds is a dead run's, if it was made
under this kernel, or on this machine before it was started anew. Of others (a home directory that
many machines share, a copy of one) nobody can tell.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import xxhash
from filelock import FileLock, Timeout

from xintu_cli.errors import StorageError

_OTHERS_SECONDS = 5.0
"""How long the file is tried for where another run has just taken it for a dead one's."""


_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Linux: the same in all containers of one machine, another one after each start of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is: under which name, under which kernel."""

    host: str
    kernel: str

    @classmethod
    def here(cls) -> Self:
        """Return the place of this process."""
        host = socket.gethostname()
        with suppress(OSError):
            return cls(host, _BOOT_ID.read_text("ascii"))
        return cls(host, host)

    @property
    def words(self) -> tuple[str, str]:
        """Name and kernel, fit for a file's name."""
        return _digest(self.host), _digest(self.kernel)


class LivingRuns:
    """The runs of this machine that claim photos in one cache."""

    def __init__(self, directory: Path, cache_id: str, place: Place | None = None) -> None:
        self._directory = directory
        # What a cache says of itself goes into no path.
        self._cache = _digest(cache_id)
        self._host, self._kernel = (place or Place.here()).words

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
            for path in sorted(self._directory.glob(f"run-{self._cache}-*.lock")):
                if not self._can_tell(path):
                    continue
                lock = FileLock(path, mode=0o600)
                with suppress(Timeout, OSError):
                    lock.acquire(timeout=0)
                    held.callback(lock.release)
                    found.append(path)
            yield [path.stem.rpartition("-")[2] for path in found]
            for path in found:
                _remove(path)

    def _path(self, run_id: str) -> Path:
        name = f"run-{self._cache}-{self._host}-{self._kernel}-{run_id}.lock"
        return self._directory / name

    def _can_tell(self, path: Path) -> bool:
        """Tell whether a lock that nobody holds here is one that nobody holds."""
        words = path.stem.split("-")
        return words[2:3] == [self._host] or words[3:4] == [self._kernel]


def _digest(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode())


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows removes no file that is open
        path.unlink()
