"""A text stream to people that can neither fail a run nor garble a terminal.

What its encoding cannot write is spelled out. When it breaks (the terminal was closed, the
reader of a pipe has gone, the disk of a log file is full), the run goes on without a word.
"""

from __future__ import annotations

from typing import TextIO

from xintu_cli.reporting.escape import encodable


class LossyStream:
    """The part of a text stream that displays use."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Write and flush; do nothing once the stream has broken."""
        if not self._broken:
            try:
                self._stream.write(encodable(text, self.encoding))
                # Whoever follows a log file should not wait for a full buffer.
                self._stream.flush()
            except OSError:
                self._broken = True
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write has been flushed."""

    def isatty(self) -> bool:
        """Tell whether this is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._stream.fileno()
