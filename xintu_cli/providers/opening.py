"""Open a provider by its kind; only here are the vendors' modules, and so their SDKs, imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from anyio import CapacityLimiter, to_thread

from xintu_cli.providers.llm import LLMClassifier, Vendor
from xintu_cli.providers.profile import Kind, ProviderProfile
from xintu_cli.taxonomy import Taxonomy

_Opener = Callable[[ProviderProfile], AbstractAsyncContextManager[Vendor]]


@asynccontextmanager
async def open_provider(
    profile: ProviderProfile,
    taxonomy: Taxonomy,
    *,
    concurrency: int,
    encoders: CapacityLimiter | None = None,
) -> AsyncIterator[LLMClassifier]:
    """Open the way to a vendor for up to `concurrency` calls; leaving the block closes it.

    `encoders` limits the threads that encode JPEGs; share it with whatever else decodes.
    """
    # An SDK takes half a second to import: in a thread, where the walk goes on meanwhile.
    opener = await to_thread.run_sync(
        _opener, profile.kind, concurrency, limiter=CapacityLimiter(1)
    )
    async with opener(profile) as vendor:
        yield LLMClassifier(profile, vendor, taxonomy, encoders=encoders)


def _opener(kind: Kind, concurrency: int) -> _Opener:
    match kind:
        case Kind.DASHSCOPE:
            from xintu_cli.providers.dashscope import open_dashscope

            return partial(open_dashscope, concurrency=concurrency)
        case Kind.OPENAI:
            from xintu_cli.providers.openai import open_openai

            return open_openai
        case Kind.ANTHROPIC:
            from xintu_cli.providers.anthropic import open_anthropic

            return open_anthropic
