"""A note in the state of this machine: its cache was away, and until when."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import xxhash


class AbsenceNote:
    """A small file: that a run of this machine found its cache away, and until when. Blocks.

    So a later run knows of absences that it has not seen itself. Where it cannot be written
    it is not: there are disks for which more important things are at stake then.
    """

    def __init__(self, directory: Path, url: str) -> None:
        """Take the directory for such notes, and the cache's URL without its secrets."""
        self._path = directory / f"{xxhash.xxh3_64_hexdigest(url.encode())}.json"
        self._url = url

    def write(self, back_at: str = "") -> None:
        """Note that the cache is away, or that it came back then, by its own clock."""
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(json.dumps({"cache": self._url, "back_at": back_at}), "utf-8")
            draft.replace(self._path)

    def read(self) -> str | None:
        """Return when the cache came back, "" where it was away to the last, None without note."""
        try:
            noted = json.loads(self._path.read_text("utf-8"))["back_at"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        with suppress(ValueError, TypeError):
            datetime.fromisoformat(noted)
            return str(noted)
        return ""

    def remove(self) -> None:
        """Forget an absence that does not matter any more."""
        with suppress(OSError):
            self._path.unlink()
