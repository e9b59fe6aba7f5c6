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
from xintu_cli.reporting.escape import shell_word
from xintu_cli.reporting.outputs import check_writable
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


def look_at_clock(state: Path, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Compare the machine's clock with sense, and with the stamps that files get."""
    now = clock()
    if time.gmtime(now).tm_year < _FIRST_YEAR:
        said = f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}"
        yield warning("clock", said, "timedatectl set-ntp true")
        return
    try:
        with tempfile.NamedTemporaryFile(dir=state, prefix=".xintu-") as stamped:
            ahead = Path(stamped.name).stat().st_mtime - now
    except OSError:
        return  # that nothing can be written there is the disk's finding
    if abs(ahead) > _STAMP_SECONDS:
        said = (
            f"{state} stamps files {ahead:+.0f} s apart from the clock: unchanged ones are reread"
        )
        yield warning("clock", said, "timedatectl set-ntp true  (here and on the file server)")
    else:
        yield ok("clock", "agrees with the stamps of new files")


def look_at_disk(state: Path) -> Iterator[Finding]:
    """Look whether the state directory can take what a run writes."""
    try:
        free = shutil.disk_usage(state).free
        with tempfile.NamedTemporaryFile(dir=state, prefix=".xintu-") as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        failed = StorageError(f"cannot write to {state}: {error.strerror}.")
        yield broken("disk", failed, "export XINTU_HOME=DIRECTORY  (one that you can write)")
        return
    left = f"{free / 1e9:,.1f} GB free for {state}"
    if free < _LEAST_BYTES:
        yield broken("disk", StorageError(f"only {left}."), "free some space there")
    elif free < _SCARCE_BYTES:
        yield warning("disk", f"only {left}", "free some space, or xintu cache prune")
    elif kind := network_file_system(state):
        said = f"{state} is on a network file system ({kind})"
        yield warning("disk", said, "export XINTU_HOME=DIRECTORY  (on a local disk)")
    else:
        yield ok("disk", left)


def look_at_permissions(private: Sequence[Path], keys: Sequence[Path]) -> Iterator[Finding]:
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
        said = f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})"
        word = shell_word(os.fsencode(path))
        mend = f"chmod {'700' if stat.S_ISDIR(mode) else '600'} {word}"
        if path in keys:
            yield broken("permissions", ConfigurationError(said), mend)
        else:
            yield warning("permissions", said, mend)
    if closed == len([path for path in (*private, *keys) if path.exists()]):
        yield ok("permissions", f"{closed} private files and folders, closed to others")


def look_at_terminal(terminal: Terminal) -> Iterator[Finding]:
    """Look whether names and bars can be shown."""
    unicode = terminal.encoding.lower().replace("-", "") in ("utf8", "utf8sig")
    if not unicode:
        said = f"writes {terminal.encoding}: Chinese names are shown as escapes"
        yield warning("terminal", said, "export LANG=C.UTF-8")
    elif not terminal.is_terminal:
        yield ok("terminal", "none: progress is a plain line now and then")
    elif terminal.kind in ("", "dumb", "unknown"):
        said = f"TERM is {terminal.kind or 'not set'}: progress is a plain line now and then"
        yield warning("terminal", said, "export TERM=xterm-256color")
    elif terminal.columns < _NARROWEST:
        said = f"{terminal.columns} columns: names are cut"
        yield warning("terminal", said, f"make it {_NARROWEST} columns or wider")
    else:
        yield ok("terminal", f"{terminal.encoding}, {terminal.columns} columns")


def look_at_codecs() -> Iterator[Finding]:
    """Decode a HEIC and an AVIF."""
    missing = broken_codecs()
    for image_format, reason in missing.items():
        said = f"cannot read {image_format.name}: {reason}"
        yield warning("codecs", said, "pip install --force-reinstall pillow pillow-heif")
    if not missing:
        yield ok("codecs", "HEIC and AVIF can be read")


def look_at_outputs(outputs: Sequence[Path]) -> Iterator[Finding]:
    """Look whether the outputs that the settings name can be written."""
    for path in outputs:
        try:
            check_writable(path)
        except OutputError as error:
            yield broken("outputs", error)
        else:
            yield ok("outputs", f"{path} can be written")
