"""Write the rows of an export, for `export` and for `classify --output`."""

from __future__ import annotations

from typing import NamedTuple

from xintu_cli.bootstrap import open_local, open_shared, read_rules, walk_rules
from xintu_cli.cli.progress import Advance, no_progress
from xintu_cli.cli.session import Session
from xintu_cli.jobs.export import Sources, export_rows
from xintu_cli.reporting.export import ExportFormat, open_export
from xintu_cli.reporting.outputs import Target
from xintu_cli.stages.control import Control
from xintu_cli.stages.walk import WalkPlan, WalkReport


class Written(NamedTuple):
    """What was written, and what the walk came upon."""

    rows: int
    report: WalkReport


async def write_rows(
    session: Session,
    roots: tuple[bytes, ...],
    target: Target,
    format_: ExportFormat,
    *,
    keep_missing: bool = False,
    advance: Advance = no_progress,
) -> Written:
    """Write one row per photo below `roots`; say how many there were, and how the walk went.

    `advance(done, total)` counts the rows beside the files that were found so far.
    """
    workspace = session.workspace
    count = 0
    plan = WalkPlan(roots, walk_rules(workspace))
    async with open_shared(workspace) as cache:
        with open_local(workspace) as index, open_export(target, format_) as writer:
            sources = Sources(
                index=index,
                cache=cache,
                taxonomy=workspace.taxonomy,
                reading=read_rules(workspace.settings),
                language=session.language,
                keep_missing=keep_missing,
            )
            async for rows in export_rows(plan, sources, Control()):
                for row in rows:
                    writer.write(row)
                count += len(rows)
                advance(count, max(count, plan.report.found))
    return Written(count, plan.report)
