"""Walk the roots: directories in, batches of files with their `lstat` out.

A file is found once: a directory is entered once whatever roots and links lead to it, files
given by name come first, and links are followed last, if at all. Nothing is opened here;
content decides later.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter

from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream

from xintu_cli.errors import StorageError
from xintu_cli.outcomes import Failed, Outcome
from xintu_cli.records import Photo
from xintu_cli.stages.control import Control
from xintu_cli.stages.patterns import Patterns
from xintu_cli.stages.roots import inside

BATCH = 2_048
"""Most files of a batch. Each costs some ten turns of the loop and hops to threads: with 512, an
unchanged rescan took 5 % longer."""
_BATCH_SECONDS = 0.1
"""On a slow disk a batch is what was found in this time: its first photo should not wait."""
_LISTED_AT_ONCE = 4_096
_STAT_AT_ONCE = 512

SYSTEM_NAMES = frozenset(
    name.encode()
    for name in (
        "@eaDir",
        "@Recycle",
        "@Recently-Snapshot",
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        "__MACOSX",
        "Thumbs.db",
        "desktop.ini",
        "node_modules",
    )
)
"""What NAS boxes, desktops and archives leave beside people's photos."""

MOST_LINKS = 5
"""Links that were not followed, as a run names them."""
_GONE = {errno.ENOENT, errno.ENOTDIR}
_ROOT_LOST = {errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENODEV, errno.ETIMEDOUT}


Identity = tuple[int, int]
"""Device and inode of a directory or file."""


@dataclass(frozen=True, slots=True)
class WalkRules:
    """What the walk leaves out. Globs are gitignore patterns, relative to their root."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    hidden: bool = False
    own_paths: tuple[bytes, ...] = ()
    """Absolute paths of the program's own state and outputs."""


@dataclass(slots=True)
class WalkReport:
    """What the walk learns besides files; complete when `walk_files` is exhausted."""

    found: int = 0
    """Files found so far."""
    problems: list[tuple[bytes, str]] = field(default_factory=list)
    """Directories that could not be read; drained by the stage as it goes."""
    found_in: dict[bytes, int] = field(default_factory=dict)
    """Root to number of files found below it."""
    shared: set[bytes] = field(default_factory=set)
    """Roots below which something had been found already, by way of another root."""
    roots: dict[bytes, Identity] = field(default_factory=dict)
    """Root to the directory it was when the walk began there."""
    unreadable: int = 0
    """Directories that could not be read, in all."""
    links: list[bytes] = field(default_factory=list)
    """Symbolic links that were not followed, the first few of them."""
    links_total: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """Where to walk, what to leave out, and where to say how it went."""

    roots: Sequence[bytes]
    rules: WalkRules
    report: WalkReport = field(default_factory=WalkReport)


def walk_files(
    roots: Sequence[bytes], rules: WalkRules, report: WalkReport
) -> Iterator[list[Photo]]:
    """Yield batches of at most `BATCH` files; blocks. Flat memory in files, a set of directories.

    An unreadable directory is a problem and its siblings go on; a root that is lost in
    mid-walk (stale NAS) raises `StorageError`.
    """
    batch: list[Photo] = []
    due = time.monotonic() + _BATCH_SECONDS
    for photos in _Walker(rules, report).files(roots):
        report.found += len(photos)
        batch += photos
        while len(batch) >= BATCH or (batch and time.monotonic() > due):
            yield batch[:BATCH]
            del batch[:BATCH]
            due = time.monotonic() + _BATCH_SECONDS
    if batch:
        yield batch
    report.complete = True


async def walk(
    found: MemoryObjectSendStream[list[Photo]],
    outcomes: MemoryObjectSendStream[Outcome],
    *,
    plan: WalkPlan,
    control: Control,
) -> None:
    """Send the files of all roots in batches, until done or told to stop taking."""
    batches = walk_files(plan.roots, plan.rules, plan.report)
    async with found, outcomes:
        while not control.stopping:
            async with control.turn():
                # Abandoned when the run is: a dead share must not keep a person from leaving.
                batch = await to_thread.run_sync(
                    partial(next, batches, None), abandon_on_cancel=True, limiter=control.disk
                )
            while plan.report.problems:
                path, reason = plan.report.problems.pop()
                await outcomes.send(Failed(path, reason, is_directory=True))
            if batch is None:
                break
            await found.send(batch)


class _Walker:
    """One walk's state: the directories entered, and the patterns."""

    def __init__(self, rules: WalkRules, report: WalkReport) -> None:
        self._rules = rules
        self._report = report
        self._entered: set[Identity] = set()
        self._own: set[Identity] = set()
        self._passed_over = set(rules.own_paths)
        # Resolved: a root that is a link leads to a named file by another path.
        self._named: set[bytes] = set()
        # One look at a name tells whether it needs a second one.
        self._special = set(SYSTEM_NAMES)
        self._links: deque[tuple[bytes, bytes]] = deque()
        self._patterns = Patterns(rules.include, rules.exclude)

    def files(self, roots: Sequence[bytes]) -> Iterator[list[Photo]]:
        """Yield files given by name first, then those below the directories, then linked ones.

        In lists of whatever size comes, so that a file costs no resumed generator.
        """
        # By identity too: a link may lead into the state directory by another name.
        self._own = {identity for path in self._passed_over if (identity := _identity(path))}
        directories = []
        for root in roots:
            try:
                status = os.stat(root)
            except OSError as error:
                raise _lost(root, error.strerror or str(error)) from error
            if stat.S_ISDIR(status.st_mode):
                directories.append(root)
                self._report.roots[root] = (status.st_dev, status.st_ino)
                self._report.found_in[root] = 0
            elif root not in self._passed_over:
                self._passed_over.add(root)
                if (named := os.path.realpath(root)) not in self._named:
                    self._named.add(named)
                    yield [_photo(root, status)]
        self._special |= {os.path.basename(path) for path in self._passed_over}
        for root in directories:
            yield from self._below(root, root)
            refuse_lost_root(root, self._report)
        yield from self._behind_links()

    def _below(self, directory: bytes, root: bytes) -> Iterator[list[Photo]]:
        """Yield the files below a directory, depth first, in name order."""
        pending = [directory]
        while pending:
            subdirectories: list[bytes] = []
            for photos in self._directly_in(pending.pop(), root, subdirectories):
                self._report.found_in[root] += len(photos)
                yield photos
            pending.extend(reversed(subdirectories))

    def _directly_in(
        self, directory: bytes, root: bytes, subdirectories: list[bytes]
    ) -> Iterator[list[Photo]]:
        """Yield a directory's files and collect its subdirectories.

        The loop is written out for speed: a file costs 3 µs here, of which the kernel takes
        two; a function call a file would double what is ours.
        """
        prefix = len(inside(root))
        special = self._special
        patterns = bool(self._patterns)
        for entries in self._listing(directory, root):
            photos: list[Photo] = []
            for entry in entries:
                name = entry.name
                if (name in special or name.startswith(b".")) and self._is_left_out(entry, root):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        if not patterns or self._patterns.want(entry.path, prefix):
                            photos.append(_photo(entry.path, entry.stat(follow_symlinks=False)))
                    elif entry.is_dir(follow_symlinks=False):
                        if not patterns or self._patterns.want(entry.path + b"/", prefix):
                            subdirectories.append(entry.path)
                    elif entry.is_symlink():
                        self._note_link(entry.path, root)
                except OSError as error:
                    self._problem(entry.path, error, root)
            yield photos

    def _note_link(self, path: bytes, root: bytes) -> None:
        """Keep a link for later, or for a word about it; where it leads is not looked at."""
        if self._rules.follow_symlinks:
            self._links.append((path, root))
        elif self._patterns.want(path, len(inside(root))):
            self._report.links_total += 1
            if len(self._report.links) < MOST_LINKS:
                self._report.links.append(path)

    def _is_left_out(self, entry: os.DirEntry[bytes], root: bytes) -> bool:
        """Tell whether a name that looks special is one to pass over."""
        if self._named and os.path.realpath(entry.path) in self._named:
            self._report.shared.add(root)
            return True
        hidden = entry.name.startswith(b".") or entry.name in SYSTEM_NAMES
        return (hidden and not self._rules.hidden) or entry.path in self._passed_over

    def _behind_links(self) -> Iterator[list[Photo]]:
        """Yield what links alone lead to: below directories first, then single files."""
        files: list[tuple[bytes, bytes, os.stat_result]] = []
        while self._links:
            path, root = self._links.popleft()
            try:
                status = os.stat(path)
            except OSError:
                continue  # it leads nowhere, or to itself
            prefix = len(inside(root))
            if stat.S_ISDIR(status.st_mode) and self._patterns.want(path + b"/", prefix):
                yield from self._below(path, root)
            elif stat.S_ISREG(status.st_mode) and self._patterns.want(path, prefix):
                files.append((path, root, status))
        linked: set[Identity] = set()
        for path, root, status in files:
            identity = (status.st_dev, status.st_ino)
            if identity not in linked and not self._is_found_anyway(os.path.realpath(path)):
                linked.add(identity)
                self._report.found_in[root] += 1
                yield [_photo(path, status)]

    def _is_found_anyway(self, target: bytes) -> bool:
        """Tell whether a link's target is a file of its own: named, or where the walk has been."""
        directory = _identity(os.path.dirname(target))
        known = target in self._passed_over or target in self._named
        return known or directory in self._entered or directory in self._own

    def _listing(self, directory: bytes, root: bytes) -> Iterator[list[os.DirEntry[bytes]]]:
        """Yield a directory's entries in name order, if it is new to the walk.

        Sorted in slices: a directory may hold a million files.
        """
        try:
            status = os.stat(directory)
            identity = (status.st_dev, status.st_ino)
            if identity in self._entered:
                self._report.shared.add(root)
                return
            if identity in self._own and directory != root:
                return
            self._entered.add(identity)
            with os.scandir(directory) as entries:
                while chunk := list(islice(entries, _LISTED_AT_ONCE)):
                    chunk.sort(key=attrgetter("name"))
                    for start in range(0, len(chunk), _STAT_AT_ONCE):
                        yield chunk[start : start + _STAT_AT_ONCE]
        except OSError as error:
            self._problem(directory, error, root)

    def _problem(self, path: bytes, error: OSError, root: bytes) -> None:
        """Note a directory that cannot be read; raise where it is the whole root that is gone."""
        if path == root or (error.errno in _ROOT_LOST and not _can_be_listed(root)):
            raise _lost(path, error.strerror or str(error)) from error
        if error.errno not in _GONE:
            self._report.unreadable += 1
            self._report.problems.append((path, f"cannot read the directory: {error.strerror}"))


def left_out_of(root: bytes) -> list[bytes]:
    """Return the names of hidden and system folders right below a root; blocks."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if (entry.name.startswith(b".") or entry.name in SYSTEM_NAMES)
                and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def refuse_lost_root(root: bytes, report: WalkReport) -> None:
    """Raise `StorageError` where a root is not the directory any more that was walked.

    An unmounted disk leaves an empty mount point, in which every file seems to be deleted.
    """
    if _identity(root) != report.roots[root]:
        raise _lost(root, "it went away, or another disk took its place")


def _lost(path: bytes, reason: str) -> StorageError:
    return StorageError(
        f"cannot read {os.fsdecode(path)!r}: {reason}. "
        "What was done is kept; run it again when the disk is back."
    )


def _identity(path: bytes) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _can_be_listed(directory: bytes) -> bool:
    try:
        with os.scandir(directory) as entries:
            next(entries, None)
    except OSError:
        return False
    return True


def _photo(path: bytes, status: os.stat_result) -> Photo:
    return Photo(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
