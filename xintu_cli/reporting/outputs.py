"""Output files that are either whole or as they were before.

In: a target (a path, or "-" for stdout) and text. Out: the file, replaced in one step once
all of it is on the disk. Everything the operating system refuses becomes an `OutputError`;
a pipe whose reader has gone stays a `BrokenPipeError`, for the caller to end quietly.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from xintu_cli.errors import OutputError
from xintu_cli.reporting.escape import display_text

Target = Path | Literal["-"]
"""Where output goes: a file, or "-" for stdout."""

_BUFFER_BYTES = 1 << 16
_REMEDIES = {
    errno.ENOSPC: "Free some space there, or name another place.",
    errno.EDQUOT: "Free some space there, or name another place.",
    errno.ENOENT: "Make its directory first, or name another place.",
    errno.ENOTDIR: "Name a file inside a directory.",
}


class Output:
    """A file or stdout, open for UTF-8 text."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        """Write text; return how many characters there were, as file objects do."""
        # Not `with _named_errors`: a million rows pay for it a million times.
        try:
            self._stream.write(text.encode("utf-8"))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _output_error(error, self._name) from error
        return len(text)


@contextmanager
def open_output(target: Target) -> Iterator[Output]:
    """Open `target` for writing; a file is replaced on leaving without an exception.

    Until then, and after any exception, the old file stands as it was and nothing else is
    left in its directory. A new file's mode follows the umask, a replaced one's stays.
    """
    if target == "-":
        with _open_stdout() as output:
            yield output
        return
    name = display_text(os.fsencode(target))
    with _named_errors(name):
        mode = _replaceable_mode(target, name)
        temporary, descriptor = _create_beside(target)
    stream = os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES)
    try:
        yield Output(stream, name)
        with _named_errors(name):
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            stream.flush()
            os.fsync(descriptor)
            stream.close()
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            stream.close()
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def check_writable(target: Target) -> None:
    """Raise the `OutputError` that writing `target` would end with, as far as can be known.

    To be called before a run spends anything. Nothing is left behind.
    """
    if target == "-":
        with _open_stdout():
            return
    name = display_text(os.fsencode(target))
    with _named_errors(name):
        _replaceable_mode(target, name)
        temporary, descriptor = _create_beside(target)
        os.close(descriptor)
        temporary.unlink()


@contextmanager
def _open_stdout() -> Iterator[Output]:
    # There is none, or a closed one, in a process that was started with `>&-`.
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None or stream.closed:
        raise OutputError("cannot write to stdout: it is closed. Name a file with -o.")
    yield Output(stream, "stdout")
    with _named_errors("stdout"):
        stream.flush()


def _replaceable_mode(target: Path, name: str) -> int | None:
    """Return the mode of the file that would be replaced (None: there is none yet)."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        # /dev/stdout, /dev/fd/3 and a shell's >(…) are links to what is no file.
        remedy = "Use - for stdout." if _is_device(target) else "Name the file it points to."
        raise OutputError(f"cannot write {name}: it is a symbolic link. {remedy}")
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"cannot write {name}: it is a directory. Name a file inside it.")
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"cannot write {name}: it is not a regular file. Use - for stdout.")
    # A rename would replace a write-protected file without asking.
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(found.st_mode)


def _is_device(target: Path) -> bool:
    return Path("/dev") in target.absolute().parents


def _create_beside(target: Path) -> tuple[Path, int]:
    """Create an empty file in the target's directory, where a rename is one step."""
    # Not derived from the target's name, which may already have all the 255 bytes there are.
    temporary = target.parent / f".xintu-{secrets.token_hex(8)}.tmp"
    return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)


_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    # Network file systems and Windows refuse to sync a directory; the file's own bytes are
    # on the disk by now, so a crash leaves the old file or the new one, both whole.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error, name) from error


def _output_error(error: OSError, name: str) -> OutputError:
    remedy = _REMEDIES.get(error.errno or 0, "Name a place that you may write to.")
    return OutputError(f"cannot write {name}: {error.strerror or error}. {remedy}")
