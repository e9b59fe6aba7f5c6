"""Prepare: read a photo once more and decode it, in threads, within what the memory allows.

In: a task of the backlog. Out: the decoded picture, or the word that the file has changed: the
bytes that are decoded are hashed again, so that a wrong answer never lands under a right hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from anyio import to_thread

from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import FileBytes
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.records import Photo, Task
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules, read_in_time


class Changed(NamedTuple):
    """What was read is not what was looked up: the file's present stat and image hash."""

    photo: Photo
    image_hash: str


class Encoding(NamedTuple):
    """What a photo is brought down to before it is sent: pixels of its edge, bytes."""

    max_edge: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Preparation:
    """How photos are read and decoded: `edge` in pixels; `to_send` None where nothing is sent."""

    rules: ReadRules
    edge: int
    to_send: Encoding | None


async def prepare(task: Task, how: Preparation, control: Control) -> DecodedPhoto | Changed:
    """Read and decode in threads; a disk that does not answer costs this photo alone.

    One token covers both hops, so that no more files than tokens are in memory whole.
    """
    async with control.preparing:
        file = await _read_again(task.path, how.rules, control)
        return await to_thread.run_sync(partial(_decode, file, task, how), limiter=control.decoding)


async def _read_again(path: bytes, rules: ReadRules, control: Control) -> FileBytes | None:
    """Read a file that could be read when it was hashed.

    What is wrong with it now is this file's own, and nothing to be remembered of its image.
    """
    try:
        return await read_in_time(path, rules, control)
    except UnreadablePhotoError as error:
        raise UnreadablePhotoError(str(error), lasting=False, root_gone=error.root_gone) from error


def _decode(file: FileBytes | None, task: Task, how: Preparation) -> DecodedPhoto | Changed:
    """Hash the very bytes that are decoded; blocks."""
    if file is None:
        raise UnreadablePhotoError("it is no photo any more", lasting=False)
    present = image_hash(file.data)
    if present != task.image_hash:
        return Changed(file.photo, present)
    photo = decode(file.data, image_hash=present, edge=how.edge)
    if how.to_send is not None:
        # Hundreds wait for their replies at once: each holds its JPEG, not 2.4 MB of pixels.
        photo.compact(max_edge=how.to_send.max_edge, max_bytes=how.to_send.max_bytes)
    return photo
