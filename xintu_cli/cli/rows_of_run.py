"""The file of `classify --output`: written when the run is over, as long as nobody says stop."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import anyio

from xintu_cli.cli.exits import say
from xintu_cli.cli.session import Session
from xintu_cli.errors import XintuError
from xintu_cli.jobs.signals import SignalWatch
from xintu_cli.records import RunSummary
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.export import ExportFormat
from xintu_cli.reporting.outputs import Target

_INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a run writes its rows of, and where to."""

    session: Session
    roots: tuple[bytes, ...]
    target: Target
    format_: ExportFormat

    def written(
        self, summary: RunSummary, signals: SignalWatch
    ) -> tuple[RunSummary, XintuError | None]:
        """Write them; where that fails or is stopped the summary says so, and is written too.

        A run that was interrupted had its grace: its rows have as long once more, no longer,
        and none after a second signal. Rows that are not whole leave the old file as it was.
        """
        patience = float("inf")
        if summary.status == _INTERRUPTED:
            seconds = self.session.workspace.settings.grace_seconds
            patience = 0.0 if signals.insisted else seconds
        try:
            number = anyio.run(self._write, signals, patience) if patience else 0
        except XintuError as error:
            return replace(summary, status="failed", exit_code=int(error.exit_code)), error
        if number is None:
            return summary, None
        name = display_text(os.fsencode(self.target))
        say(f"no rows were written to {name}: interrupted. The answers are stored: xintu export.")
        if number and summary.status != _INTERRUPTED:
            summary = replace(summary, status=_INTERRUPTED, exit_code=128 + number)
        return summary, None

    async def _write(self, signals: SignalWatch, patience: float) -> int | None:
        """Write the rows; return None when they are written, else the signal (0: the time)."""
        from xintu_cli.cli.rows import write_rows

        number: int | None = 0
        failure: XintuError | None = None

        async def heed(scope: anyio.CancelScope) -> None:
            nonlocal number
            number = await signals.receive()
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.cancel_scope.deadline = anyio.current_time() + patience
            group.start_soon(heed, group.cancel_scope)
            try:
                await write_rows(self.session, self.roots, self.target, self.format_)
                number = None
            except XintuError as error:
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return number
