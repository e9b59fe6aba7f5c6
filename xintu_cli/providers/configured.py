"""From settings to providers: which are in use, and the checked profile of each.

In: the `[[provider]]` tables and names of the settings, the environment. Out: profiles, or a
`ConfigurationError` that says what is wrong with which provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from xintu_cli.errors import ConfigurationError
from xintu_cli.providers.catalog import CATALOG, CatalogEntry, default_providers, vendor_of
from xintu_cli.providers.endpoint import checked_base_url, is_loopback
from xintu_cli.providers.keys import find_key
from xintu_cli.providers.profile import Kind, ProviderProfile
from xintu_cli.routing import Policy
from xintu_cli.settings import ProviderConfig


def providers_in_use(
    chosen: Sequence[str | ProviderConfig], environ: Mapping[str, str], *, wanted: bool
) -> list[ProviderConfig]:
    """Return the providers in failover order: the chosen ones, else those with a key.

    `wanted`: the policy asks an LLM. Without that and without a choice there are none,
    whatever keys lie in the environment. Raises `ConfigurationError` for an unknown name.
    """
    if chosen:
        return [_named(choice) if isinstance(choice, str) else choice for choice in chosen]
    if not wanted:
        return []
    return [_default(entry) for entry in default_providers(environ)]


def profile_of(
    config: ProviderConfig, environ: Mapping[str, str], *, max_edge: int, language: str
) -> ProviderProfile:
    """Return the profile of a provider, its address and key checked."""
    vendor = vendor_of(config.kind)
    address = config.base_url
    if not address and config.name == vendor.name:
        address = environ.get(vendor.base_url_variable, "").strip()
    base_url = checked_base_url(
        address or vendor.base_url, provider=config.name, allow_http=config.allow_http
    )
    return ProviderProfile(
        name=config.name,
        kind=Kind(config.kind),
        model=config.model or vendor.model,
        base_url=base_url,
        api_key=find_key(
            provider=config.name,
            environ=environ,
            variable=config.api_key_env or vendor.key_variable,
            file=config.api_key_file,
            # Servers on this machine often want none.
            required=not is_loopback(urlsplit(base_url).hostname or ""),
        ),
        timeout_seconds=config.timeout_seconds,
        max_edge=max_edge,
        language=language,
        api_version=config.api_version,
    )


def nobody_configured(policy: Policy) -> ConfigurationError:
    """Return the error of a policy that has nobody to ask.

    Exit 78, not 69: nothing was tried, and nothing but a change of configuration mends it.
    """
    return ConfigurationError(
        f"the policy {policy} needs a provider, and none is configured. "
        "Set DASHSCOPE_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY, or use --policy local."
    )


def _named(name: str) -> ProviderConfig:
    """Return the vendor's default provider."""
    for entry in CATALOG:
        if name == entry.name:
            return _default(entry)
    known = ", ".join(entry.name for entry in CATALOG)
    raise ConfigurationError(
        f"there is no provider {name!r}: xintu knows {known}. Name one of them, or describe "
        "yours in a [[provider]] table of your configuration."
    )


def _default(entry: CatalogEntry) -> ProviderConfig:
    return ProviderConfig(name=entry.name, kind=entry.kind.value)
