"""What the doctor asks the providers: one tiny real question each, of those in use alone.

In: settings and environment. Out: checks to be made, and findings where there is nobody to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from xintu_cli.errors import ConfigurationError
from xintu_cli.jobs.doctor import ProviderCheck
from xintu_cli.jobs.findings import Finding, broken, ok
from xintu_cli.providers.catalog import default_providers
from xintu_cli.providers.configured import nobody_configured, profile_of, providers_in_use
from xintu_cli.providers.opening import open_provider
from xintu_cli.providers.profile import ProviderProfile
from xintu_cli.reporting.doctor_phrases import Found
from xintu_cli.reporting.phrases import Say
from xintu_cli.settings import ProviderConfig, Settings
from xintu_cli.taxonomy import Taxonomy

PATIENCE_SECONDS = 30.0
"""How long a provider may take for its answer, if its own time-out is not shorter."""


def provider_checks(
    settings: Settings,
    taxonomy: Taxonomy,
    environ: Mapping[str, str],
    remembered: str = "",
    *,
    say: Say,
) -> list[ProviderCheck | Finding]:
    """Return a check per provider in use; one without a usable key is a finding already.

    `remembered`: what the user has answered about sending photos, in words.
    """
    wanted = settings.policy.wants_llm
    try:
        configs = providers_in_use(settings.provider, environ, wanted=wanted)
    except ConfigurationError as error:
        return [broken("providers", error, "xintu config show")]
    if configs:
        told = [ok("providers", remembered)] if remembered else []
        return [*told, *(_check(config, settings, taxonomy, environ) for config in configs)]
    if wanted:
        return [broken("providers", nobody_configured(settings.policy))]
    said = say(Found.NO_PROVIDER)
    if unused := [entry.key_variable for entry in default_providers(environ)]:
        said += say(Found.UNUSED_KEYS, names=", ".join(unused))
    return [ok("providers", f"{said}; {remembered}" if remembered else said)]


def _check(
    config: ProviderConfig, settings: Settings, taxonomy: Taxonomy, environ: Mapping[str, str]
) -> ProviderCheck | Finding:
    try:
        profile = profile_of(
            config, environ, max_edge=settings.max_edge, language=settings.lang or "en"
        )
    except ConfigurationError as error:
        return broken(f"provider {config.name}", error)
    return ProviderCheck(config.name, partial(_ask, profile, taxonomy))


async def _ask(profile: ProviderProfile, taxonomy: Taxonomy) -> str:
    hurried = replace(profile, timeout_seconds=min(profile.timeout_seconds, PATIENCE_SECONDS))
    async with open_provider(hurried, taxonomy, concurrency=1) as provider:
        return await provider.check()
