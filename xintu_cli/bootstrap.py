"""The composition root: settings in, concrete parts out.

The only place that knows which implementation stands behind an interface.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xintu_cli import __version__
from xintu_cli.errors import ConfigurationError, ModelFileError, XintuError
from xintu_cli.interfaces import Classifier, Reporter
from xintu_cli.jobs.check import Checked, check
from xintu_cli.jobs.classify import Terms
from xintu_cli.locations import Locations, expand_home
from xintu_cli.pipeline import Parts
from xintu_cli.records import RunRow
from xintu_cli.resources import data_directory
from xintu_cli.routing import Acceptance, Policy
from xintu_cli.settings import Settings
from xintu_cli.stages.classify import Desk, Encoding
from xintu_cli.stages.control import Control
from xintu_cli.stages.feed import ClaimRules
from xintu_cli.stages.lookup import Question, Shelves
from xintu_cli.stages.persist import Store
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, WalkRules
from xintu_cli.storage.backlog import SqliteBacklog
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.urls import masked, open_cache, sqlite_path
from xintu_cli.tally import Tally
from xintu_cli.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from xintu_cli.jobs.doctor import Patient
    from xintu_cli.jobs.evaluate import Examiner
    from xintu_cli.jobs.surroundings import Terminal
    from xintu_cli.providers.manifest import ModelManifest
    from xintu_cli.storage.cache import SqlCache

MEGABYTE = 1024 * 1024
SENT_BYTES = 4 * MEGABYTE
"""Under every vendor's limit for one image (Anthropic's 5 MB is the lowest)."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """What every command stands on: settings, where state lies, what is asked."""

    settings: Settings
    locations: Locations
    taxonomy: Taxonomy

    @property
    def cache_url(self) -> str:
        """The cache's URL: the user's, else the file in the state directory."""
        return self.settings.cache or f"sqlite:///{self.locations.cache_file}"

    @property
    def own_paths(self) -> tuple[bytes, ...]:
        """What a walk must not take for the user's photos."""
        outputs = [p for p in (self.settings.output, self.settings.summary) if p and p != "-"]
        paths = [self.locations.state, *map(expand_home, outputs)]
        if self.cache_url.startswith("sqlite:///"):
            cache = sqlite_path(self.cache_url)
            paths += [cache.with_name(cache.name + end) for end in ("", "-wal", "-shm")]
        return tuple(os.fsencode(os.path.abspath(path)) for path in paths)


def open_workspace(settings: Settings, locations: Locations) -> Workspace:
    """Check what can be checked before anything is opened, and make the state directory."""
    taxonomy = load_taxonomy(settings.taxonomy)
    for key in settings.kept_local(()):
        taxonomy.require(key, purpose="--keep-local")
    workspace = Workspace(settings, locations, taxonomy)
    locations.prepare()
    return workspace


def find_model(workspace: Workspace) -> ModelManifest:
    """Read the manifest of the configured local model: a shipped name, or a directory."""
    (model,) = installed_models(workspace, workspace.settings.model)
    if isinstance(model.manifest, ModelFileError):
        raise model.manifest
    return model.manifest


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A local model's directory, and its manifest or what is wrong with it."""

    name: str
    directory: Path
    manifest: ModelManifest | ModelFileError


def installed_models(workspace: Workspace, name: str | None = None) -> list[InstalledModel]:
    """List the models of this installation and of the user, or the one that `name` names."""
    from xintu_cli.providers.manifest import load_manifest

    if name is not None and ("/" in name or os.sep in name):
        directories = [expand_home(name)]
    else:
        homes = (workspace.locations.models, data_directory("models"))
        found = {d.name: d for home in reversed(homes) if home.is_dir() for d in home.iterdir()}
        directories = [d for key, d in sorted(found.items()) if (d / "model.toml").is_file()]
        if name is not None:
            directories = [d for d in directories if d.name == name]
            if not directories:
                raise _no_such_model(name)
    models = []
    for directory in directories:
        manifest: ModelManifest | ModelFileError
        try:
            manifest = load_manifest(directory)
        except ModelFileError as error:
            manifest = error
        models.append(InstalledModel(directory.name, directory, manifest))
    return models


def _no_such_model(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is no local model {name!r}. `xintu models list` shows what is installed."
    )


@asynccontextmanager
async def open_shared(workspace: Workspace) -> AsyncIterator[SqlCache]:
    """Open the cache the settings name."""
    async with open_cache(workspace.cache_url) as cache:
        yield cache


def open_local(workspace: Workspace) -> SqliteFileIndex:
    """Open this machine's file index; a context manager."""
    return SqliteFileIndex(workspace.locations.index_file)


@asynccontextmanager
async def open_run(
    workspace: Workspace, roots: Sequence[bytes], reporter: Reporter
) -> AsyncIterator[tuple[Parts, Terms]]:
    """Put a run together; what was opened is closed on leaving, in the opposite order."""
    settings, taxonomy = workspace.settings, workspace.taxonomy
    control = Control()
    classifier, acceptance, edge = _classifier(workspace)
    run = RunRow(_new_run_id(), socket.gethostname(), __version__, settings.policy)
    async with open_shared(workspace) as cache:
        with (
            open_local(workspace) as index,
            SqliteBacklog(workspace.locations.state) as backlog,
        ):
            reading = read_rules(settings)
            desk = Desk(
                classifier=classifier,
                index=index,
                backlog=backlog,
                rules=reading,
                edge=edge,
                to_send=_encoding(settings),
                control=control,
            )
            question = Question(taxonomy.task, taxonomy.name, acceptance)
            parts = Parts(
                plan=WalkPlan(roots, walk_rules(workspace)),
                reading=reading,
                shelves=Shelves(cache, backlog, question),
                claims=ClaimRules(run.run_id, run.host, needed=settings.policy.wants_llm),
                desk=desk,
                workers=_workers(settings, control),
                store=Store(
                    cache=cache,
                    index=index,
                    backlog=backlog,
                    spool=LocalSpool(workspace.locations.spool_file, cache.cache_id),
                    run_id=run.run_id,
                    task=taxonomy.task,
                ),
                tally=Tally(run.run_id),
                reporter=reporter,
                control=control,
            )
            if settings.dry_run:
                control.stop_feeding("a dry run asks nobody")
            yield parts, Terms(run, settings.grace_seconds, settings.fallback_ok, settings.dry_run)


@asynccontextmanager
async def open_check(
    workspace: Workspace, roots: Sequence[bytes]
) -> AsyncIterator[AsyncIterator[Sequence[Checked]]]:
    """Open what `cache check` reads."""
    _, acceptance, _ = _classifier(workspace)
    question = Question(workspace.taxonomy.task, workspace.taxonomy.name, acceptance)
    async with open_shared(workspace) as cache:
        with open_local(workspace) as index, SqliteBacklog(workspace.locations.state) as backlog:
            yield check(
                WalkPlan(roots, walk_rules(workspace)),
                index=index,
                shelves=Shelves(cache, backlog, question),
                reading=read_rules(workspace.settings),
                control=Control(),
            )


def read_rules(settings: Settings) -> ReadRules:
    """Return how files may be read."""
    return ReadRules(
        size_limit_bytes=settings.max_file_mb * MEGABYTE,
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


def _classifier(workspace: Workspace) -> tuple[Classifier, Acceptance, int]:
    """Choose who answers under the run's policy, and what counts as an answer.

    The third is the edge, in pixels, of the picture that is wanted.
    """
    from xintu_cli.providers.configured import nobody_configured
    from xintu_cli.providers.onnx import OnnxClassifier

    settings, taxonomy = workspace.settings, workspace.taxonomy
    local = OnnxClassifier(find_model(workspace), taxonomy)
    acceptance = Acceptance(
        policy=settings.policy,
        categories=taxonomy.keys,
        local_model=local.fingerprint,
        keep_local=frozenset(settings.kept_local(taxonomy.keep_local)),
        refresh=settings.refresh,
    )
    if settings.policy is Policy.LOCAL:
        return local, acceptance, local.needed_edge
    raise nobody_configured(settings.policy)


def _encoding(settings: Settings) -> Encoding | None:
    return Encoding(settings.max_edge, SENT_BYTES) if settings.policy.wants_llm else None


def _workers(settings: Settings, control: Control) -> int:
    """Return how many work side by side: one a call in flight.

    Locally one more than there are cores: it prepares while the others infer.
    """
    return settings.concurrency if settings.policy.wants_llm else control.cores + 1


def _new_run_id() -> str:
    """128 random bits: the owner of claims, on whatever machine."""
    return secrets.token_hex(16)


def prepare_patient(
    workspace: Workspace, config_files: Sequence[Path], terminal: Terminal
) -> Patient:
    """Say what the doctor is to look at; what cannot be had is a finding, never an error."""
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
        providers=provider_checks(settings, workspace.taxonomy, os.environ),
        secrets=config_files if masked(settings.cache) != settings.cache else (),
        key_files=[table.api_key_file.expanduser() for table in tables if table.api_key_file],
        outputs=[expand_home(o) for o in (settings.output, settings.summary) if o not in ("", "-")],
    )


@asynccontextmanager
async def open_examiner(workspace: Workspace) -> AsyncIterator[Examiner]:
    """Open whoever answers under the settings' policy, to be asked past the cache."""
    from xintu_cli.jobs.evaluate import Examiner

    settings = workspace.settings
    classifier, _, edge = _classifier(workspace)
    yield Examiner(
        classifier=classifier,
        reading=read_rules(settings),
        edge=edge,
        to_send=_encoding(settings),
        workers=_workers(settings, Control()),
    )
