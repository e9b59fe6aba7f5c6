"""What `xintu report` does around the job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio

from xintu_cli.bootstrap import open_local, open_shared, read_rules, walk_rules
from xintu_cli.cli.exits import say
from xintu_cli.cli.progress import shown_progress
from xintu_cli.cli.session import Session
from xintu_cli.cli.unread import tell_of_unread
from xintu_cli.errors import ExitCode, UsageError
from xintu_cli.jobs.export import Sources
from xintu_cli.jobs.report import write_report
from xintu_cli.locations import expand_home
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.outputs import Target, check_writable
from xintu_cli.reporting.phrases import Phrase, speaker
from xintu_cli.reporting.run_facts import RunFacts
from xintu_cli.stages.roots import absolute_roots
from xintu_cli.stages.walk import WalkPlan
from xintu_cli.storage.urls import masked


def report_paths(session: Session, paths: Sequence[Path], output: Path) -> ExitCode:
    """Write the page about the photos below `paths`; return the exit code."""
    workspace, tell = session.workspace, speaker(session.language)
    target = _page(output)
    check_writable(target)
    roots = absolute_roots(paths)
    facts = RunFacts(
        roots=tuple(os.fsencode(path) for path in paths),
        taxonomy=workspace.taxonomy,
        cache_url=masked(workspace.cache_url),
        language=session.language,
    )

    plan = WalkPlan(roots, walk_rules(workspace))

    async def run() -> int:
        with shown_progress(session, tell(Deed.THUMBNAILS)) as advance:
            async with open_shared(workspace) as cache:
                with open_local(workspace) as index:
                    sources = Sources(
                        index=index,
                        cache=cache,
                        taxonomy=workspace.taxonomy,
                        reading=read_rules(workspace.settings),
                        language=session.language,
                    )
                    return await write_report(plan, sources, facts, target, advance=advance)

    photos = anyio.run(run)
    if not workspace.settings.quiet and target != "-":
        name = display_text(os.fsencode(output))
        say(tell(Deed.PHOTOS_IN, photos=tell(Phrase.PHOTOS, n=photos), name=name))
    return tell_of_unread(plan.report, tell)


def _page(output: Path) -> Target:
    """Refuse the suffixes of an export: whoever types one wants the other command."""
    if str(output) == "-":
        return "-"
    if output.suffix.lower() not in (".html", ".htm"):
        name = display_text(os.fsencode(output))
        raise UsageError(
            f"cannot write a report to {name}: a report is a page, its name ends in .html. "
            "For .csv, .json or .jsonl use `xintu export`."
        )
    return expand_home(output)
