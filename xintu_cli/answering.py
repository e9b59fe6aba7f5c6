"""Who answers under a policy: the local model, or providers with it before and behind them.

In: a workspace. Out: one classifier, what of the cache counts as its answer, and what it wants to
be shown.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xintu_cli.errors import ModelFileError
from xintu_cli.interfaces import Classifier, Reporter
from xintu_cli.records import ProviderState
from xintu_cli.reporting import notices
from xintu_cli.reporting.phrases import speaker
from xintu_cli.routing import Acceptance, Policy
from xintu_cli.settings import Settings
from xintu_cli.stages.classify import Encoding
from xintu_cli.stages.control import Control
from xintu_cli.workspace import Workspace, open_local_model

if TYPE_CHECKING:
    from xintu_cli.cloud import Cloud
    from xintu_cli.providers.onnx import OnnxClassifier
    from xintu_cli.resilience.compose import Surroundings

_SENT_BYTES = 4 * 1024 * 1024
"""Under every vendor's limit for one image (Anthropic's 5 MB is the lowest)."""

_CASCADE_THRESHOLD = 0.9
"""How sure a local model must be whose manifest does not say."""

States = Callable[[], Sequence[ProviderState]]
Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers under a policy: `edge` in pixels of the picture that is wanted."""

    classifier: Classifier
    acceptance: Acceptance
    edge: int
    states: States = tuple
    local: OnnxClassifier | None = None
    """The local model, where it may answer."""


def find_providers(workspace: Workspace) -> Cloud | None:
    """Return the providers of a policy that asks an LLM, None where nobody is asked."""
    if not workspace.settings.policy.wants_llm:
        return None
    from xintu_cli.cloud import find_cloud

    return find_cloud(workspace.settings, os.environ)


@asynccontextmanager
async def open_answering(
    workspace: Workspace,
    cloud: Cloud | None,
    around: Callable[[], Surroundings],
    control: Control,
    notice: Notice,
) -> AsyncIterator[Answering]:
    """Open who answers under the run's policy."""
    local = local_model(workspace)
    if cloud is None:
        if isinstance(local, ModelFileError):
            raise local
        await local.verify()
        yield Answering(local, acceptance_of(workspace, local), local.needed_edge, local=local)
        return
    from xintu_cli.cloud import open_cloud, sound_model

    settings = workspace.settings
    usable = await sound_model(local, settings, workspace.taxonomy, notice)
    edge = max(settings.max_edge, usable.needed_edge if usable else 0)
    acceptance = acceptance_of(workspace, usable)
    async with open_cloud(
        cloud,
        settings,
        workspace.taxonomy,
        usable,
        cascade_threshold=acceptance.cascade_threshold,
        surroundings=around(),
        encoders=control.decoding,
    ) as composition:
        stands_in = None if settings.policy is Policy.CLOUD else usable
        yield Answering(composition, acceptance, edge, composition.states, stands_in)


def tell_of_unserved(workspace: Workspace, answering: Answering, reporter: Reporter) -> None:
    """Say which categories of the taxonomy will stay empty as far as the local model goes."""
    if answering.local is None or answering.local.coverage.complete:
        return
    taxonomy, say = workspace.taxonomy, speaker(reporter.language)
    unserved = answering.local.coverage.unserved
    names = ", ".join(taxonomy.display_name(key, reporter.language) for key in unserved)
    hint = say(notices.Notice.TEACH)
    told = say(notices.Notice.UNSERVED, taxonomy=taxonomy.name, names=names, hint=hint)
    reporter.notice(told)


def local_model(workspace: Workspace) -> OnnxClassifier | ModelFileError:
    """Return the local model, not loaded yet, or what is wrong with it."""
    try:
        return open_local_model(workspace)
    except ModelFileError as error:
        return error


def acceptance_of(workspace: Workspace, local: OnnxClassifier | None) -> Acceptance:
    """Say what counts as an answer under the run's policy."""
    settings, taxonomy = workspace.settings, workspace.taxonomy
    threshold = settings.cascade_threshold
    if threshold is None and local is not None:
        threshold = local.cascade_threshold
    if threshold is None:
        threshold = _CASCADE_THRESHOLD
    prompt_version, models = "", frozenset[str]()
    if settings.policy.wants_llm:
        from xintu_cli.cloud import models_in_use
        from xintu_cli.prompt import PROMPT_VERSION

        prompt_version, models = PROMPT_VERSION, models_in_use(settings, os.environ)
    return Acceptance(
        policy=settings.policy,
        categories=taxonomy.keys,
        local_model="" if local is None else local.fingerprint,
        # A network can be so sure that nothing is left of its doubt: 1 means never, all the same.
        cascade_threshold=threshold if threshold < 1 else math.inf,
        keep_local=frozenset(settings.kept_local(taxonomy.keep_local)),
        refresh=settings.refresh,
        prompt_version=prompt_version,
        llm_models=models,
    )


def encoding_of(settings: Settings) -> Encoding | None:
    """Return what is sent of a photo, None where nothing is."""
    return Encoding(settings.max_edge, _SENT_BYTES) if settings.policy.wants_llm else None


def workers_for(settings: Settings, control: Control) -> int:
    """Return how many work side by side: one a call in flight.

    Locally one more than there are cores: it prepares while the others infer.
    """
    return settings.concurrency if settings.policy.wants_llm else control.cores + 1
