"""Read and hash files that the index does not vouch for, in threads, patiently.

In: walked photos. Out: index entries, in one or more parts. A file that does not answer is
set aside after a second, so that the rest goes on in another thread, and given up after
`timeout_seconds`; the thread that hangs in it is never waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from xintu_cli.errors import (
    ChangedPhotoError,
    UnreadablePhotoError,
    VanishedPhotoError,
)
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import FileBytes, read_photo
from xintu_cli.records import FileStatus, IndexEntry, Photo
from xintu_cli.stages.control import LOST_IN_A_ROW, Control
from xintu_cli.taxonomy import HASH_VERSION

SET_ASIDE_SECONDS = 1.0
NEVER = 0
"""A time of hashing that is never trusted: the file is read again by the next run."""


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How a file may be read."""

    size_limit_bytes: int
    follow_symlinks: bool
    timeout_seconds: float


@dataclass(slots=True)
class Reading:
    """What was read: index entries, and files that were gone.

    `answered`: the disk told something of a file. `silent`: the files since then of which it
    told nothing, and why.
    """

    entries: list[IndexEntry] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    answered: bool = False
    silent: list[tuple[bytes, str]] = field(default_factory=list)

    def tell(self, control: Control) -> None:
        """Let the run know how the disk is; many silent files in a row end it."""
        if self.answered:
            control.disk_answered()
        for path, reason in self.silent:
            control.disk_silent(path, reason)


Deliver = Callable[[Reading], Awaitable[None]]


@dataclass(slots=True)
class _Thread:
    """One thread's work, shared with it: it alone writes, but for `released`.

    The lock makes "which photo is at hand" and "is it the last one" one question: else a photo
    that was begun at the very moment of the release would be read, and counted, twice.
    """

    photos: Sequence[Photo]
    lock: threading.Lock = field(default_factory=threading.Lock)
    position: int = 0
    since: float = field(default_factory=time.monotonic)
    released: bool = False
    """The photo at hand is the last one: another thread goes on with the rest."""
    reading: Reading = field(default_factory=Reading)
    finished: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


async def read_promptly(
    photos: Sequence[Photo],
    rules: ReadRules,
    control: Control,
    *,
    aside: TaskGroup,
    deliver: Deliver,
) -> None:
    """Read photos and deliver what was read; slow files are delivered later, from `aside`."""
    rest = photos
    while rest and not control.stopping:
        thread = _Thread(rest)
        aside.start_soon(_run, thread, rules, control)
        if await _finishes(thread):
            await deliver(thread.reading)
            return
        with thread.lock:
            thread.released = True
            done = thread.position
            read = replace(
                thread.reading,
                entries=list(thread.reading.entries),
                vanished=list(thread.reading.vanished),
                silent=list(thread.reading.silent),
            )
        aside.start_soon(_await_slow, thread, read, rules, deliver)
        await deliver(read)
        rest = rest[done + 1 :]


async def read_all(photos: Sequence[Photo], rules: ReadRules, control: Control) -> Reading:
    """Read photos and wait for the slow ones too."""
    whole = Reading()

    async def collect(part: Reading) -> None:
        whole.entries.extend(part.entries)
        whole.vanished.extend(part.vanished)
        part.tell(control)

    async with anyio.create_task_group() as aside:
        await read_promptly(photos, rules, control, aside=aside, deliver=collect)
    return whole


async def read_in_time(path: bytes, rules: ReadRules, control: Control) -> FileBytes | None:
    """Read one photo in a thread; one that a disk does not answer is given up, with its thread.

    Returns and raises what `imaging.reading.read_photo` does.
    """
    read = partial(
        read_photo,
        path,
        size_limit_bytes=rules.size_limit_bytes,
        follow_symlinks=rules.follow_symlinks,
    )
    with anyio.move_on_after(rules.timeout_seconds):
        return await to_thread.run_sync(read, abandon_on_cancel=True, limiter=control.reading)
    raise UnreadablePhotoError(_no_answer(rules), lasting=False, root_gone=True)


def _no_answer(rules: ReadRules) -> str:
    return f"no answer from the disk for {rules.timeout_seconds:g} s"


async def _finishes(thread: _Thread) -> bool:
    """Wait for a thread as long as it gets on with its files."""
    while not thread.finished.is_set():
        with anyio.move_on_after(SET_ASIDE_SECONDS):
            await thread.finished.wait()
        if time.monotonic() - thread.since > SET_ASIDE_SECONDS and not thread.finished.is_set():
            return False
    return True


async def _run(thread: _Thread, rules: ReadRules, control: Control) -> None:
    with thread.scope:
        await to_thread.run_sync(
            partial(_read, thread, rules), abandon_on_cancel=True, limiter=control.reading
        )
        thread.finished.set()


async def _await_slow(thread: _Thread, before: Reading, rules: ReadRules, deliver: Deliver) -> None:
    """Deliver the one file a thread still hangs in, or give it up."""
    stuck = thread.photos[thread.position]
    with anyio.move_on_after(max(0.0, rules.timeout_seconds - SET_ASIDE_SECONDS)):
        await thread.finished.wait()
    if thread.finished.is_set():
        entries = thread.reading.entries[len(before.entries) :]
        vanished = thread.reading.vanished[len(before.vanished) :]
        silent = thread.reading.silent
        await deliver(Reading(entries, vanished, not silent, silent[len(before.silent) :]))
        return
    thread.scope.cancel()
    reason = _no_answer(rules)
    entry = new_entry(stuck, FileStatus.UNREADABLE, reason, hashed_at_ns=NEVER)
    await deliver(Reading([entry], silent=[(stuck.path, reason)]))


def _read(thread: _Thread, rules: ReadRules) -> None:
    """Read and hash files one by one; blocks."""
    reading = thread.reading
    for position, photo in enumerate(thread.photos):
        with thread.lock:
            if thread.released:
                return
            thread.position = position
        thread.since = time.monotonic()
        try:
            reading.entries.append(_entry_of(photo, rules))
        except VanishedPhotoError:
            reading.vanished.append(photo.path)
        except ChangedPhotoError as error:
            reading.entries.append(
                new_entry(photo, FileStatus.UNREADABLE, str(error), hashed_at_ns=NEVER)
            )
        except UnreadablePhotoError as error:
            if error.root_gone:
                reading.silent.append((photo.path, str(error)))
            stamp = time.time_ns() if error.lasting else NEVER
            reading.entries.append(
                new_entry(photo, FileStatus.UNREADABLE, str(error), hashed_at_ns=stamp)
            )
            if len(reading.silent) == LOST_IN_A_ROW:
                return
            if error.root_gone:
                continue
        reading.answered = True
        reading.silent.clear()


def _entry_of(photo: Photo, rules: ReadRules) -> IndexEntry:
    file = read_photo(
        photo.path,
        size_limit_bytes=rules.size_limit_bytes,
        follow_symlinks=rules.follow_symlinks,
    )
    if file is None:
        return new_entry(photo, FileStatus.NOT_PHOTO, hashed_at_ns=time.time_ns())
    return new_entry(
        file.photo,
        FileStatus.PHOTO,
        image_hash=image_hash(file.data),
        hashed_at_ns=time.time_ns(),
    )


def new_entry(
    photo: Photo, status: FileStatus, reason: str = "", *, image_hash: str = "", hashed_at_ns: int
) -> IndexEntry:
    """Make an index entry of a file that was just read (or could not be)."""
    return IndexEntry(*photo, image_hash, HASH_VERSION, hashed_at_ns, status, reason)
