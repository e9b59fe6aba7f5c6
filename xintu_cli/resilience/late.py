"""Put a classifier together when the first photo needs it.

An SDK takes half a second to import and a client a while to open: a run that finds every photo
in the cache does without, and any other one walks meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from xintu_cli.errors import ConfigurationError, NoProviderLeftError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Answer, ProviderState
from xintu_cli.resilience.compose import Composition


class Late:
    """A classifier that opens another one on first use; an async context manager.

    It is opened once. Where that fails, nobody is left to ask about any photo.
    """

    def __init__(
        self, name: str, opening: Callable[[], AbstractAsyncContextManager[Composition]]
    ) -> None:
        self.name = name
        self._opening = opening
        self._stack = AsyncExitStack()
        self._once = anyio.Lock()
        self._inner: Composition | None = None
        self._broken: ConfigurationError | None = None

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def classify(self, photo: DecodedPhoto) -> Answer:
        """Answer one photo."""
        inner = self._inner or await self._opened()
        return await inner.classify(photo)

    def states(self) -> Sequence[ProviderState]:
        """Return how every provider is doing now; none before the first photo."""
        return () if self._inner is None else self._inner.states()

    async def _opened(self) -> Composition:
        async with self._once:
            if self._inner is None and self._broken is None:
                try:
                    self._inner = await self._stack.enter_async_context(self._opening())
                except ConfigurationError as error:
                    self._broken = error
        if self._inner is None:
            assert self._broken is not None
            code = self._broken.exit_code
            raise NoProviderLeftError(str(self._broken), exit_code=code) from self._broken
        return self._inner
