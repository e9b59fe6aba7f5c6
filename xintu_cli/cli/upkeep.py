"""What `xintu cache prune`, `migrate` and `copy` do around the work, and what they say of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio

from xintu_cli.bootstrap import open_local, open_shared
from xintu_cli.cli.exits import say
from xintu_cli.cli.progress import Advance, shown_progress
from xintu_cli.cli.session import Session
from xintu_cli.errors import UsageError
from xintu_cli.jobs.tidying import Tidied, forget_orphans
from xintu_cli.locations import expand_home
from xintu_cli.reporting.command_phrases import Deed
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.figures import money
from xintu_cli.reporting.phrases import Say, speaker
from xintu_cli.storage.copying import copy_cache, copy_descriptions
from xintu_cli.storage.upkeep import Pruned, PruneRules, TaskLine, prune, read_tasks
from xintu_cli.storage.urls import masked, migrate_cache, open_cache
from xintu_cli.workspace import find_model

_WORDS = (
    ("request_log", Deed.LOG_ROWS),
    ("settlement", Deed.SETTLEMENTS),
    ("claim", Deed.CLAIMS),
    ("refusal", Deed.REFUSALS),
    ("local_answers", Deed.OTHER_MODELS),
    ("task_answers", Deed.TASK_ANSWERS),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `prune` was asked for."""

    paths: tuple[Path, ...]
    log_days: int
    other_models: bool
    task: str | None
    dry_run: bool


def prune_cache(session: Session, wanted: Wanted) -> None:
    """Delete what the options name; say how much of what."""
    workspace = session.workspace
    # Before anything is deleted: the model may not be there.
    local_model = find_model(workspace).fingerprint if wanted.other_models else None

    async def run() -> Pruned:
        async with open_shared(workspace) as cache:
            if wanted.task is not None:
                tasks = await read_tasks(cache)
                _confirm_task(session, tasks, wanted.task, dry_run=wanted.dry_run)
            rules = PruneRules(wanted.log_days, local_model, wanted.task)
            return await prune(cache, rules, dry_run=wanted.dry_run)

    pruned = anyio.run(run)
    tidied = _tidy(session, wanted)
    tell = speaker(session.language)
    for root in tidied.kept_roots:
        say(tell(Deed.ROOT_KEPT, root=display_text(root)))
    if not session.workspace.settings.quiet:
        _tell(pruned, tidied, tell, dry_run=wanted.dry_run)


def _tidy(session: Session, wanted: Wanted) -> Tidied:
    # Not `absolute_roots`: a folder that is gone is what there is to forget.
    roots = [os.path.abspath(os.fsencode(expand_home(path))) for path in wanted.paths]
    if not roots:
        return Tidied(0, ())
    with open_local(session.workspace) as index:
        return forget_orphans(index, roots, dry_run=wanted.dry_run)


def _tell(pruned: Pruned, tidied: Tidied, tell: Say, *, dry_run: bool) -> None:
    parts = [(getattr(pruned, name), words) for name, words in _WORDS]
    parts.append((tidied.forgotten, Deed.INDEX_ENTRIES))
    some, none = Deed.DELETED, Deed.DELETED_NOTHING
    if dry_run:
        some, none = Deed.WOULD_DELETE, Deed.WOULD_DELETE_NOTHING
    deleted = [tell(some, n=count, what=tell(words)) for count, words in parts if count]
    for line in deleted or [tell(none)]:
        sys.stdout.write(f"{line}\n")


def _confirm_task(session: Session, tasks: list[TaskLine], task: str, *, dry_run: bool) -> None:
    """Refuse a task that is not there, and ask before paid answers go."""
    line = next((line for line in tasks if line.task == task), None)
    if line is None:
        raise UsageError(
            f"the cache has no answers to a task {task!r}. It has: {_listed(tasks, session)}."
        )
    if dry_run or session.workspace.settings.yes:
        return
    what = f"Delete all {_described(line, session)}?"
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{what} Say so with -y: what was paid for would be paid for again.")
    import typer

    if not typer.confirm(what, err=True):
        raise UsageError("nothing was deleted.")


def _listed(tasks: list[TaskLine], session: Session) -> str:
    return "; ".join(_described(line, session) for line in tasks) or "none"


def _described(line: TaskLine, session: Session) -> str:
    text = f"{line.photos:,} answers to {line.task}"
    if line.cost:
        text += f", paid {money(line.cost, line.currency, speaker('en'))}"
    taxonomy = session.workspace.taxonomy
    return f"{text} (your taxonomy {taxonomy.name})" if line.task == taxonomy.task else text


def migrate_schema(session: Session) -> None:
    """Take the cache through the steps it lacks."""
    url = session.workspace.cache_url
    steps = anyio.run(migrate_cache, url)
    tell = speaker(session.language)
    what = tell(Deed.STEPS, n=steps) if steps else tell(Deed.NO_STEPS)
    sys.stdout.write(tell(Deed.SCHEMA, url=display_text(masked(url)), what=what) + "\n")


def copy_answers(session: Session, source: str, target: str) -> None:
    """Copy one cache into another, with progress."""
    if source == target:
        raise UsageError(_SAME.format(url=masked(source)))
    tell = speaker(session.language)
    with shown_progress(session, tell(Deed.COPYING)) as advance:
        done, left_out = anyio.run(_copy, session, source, target, advance)
    if not session.workspace.settings.quiet:
        say(tell(Deed.COPIED, n=done, url=display_text(masked(target))))
    if left_out:
        say(tell(Deed.NOT_COPIED, n=left_out))


async def _copy(session: Session, source: str, target: str, advance: Advance) -> tuple[int, int]:
    left_out: list[int] = []
    workspace = session.workspace
    shares = workspace.settings.share_descriptions or target.startswith("sqlite:")
    async with open_cache(source, must_exist=True) as from_, open_cache(target) as to:
        if from_.cache_id == to.cache_id:
            raise UsageError(_SAME.format(url=from_.url))
        if not shares:
            at_home = f"sqlite:///{workspace.locations.descriptions_file}"
            async with open_cache(at_home) as home:
                await copy_descriptions(from_, home)
        done = await copy_cache(
            from_, to, progress=advance, with_descriptions=shares, left_out=left_out.append
        )
        return done, sum(left_out)


_SAME = "{url} is FROM and TO. Name two caches."
