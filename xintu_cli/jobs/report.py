"""Report: one HTML page about the labels below some folders.

In: the rows of an export. Out: the page, written in one step. Classifies nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from anyio import to_thread

from xintu_cli.errors import PhotoError
from xintu_cli.imaging.thumbnail import thumbnail
from xintu_cli.jobs.export import Sources, export_rows
from xintu_cli.reporting.gallery import Gallery
from xintu_cli.reporting.outputs import Target
from xintu_cli.reporting.run_facts import RunFacts
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules, read_in_time
from xintu_cli.stages.walk import WalkPlan

Advance = Callable[[int, int], None]


async def write_report(
    plan: WalkPlan, sources: Sources, facts: RunFacts, target: Target, *, advance: Advance
) -> int:
    """Write the page; `advance(done, total)` counts its pictures. Return how many photos it has."""
    control = Control()
    gallery = Gallery(facts)
    async for rows in export_rows(plan, sources, control):
        for row in rows:
            gallery.add(row)
    pictures = await _pictures(gallery.pictured(), sources.reading, control, advance)
    await to_thread.run_sync(gallery.write, target, pictures.get, limiter=control.disk)
    return gallery.photos


async def _pictures(
    paths: Sequence[bytes], reading: ReadRules, control: Control, advance: Advance
) -> dict[bytes, bytes | None]:
    """Make the thumbnails, a thread a core; some ten megabytes at most, as on the page."""
    made: dict[bytes, bytes | None] = {}

    async def picture(path: bytes) -> None:
        made[path] = await _picture(path, reading, control)
        advance(len(made), len(paths))

    async with anyio.create_task_group() as group:
        for path in paths:
            group.start_soon(picture, path)
    return made


async def _picture(path: bytes, reading: ReadRules, control: Control) -> bytes | None:
    """Make one; None if the file is gone, unreadable, no photo (any more), or does not answer."""
    async with control.preparing:
        try:
            file = await read_in_time(path, reading, control)
        except PhotoError:
            return None
        if file is None:
            return None
        return await to_thread.run_sync(thumbnail, file.data, limiter=control.decoding)
