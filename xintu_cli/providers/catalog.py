"""The vendors xintu knows: default names, models, addresses and environment variables.

Models and addresses as of 2026-11-23. A default is a small vision model that is cheap, good at
following a closed list, priced at its default address (or nobody could say `--max-cost` with a
key alone) and not about to be shut down: qwen3.8-flash has no price for Beijing in any source,
gpt-5-nano and gpt-5-mini end on 2026-12-11, gpt-4.1-nano has ended, so none of them is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xintu_cli.providers.profile import Kind


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What is known of a vendor; `name` is that of its default provider."""

    name: str
    kind: Kind
    vendor: str
    model: str
    base_url: str
    key_variable: str
    base_url_variable: str


CATALOG = (
    CatalogEntry(
        name="dashscope",
        kind=Kind.DASHSCOPE,
        vendor="Aliyun DashScope",
        model="qwen3-vl-flash",
        base_url="https://dashscope.aliyuncs.com/api/v1",
        key_variable="DASHSCOPE_API_KEY",
        base_url_variable="DASHSCOPE_HTTP_BASE_URL",
    ),
    CatalogEntry(
        name="openai",
        kind=Kind.OPENAI,
        vendor="OpenAI",
        model="gpt-6-luna",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        base_url_variable="OPENAI_BASE_URL",
    ),
    CatalogEntry(
        name="anthropic",
        kind=Kind.ANTHROPIC,
        vendor="Anthropic",
        model="claude-haiku-5-5",
        base_url="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY",
        base_url_variable="ANTHROPIC_BASE_URL",
    ),
)
"""In failover order."""


def vendor_of(kind: str) -> CatalogEntry:
    """Return what is known of a kind, for providers that leave model or address out."""
    return next(entry for entry in CATALOG if entry.kind == kind)


def default_providers(environ: Mapping[str, str]) -> tuple[CatalogEntry, ...]:
    """Return the providers whose key is in the environment, with their address from there."""
    return tuple(
        replace(entry, base_url=environ.get(entry.base_url_variable, "").strip() or entry.base_url)
        for entry in CATALOG
        if environ.get(entry.key_variable, "").strip()
    )
