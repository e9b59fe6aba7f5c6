"""Read a photo's bytes and its stat in one go, so that they belong together.

In: a path the walk found. Out: the bytes and the stat taken by `fstat`, or a `PhotoError` that
says in plain words why not. Everything here blocks: run it in a worker thread.

The file is opened once, without following a symlink at its end (the walk saw a regular file
there) and without waiting (a fifo in its place must not hang the run). A read counts only if
size and times are the same before and after and as many bytes came: a NAS that ends a read
early otherwise gives a valid hash of half a file.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from xintu_cli.errors import (
    ChangedPhotoError,
    PhotoError,
    UnreadablePhotoError,
    VanishedPhotoError,
)
from xintu_cli.imaging.formats import (
    HEAD_BYTES,
    has_image_suffix,
    has_raw_suffix,
    sniff,
    why_not_image,
)
from xintu_cli.records import Photo

# POSIX has all of these but O_BINARY, Windows only that one.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)

_PAUSES_SECONDS = (0.05, 0.25)
"""Before the second and the third try: long enough for a share to collect itself, short enough
that a folder of broken files is through in minutes."""

_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
"""Not there, or a symlink by now: the walk saw a regular file at this path."""

_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM))

_ROOT_GONE = frozenset(
    (
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ENODEV,
        errno.ENXIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    )
)
"""What a share or a disk that went away answers."""


class FileBytes(NamedTuple):
    """A whole file, and the stat it had while it was read (`photo.path` is the path asked)."""

    photo: Photo
    data: bytes


_Read = Callable[[int, os.stat_result], FileBytes | None]


def read_photo(
    path: bytes, *, size_limit_bytes: int, follow_symlinks: bool = False
) -> FileBytes | None:
    """Read a file if it is a photo; None if neither its name nor its content is an image's.

    Where the name promises nothing, only the head is read before the content has decided.
    Raises `VanishedPhotoError` (gone, or no regular file any more), `ChangedPhotoError`
    (written to, or cut short, at three tries) or `UnreadablePhotoError` (larger than the limit,
    of which nothing is read; permission denied; I/O errors at three tries; an image suffix on
    an empty file or on other content).
    """
    promised = has_image_suffix(path)
    if not promised and has_raw_suffix(path):
        return None

    def read(descriptor: int, before: os.stat_result) -> FileBytes | None:
        head = b""
        if not promised:
            head = os.read(descriptor, HEAD_BYTES)
            if sniff(head) is None:
                return None
        file = _read_rest(path, descriptor, before, head, size_limit_bytes)
        if sniff(file.data[:HEAD_BYTES]) is None:
            raise UnreadablePhotoError(why_not_image(file.data[:256]))
        return file

    return _retrying(path, read, follow_symlinks=follow_symlinks)


def _retrying(path: bytes, read: _Read, *, follow_symlinks: bool) -> FileBytes | None:
    """Open and read, at most three times where a later try may succeed."""
    for pause in (*_PAUSES_SECONDS, None):
        try:
            return _read_once(path, read, follow_symlinks=follow_symlinks)
        except OSError as error:
            final = error.errno in _GONE or error.errno in _FORBIDDEN
            if final or pause is None:
                raise _translated(error) from error
        except ChangedPhotoError:
            if pause is None:
                raise
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _read_once(path: bytes, read: _Read, *, follow_symlinks: bool) -> FileBytes | None:
    descriptor = os.open(path, _FLAGS if follow_symlinks else _FLAGS | _NO_FOLLOW)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise VanishedPhotoError("no regular file any more")
        return read(descriptor, before)
    finally:
        os.close(descriptor)


def _read_rest(
    path: bytes, descriptor: int, before: os.stat_result, head: bytes, size_limit_bytes: int
) -> FileBytes:
    size = before.st_size
    if size > size_limit_bytes:
        raise UnreadablePhotoError(
            f"larger than the limit of {_megabytes(size_limit_bytes)} ({_megabytes(size)})",
            lasting=False,
        )
    # One byte more than there should be: a single read sees both the end and a file that grew.
    data = os.read(descriptor, size + 1 - len(head))
    if head:
        data = head + data
    while len(data) < size:
        more = os.read(descriptor, size + 1 - len(data))
        if not more:
            break
        data += more
    after = os.fstat(descriptor)
    if (
        len(data) != size
        or after.st_size != size
        or after.st_mtime_ns != before.st_mtime_ns
        or after.st_ctime_ns != before.st_ctime_ns
    ):
        raise ChangedPhotoError("changed while reading")
    return FileBytes(Photo(path, size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino), data)


def _translated(error: OSError) -> PhotoError:
    if error.errno in _GONE:
        return VanishedPhotoError("vanished before it was read")
    if error.errno in _FORBIDDEN:
        return UnreadablePhotoError("permission denied", lasting=False)
    reason = f"I/O error: {error.strerror or error}"
    return UnreadablePhotoError(reason, lasting=False, root_gone=error.errno in _ROOT_GONE)


def _megabytes(size_bytes: int) -> str:
    """Say a size in the megabytes of `max_file_mb`, which are 1024 times 1024."""
    return f"{size_bytes / 1024**2:,.0f} MB"
