"""What the doctor looks at of the machine: clock, disk, permissions, terminal, codecs, outputs.

Every check returns its findings and raises nothing; they block.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xintu_cli.errors import ConfigurationError, OutputError, StorageError
from xintu_cli.imaging.codecs import broken_codecs
from xintu_cli.jobs.findings import Finding, broken, ok, warning
from xintu_cli.reporting.doctor_phrases import Found, Mend
from xintu_cli.reporting.escape import shell_word
from xintu_cli.reporting.outputs import check_writable
from xintu_cli.reporting.phrases import Say
from xintu_cli.storage.filesystems import network_file_system

_FIRST_YEAR = 2025
"""No clock is right that says less: this program is younger."""
_STAMP_SECONDS = 2.0
"""FAT stamps files in steps of two seconds; more apart is another clock."""
_SCARCE_BYTES = 500_000_000
_LEAST_BYTES = 20_000_000
"""A cache of 100 000 photos is about 60 MB; below this even SQLite's log may not fit."""
_NARROWEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What stderr writes to, where progress and closing words go."""

    is_terminal: bool
    encoding: str
    columns: int
    kind: str
    """The value of TERM."""


def look_at_clock(
    state: Path, say: Say, clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Compare the machine's clock with sense, and with the stamps that files get."""
    now = clock()
    if time.gmtime(now).tm_year < _FIRST_YEAR:
        said = say(Found.CLOCK_WRONG, day=time.strftime("%Y-%m-%d", time.gmtime(now)))
        yield warning("clock", said, "timedatectl set-ntp true")
        return
    try:
        with tempfile.NamedTemporaryFile(dir=state, prefix=".xintu-") as stamped:
            ahead = Path(stamped.name).stat().st_mtime - now
    except OSError:
        return  # that nothing can be written there is the disk's finding
    if abs(ahead) > _STAMP_SECONDS:
        said = say(Found.STAMPS_APART, state=state, seconds=ahead)
        yield warning("clock", said, say(Mend.FILE_SERVER_CLOCK))
    else:
        yield ok("clock", say(Found.CLOCK))


def look_at_disk(state: Path, say: Say) -> Iterator[Finding]:
    """Look whether the state directory can take what a run writes."""
    try:
        free = shutil.disk_usage(state).free
        with tempfile.NamedTemporaryFile(dir=state, prefix=".xintu-") as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        failed = StorageError(f"cannot write to {state}: {error.strerror}.")
        yield broken("disk", failed, say(Mend.ELSEWHERE))
        return
    left = {"gigabytes": free / 1e9, "state": state}
    if free < _LEAST_BYTES:
        too_little = StorageError(say(Found.FREE_ONLY, **left))
        yield broken("disk", too_little, say(Mend.FREE_SPACE))
    elif free < _SCARCE_BYTES:
        yield warning("disk", say(Found.FREE_ONLY, **left), say(Mend.FREE_SPACE_OR_PRUNE))
    elif kind := network_file_system(state):
        said = say(Found.NETWORK_DISK, state=state, kind=kind)
        yield warning("disk", said, say(Mend.LOCAL_DISK))
    else:
        yield ok("disk", say(Found.FREE, **left))


def look_at_permissions(
    private: Sequence[Path], keys: Sequence[Path], say: Say
) -> Iterator[Finding]:
    """Look who else may read what is private (state, databases, secrets) and the key files."""
    if os.name != "posix":
        return
    closed = 0
    for path in (*private, *keys):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # what is not there is somebody else's finding
        if not mode & (stat.S_IRWXG | stat.S_IRWXO):
            closed += 1
            continue
        said = say(Found.OPEN_TO_OTHERS, path=path, mode=stat.S_IMODE(mode))
        word = shell_word(os.fsencode(path))
        mend = f"chmod {'700' if stat.S_ISDIR(mode) else '600'} {word}"
        if path in keys:
            yield broken("permissions", ConfigurationError(said), mend)
        else:
            yield warning("permissions", said, mend)
    if closed == len([path for path in (*private, *keys) if path.exists()]):
        yield ok("permissions", say(Found.CLOSED_TO_OTHERS, n=closed))


def look_at_terminal(terminal: Terminal, say: Say) -> Iterator[Finding]:
    """Look whether names and bars can be shown."""
    unicode = terminal.encoding.lower().replace("-", "") in ("utf8", "utf8sig")
    if not unicode:
        said = say(Found.TERMINAL_ENCODING, encoding=terminal.encoding)
        yield warning("terminal", said, "export LANG=C.UTF-8")
    elif not terminal.is_terminal:
        yield ok("terminal", say(Found.NO_TERMINAL))
    elif terminal.kind in ("", "dumb", "unknown"):
        said = say(Found.DUMB_TERMINAL, kind=terminal.kind or say(Found.NOT_SET))
        yield warning("terminal", said, "export TERM=xterm-256color")
    elif terminal.columns < _NARROWEST:
        said = say(Found.NARROW_TERMINAL, columns=terminal.columns)
        yield warning("terminal", said, say(Mend.WIDEN, columns=_NARROWEST))
    else:
        said = say(Found.TERMINAL, encoding=terminal.encoding, columns=terminal.columns)
        yield ok("terminal", said)


def look_at_codecs(say: Say) -> Iterator[Finding]:
    """Decode a HEIC and an AVIF."""
    missing = broken_codecs()
    for image_format, reason in missing.items():
        said = say(Found.CODEC_BROKEN, name=image_format.name, reason=reason)
        yield warning("codecs", said, "pip install --force-reinstall pillow pillow-heif")
    if not missing:
        yield ok("codecs", say(Found.CODECS))


def look_at_outputs(outputs: Sequence[Path], say: Say) -> Iterator[Finding]:
    """Look whether the outputs that the settings name can be written."""
    for path in outputs:
        try:
            check_writable(path)
        except OutputError as error:
            yield broken("outputs", error)
        else:
            yield ok("outputs", say(Found.OUTPUT, path=path))
