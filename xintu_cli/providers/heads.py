"""Which heads this machine has, and which one is in use; adopting one and taking it back.

`heads/<model>/<taxonomy>/` has a directory per head, never changed once it is there, and
`in-use.json`: their names in the order of adoption, the last one in use. Replacing that file
is the one step that adopts or takes back; whatever ends before it has changed nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from xintu_cli.errors import ModelFileError, StorageError
from xintu_cli.providers.head_files import (
    NOTES_NAME,
    HeadNotes,
    KeptHead,
    broken,
    write_head,
)

IN_USE_NAME = "in-use.json"
MOST_KEPT = 5
"""Heads kept to be gone back to, the one in use among them; 200 kB each."""
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class HeadShelf:
    """The heads of one model and one taxonomy."""

    directory: Path

    @classmethod
    def of(cls, home: Path, model: str, taxonomy: str) -> HeadShelf:
        """Return the shelf below `home`; two names never share one."""
        return cls(home / _file_name(model) / _file_name(taxonomy))

    def in_use(self) -> KeptHead | None:
        """Read the head in use; None where there is none. Raises `ModelFileError`."""
        names = self._names()
        return KeptHead.read(self.directory / names[-1]) if names else None

    def kept(self) -> list[KeptHead | ModelFileError]:
        """Read every head, the one in use first, or what is wrong with it."""
        heads: list[KeptHead | ModelFileError] = []
        for name in reversed(self._names()):
            try:
                heads.append(KeptHead.read(self.directory / name))
            except ModelFileError as error:
                heads.append(error)
        return heads

    def adopt(self, notes: HeadNotes, content: bytes) -> KeptHead:
        """Keep a head and use it from now on; the present one is kept behind it."""
        names = self._names()
        notes = replace(notes, sha256=hashlib.sha256(content).hexdigest())
        name = f"{notes.made_at[:10]}-{notes.digest[:12]}"
        directory = self.directory / name
        with self._errors():
            if name not in names:
                shutil.rmtree(directory, ignore_errors=True)  # of a run that was killed
                write_head(directory, notes, content)
            names = [*(other for other in names if other != name), name]
            self._use(names[-MOST_KEPT:])
            for dropped in names[:-MOST_KEPT]:
                shutil.rmtree(self.directory / dropped, ignore_errors=True)
        return KeptHead.read(directory)

    def take_back(self) -> str:
        """Stop using the head in use: the one before it serves, or the model's own.

        Returns the name of what was taken back, "" where there was nothing. A head that
        cannot be read, or a list of them, is taken back as any other.
        """
        try:
            names = self._names()
        except ModelFileError:
            names = [IN_USE_NAME]
        if not names:
            return ""
        with self._errors():
            self._use(names[:-1])
            if names[-1] != IN_USE_NAME:
                shutil.rmtree(self.directory / names[-1], ignore_errors=True)
        return names[-1]

    def _names(self) -> Sequence[str]:
        path = self.directory / IN_USE_NAME
        try:
            names = json.loads(path.read_text(encoding="utf-8"))["heads"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise broken(self.directory, f"{error.strerror}: {path}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise broken(self.directory, f"{IN_USE_NAME} is damaged ({error!r})") from error
        if not isinstance(names, list) or not all(_is_plain(name) for name in names):
            raise broken(self.directory, f"{IN_USE_NAME} is damaged (it names no directories)")
        return names

    def _use(self, names: Sequence[str]) -> None:
        partial = self.directory / f"{IN_USE_NAME}.part"
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"heads": list(names)}) + "\n")
            # Else a power cut may leave the name of a file that is empty: every run would end 78.
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.directory / IN_USE_NAME)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot keep a head in {self.directory}: {error.strerror}. Free some space "
                "there, or set XINTU_HOME to a directory you can write."
            ) from error


def shelves(home: Path) -> list[HeadShelf]:
    """Return every shelf that there is, in the order of their names."""
    return [HeadShelf(path.parent) for path in sorted(home.glob(f"*/*/{IN_USE_NAME}"))]


def _file_name(name: str) -> str:
    """Return a name for a directory, unlike any other name's: letters and digits, and a digest."""
    return f"{_UNSAFE.sub('_', name)[:40]}-{xxhash.xxh3_64_hexdigest(name.encode())[:8]}"


def _is_plain(name: object) -> bool:
    """Tell the name of a directory here: `..` would be taken back with all that is in it."""
    return isinstance(name, str) and Path(name).name == name and name not in ("", "..", NOTES_NAME)
