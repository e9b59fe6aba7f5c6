"""The row of a run: written when it starts, completed when it ends."""

from __future__ import annotations

from xintu_cli.records import RunRow, RunSummary
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import RUN_COLUMNS, RUN_COUNTS
from xintu_cli.storage.script import Script, Statement
from xintu_cli.storage.verbs.claiming import release_all
from xintu_cli.storage.verbs.clock import clock
from xintu_cli.storage.verbs.texts import HOST_LENGTH, storable


def start_run(dialect: Dialect, run: RunRow) -> Script[None]:
    """Write the run's row."""
    now = yield from clock(dialect)
    yield Statement(
        dialect.insert_new("run", ("run_id", "host", "version", "policy", "started_at")),
        (run.run_id, storable(run.host, HOST_LENGTH), run.version, run.policy, now),
    )


def finish_run(dialect: Dialect, summary: RunSummary) -> Script[None]:
    """Complete the run's row with its counts; make one if its start could not be written.

    Claims that it still has it will not use any more.
    """
    yield from release_all(dialect, summary.run_id)
    now = yield from clock(dialect)
    counts = tuple(getattr(summary, count) for count in RUN_COUNTS)
    replaced = (
        *("finished_at", "status", "exit_code"),
        *RUN_COLUMNS,
        *("cost", "currency", "seconds"),
    )
    yield Statement(
        dialect.upsert(
            "run",
            ("run_id", "host", "version", "policy", "started_at", *replaced),
            ("run_id",),
            replace=replaced,
        ),
        (
            *(summary.run_id, "", "", "", now),
            *(now, summary.status, summary.exit_code),
            *counts,
            *(summary.cost, summary.currency, summary.seconds),
        ),
    )
