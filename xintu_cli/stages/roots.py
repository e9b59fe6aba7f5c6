"""The roots of a run: the files and directories that a person named."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from xintu_cli.errors import RootMissingError, StorageError, UsageError
from xintu_cli.locations import expand_home


def absolute_roots(paths: Sequence[Path]) -> tuple[bytes, ...]:
    """Return the roots as absolute paths, each once.

    A link to a file stands for the file, since it was named. Raises `RootMissingError` for
    a path that does not exist, `UsageError` for one that is neither a file nor a directory.
    """
    roots: list[bytes] = []
    for path in paths:
        try:
            root = os.path.abspath(os.fsencode(expand_home(path)))
            mode = os.stat(root).st_mode
            if stat.S_ISREG(mode) and os.path.islink(root):
                root = os.path.realpath(root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RootMissingError(
                f"there is no file or directory {path}. Check the path; is the disk mounted?"
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot read {path}: {error.strerror}. Check the disk and its permissions."
            ) from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UsageError(f"{path} is neither a directory nor a file. Name a folder of photos.")
        roots.append(root)
    return tuple(dict.fromkeys(roots))


def outermost(roots: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the roots that lie inside no other one.

    A shell's `*.jpg` names thousands: each asks for its own few directories, not for all others.
    """
    named = {inside(root) for root in roots}
    return tuple(root for root in roots if not any(map(named.__contains__, _above(root))))


def _above(path: bytes) -> Iterator[bytes]:
    """Yield the directories that an absolute path lies in, as `inside` writes them."""
    end = len(path.rstrip(b"/"))
    while (end := path.rfind(b"/", 0, end)) >= 0:
        yield path[: end + 1]


def inside(directory: bytes) -> bytes:
    """Return what every path below a directory begins with."""
    return directory.rstrip(b"/") + b"/"
