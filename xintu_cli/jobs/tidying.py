"""Tidying: forget index entries of files that are gone, below folders a person has named.

An unmounted disk looks like a folder whose files are all gone. Nothing is paid for again if
its entries are forgotten, but a million files would be hashed anew: so an empty folder that
the index knows files of is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from xintu_cli.interfaces import FileIndex
from xintu_cli.stages.roots import outermost

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many entries were forgotten (or would be), and which roots look unmounted."""

    forgotten: int
    kept_roots: tuple[bytes, ...]


def forget_orphans(index: FileIndex, roots: Sequence[bytes], *, dry_run: bool) -> Tidied:
    """Forget the entries at or below `roots` whose file is not there; blocks.

    A root that is not there itself was named all the same: everything below it is forgotten.
    """
    forgotten = 0
    kept = []
    for root in outermost(roots):
        if _looks_unmounted(root) and index.count_under(root):
            kept.append(root)
            continue
        forgotten += forget_gone(index, root, dry_run=dry_run)
    return Tidied(forgotten, tuple(kept))


def forget_gone(index: FileIndex, root: bytes, *, dry_run: bool = False) -> int:
    """Forget the entries at or below a root whose file is not there; return how many; blocks.

    In batches: the index pages by path, so forgetting on the way is safe.
    """
    gone = (entry.path for entry in index.under(root) if not os.path.lexists(entry.path))
    forgotten = 0
    while batch := list(islice(gone, BATCH)):
        forgotten += len(batch)
        if not dry_run:
            index.forget(batch)
    return forgotten


def _looks_unmounted(root: bytes) -> bool:
    """Tell an empty directory; one that cannot be listed may hold anything."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
