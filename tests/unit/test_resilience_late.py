"""A classifier that is put together when the first photo needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.lowlevel
import pytest

from tests.support.classifiers import PaperLocalModel, PaperPhoto
from xintu_cli.errors import ConfigurationError, NoProviderLeftError
from xintu_cli.resilience.compose import Composition
from xintu_cli.resilience.late import Late

pytestmark = pytest.mark.anyio

PHOTO = PaperPhoto()


class Opening:
    """Counts how often it was opened and closed; fails where it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.opened = self.closed = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Composition]:
        self.opened += 1
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        try:
            yield Composition(PaperLocalModel(), ())
        finally:
            self.closed += 1


async def test_nothing_is_opened_where_no_photo_asks() -> None:
    opening = Opening()
    async with Late("qwen", opening) as late:
        assert (late.name, late.states()) == ("qwen", ())
    assert (opening.opened, opening.closed) == (0, 0)


async def test_many_first_photos_open_it_once_and_leaving_closes_it() -> None:
    opening = Opening()
    async with Late("qwen", opening) as late, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(late.classify, PHOTO)
    assert (opening.opened, opening.closed) == (1, 1)


async def test_what_cannot_be_opened_leaves_nobody_to_ask_and_is_tried_once() -> None:
    opening = Opening(ConfigurationError("no such SDK"))
    async with Late("qwen", opening) as late:
        for _ in range(3):
            with pytest.raises(NoProviderLeftError, match="no such SDK") as caught:
                await late.classify(PHOTO)
            assert caught.value.exit_code == 78
    assert (opening.opened, opening.closed) == (1, 0)
