"""The file of `--summary`: programs read it on every path, so it is written on every path."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

import typer

from xintu_cli.cli.exits import exit_code_of
from xintu_cli.cli.interrupts import INTERRUPTS
from xintu_cli.errors import OutputError
from xintu_cli.locations import expand_home
from xintu_cli.records import RunSummary
from xintu_cli.reporting.outputs import Target
from xintu_cli.reporting.summary import write_summary
from xintu_cli.tally import Tally


class SummaryFile:
    """Writes a run's summary, an empty one where the run ends before it has any."""

    def __init__(self, named: str) -> None:
        self._target = summary_target(named)
        self._written = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._written:
            return
        if isinstance(error, KeyboardInterrupt):
            self._write_empty("interrupted", INTERRUPTS.exit_code)
        elif error is not None and not isinstance(error, typer.Exit):
            self._write_empty("failed", exit_code_of(error))

    def write(self, summary: RunSummary) -> None:
        """Write it, if one is wanted."""
        if self._target is not None:
            write_summary(summary, self._target)
        self._written = True

    def _write_empty(self, status: str, exit_code: int) -> None:
        with suppress(OutputError, OSError):  # what ended the run counts more
            self.write(Tally("").summary(status, exit_code, 0.0))


def summary_target(named: str) -> Target | None:
    """Return where a summary goes: None where none is wanted."""
    if not named:
        return None
    return "-" if named == "-" else expand_home(named)
