"""The composition root: settings in, concrete parts out.

With `answering`, `cloud` and `sharing` the only place that knows which implementation stands
behind an interface of a run.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xintu_cli import __version__
from xintu_cli.answering import (
    Notice,
    States,
    acceptance_of,
    encoding_of,
    find_providers,
    local_model,
    open_answering,
    tell_of_unserved,
    workers_for,
)
from xintu_cli.errors import ModelFileError, XintuError
from xintu_cli.interfaces import Reporter
from xintu_cli.jobs.check import Checked, check
from xintu_cli.jobs.classify import Terms
from xintu_cli.locations import expand_home
from xintu_cli.pipeline import Parts
from xintu_cli.records import RunRow
from xintu_cli.resources import data_directory
from xintu_cli.routing import Policy
from xintu_cli.settings import Settings
from xintu_cli.stages.classify import Desk
from xintu_cli.stages.control import Control
from xintu_cli.stages.lookup import Question, Shelves
from xintu_cli.stages.persist import Store
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, WalkRules
from xintu_cli.storage.backlog import SqliteBacklog
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.urls import masked, open_cache
from xintu_cli.tally import Tally
from xintu_cli.workspace import Workspace, find_model

if TYPE_CHECKING:
    from xintu_cli.jobs.doctor import Patient
    from xintu_cli.jobs.evaluate import Examiner
    from xintu_cli.jobs.surroundings import Terminal
    from xintu_cli.providers.manifest import ModelManifest
    from xintu_cli.reporting.phrases import Say
    from xintu_cli.storage.cache import SqlCache

_MEGABYTE = 1024 * 1024


@asynccontextmanager
async def open_shared(workspace: Workspace) -> AsyncIterator[SqlCache]:
    """Open the cache the settings name, descriptions apart where they are not to be shared."""
    async with AsyncExitStack() as stack:
        at_home = None
        if not workspace.settings.share_descriptions:
            url = f"sqlite:///{workspace.locations.descriptions_file}"
            at_home = await stack.enter_async_context(open_cache(url))
        yield await stack.enter_async_context(open_cache(workspace.cache_url, descriptions=at_home))


def open_local(workspace: Workspace) -> SqliteFileIndex:
    """Open this machine's file index; a context manager."""
    return SqliteFileIndex(workspace.locations.index_file)


@asynccontextmanager
async def open_run(
    workspace: Workspace, roots: Sequence[bytes], reporter: Reporter
) -> AsyncIterator[tuple[Parts, Terms, States]]:
    """Put a run together; what was opened is closed on leaving, in the opposite order."""
    from xintu_cli.sharing import share

    settings, taxonomy, control = workspace.settings, workspace.taxonomy, Control()
    run = RunRow(_new_run_id(), socket.gethostname(), __version__, settings.policy)
    async with AsyncExitStack() as stack:
        cloud = find_providers(workspace)
        lease_seconds = cloud.lease_seconds if cloud else 0.0
        sharing = share(run, lease_seconds, workspace, reporter, control)
        answering = await stack.enter_async_context(
            open_answering(workspace, cloud, lambda: sharing.surroundings, control, reporter.notice)
        )
        tell_of_unserved(workspace, answering, reporter)
        opening = sharing.opened(open_shared(workspace), workspace)
        cache = await stack.enter_async_context(opening)
        index = stack.enter_context(open_local(workspace))
        backlog = stack.enter_context(SqliteBacklog(workspace.locations.state))
        reading = read_rules(settings)
        question = Question(taxonomy.task, taxonomy.name, answering.acceptance)
        parts = Parts(
            plan=WalkPlan(roots, walk_rules(workspace)),
            reading=reading,
            shelves=Shelves(cache, backlog, question),
            claims=sharing.claims,
            desk=Desk(
                classifier=answering.classifier,
                index=index,
                backlog=backlog,
                rules=reading,
                edge=answering.edge,
                to_send=encoding_of(settings),
                control=control,
                abandoned=sharing.abandoned,
            ),
            workers=workers_for(settings, control),
            store=Store(
                cache=cache,
                index=index,
                backlog=backlog,
                spool=cache.spool,
                run_id=run.run_id,
                task=taxonomy.task,
                leases=sharing.leases,
                has_claims=sharing.claims.needed,
                is_dry_run=settings.dry_run,
            ),
            tally=Tally(run.run_id, cascade=settings.policy is Policy.CASCADE),
            reporter=reporter,
            control=control,
        )
        if settings.dry_run:
            control.stop_feeding("a dry run asks nobody")
        yield parts, _terms(run, settings), answering.states


@asynccontextmanager
async def open_check(
    workspace: Workspace, plan: WalkPlan
) -> AsyncIterator[AsyncIterator[Sequence[Checked]]]:
    """Open what `cache check` reads."""
    local = local_model(workspace)
    if isinstance(local, ModelFileError) and not workspace.settings.policy.wants_llm:
        raise local
    present = None if isinstance(local, ModelFileError) else local
    question = Question(
        workspace.taxonomy.task, workspace.taxonomy.name, acceptance_of(workspace, present)
    )
    async with open_shared(workspace) as cache:
        with open_local(workspace) as index, SqliteBacklog(workspace.locations.state) as backlog:
            yield check(
                plan,
                index=index,
                shelves=Shelves(cache, backlog, question),
                reading=read_rules(workspace.settings),
                control=Control(),
            )


def _terms(run: RunRow, settings: Settings) -> Terms:
    return Terms(run, settings.grace_seconds, settings.fallback_ok, settings.dry_run)


def read_rules(settings: Settings) -> ReadRules:
    """Return how files may be read."""
    return ReadRules(
        size_limit_bytes=settings.max_file_mb * _MEGABYTE,
        follow_symlinks=settings.follow_symlinks,
        timeout_seconds=settings.file_timeout_seconds,
    )


def walk_rules(workspace: Workspace) -> WalkRules:
    """Return what a walk leaves out."""
    settings = workspace.settings
    return WalkRules(
        include=settings.include,
        exclude=settings.exclude,
        follow_symlinks=settings.follow_symlinks,
        hidden=settings.hidden,
        own_paths=workspace.own_paths,
    )


def _new_run_id() -> str:
    """128 random bits: the owner of claims, on whatever machine."""
    return secrets.token_hex(16)


def prepare_patient(
    workspace: Workspace, config_files: Sequence[Path], terminal: Terminal, say: Say
) -> Patient:
    """Say what the doctor is to look at; what cannot be had is a finding, never an error."""
    from xintu_cli.consent import in_words, read_words
    from xintu_cli.jobs.doctor import Patient
    from xintu_cli.jobs.provider_checks import provider_checks

    model: ModelManifest | XintuError
    try:
        model = find_model(workspace)
    except XintuError as error:
        model = error
    settings = workspace.settings
    tables = [p for p in settings.provider if not isinstance(p, str)]
    return Patient(
        locations=workspace.locations,
        taxonomy=workspace.taxonomy,
        cache_url=workspace.cache_url,
        model=model,
        terminal=terminal,
        own_model=all(settings.model != d.name for d in data_directory("models").iterdir()),
        say=say,
        providers=provider_checks(
            settings,
            workspace.taxonomy,
            os.environ,
            in_words(read_words(workspace.locations.consent_file)),
            say=say,
        ),
        secrets=config_files if masked(settings.cache) != settings.cache else (),
        key_files=[expand_home(table.api_key_file) for table in tables if table.api_key_file],
        outputs=[expand_home(o) for o in (settings.output, settings.summary) if o not in ("", "-")],
    )


@asynccontextmanager
async def open_examiner(
    workspace: Workspace, notice: Notice = lambda _message: None
) -> AsyncIterator[Examiner]:
    """Open whoever answers under the settings' policy, to be asked past the cache."""
    from xintu_cli.jobs.evaluate import Examiner
    from xintu_cli.resilience.compose import Surroundings

    settings = workspace.settings
    control = Control()
    opened = open_answering(workspace, find_providers(workspace), Surroundings, control, notice)
    async with opened as answering:
        yield Examiner(
            classifier=answering.classifier,
            reading=read_rules(settings),
            edge=answering.edge,
            to_send=encoding_of(settings),
            workers=workers_for(settings, control),
        )
