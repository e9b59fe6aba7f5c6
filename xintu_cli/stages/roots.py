"""The roots of a run: the files and directories that a person named."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
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
    """Return the roots that lie inside no other one."""
    return tuple(
        root
        for root in roots
        if not any(other != root and root.startswith(inside(other)) for other in roots)
    )


def inside(directory: bytes) -> bytes:
    """Return what every path below a directory begins with."""
    return directory.rstrip(b"/") + b"/"
