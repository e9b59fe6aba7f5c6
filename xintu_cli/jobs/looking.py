"""Look at labelled photos with the local model: what there is to learn a head from.

In: photos with their labels. Out: an `Album`, a row a photo: 11 kB with the shipped model.
Photos that cannot be read are named and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread

from xintu_cli.errors import PhotoError, UnreadablePhotoError, VanishedPhotoError
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import FileBytes
from xintu_cli.providers.onnx_views import needed_edge
from xintu_cli.reporting.escape import display_text
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules, read_in_time

if TYPE_CHECKING:
    from xintu_cli.providers.onnx_answers import Outputs
    from xintu_cli.providers.onnx_model import OnnxModel, Prediction

Advance = Callable[[int, int], None]


class Lesson(NamedTuple):
    """A labelled photo: `weight` (0..1) is how much its label, given by `giver`, is believed.

    `image_hash` "": not known yet; else a file that has another one by now is left out.
    """

    path: bytes
    category: str
    giver: str
    weight: float = 1.0
    image_hash: str = ""


class Page(NamedTuple):
    """One photo that was looked at; `day` is the camera's date, "" where it tells none."""

    lesson: Lesson
    image_hash: str
    day: str
    prediction: Prediction


@dataclass(slots=True)
class Album:
    """What was looked at, each image once; `failures` could not be, `gone` are there no more."""

    pages: list[Page] = field(default_factory=list)
    failures: list[tuple[bytes, str]] = field(default_factory=list)
    gone: int = 0

    def outputs(self) -> Outputs:
        """Return the network's outputs as one table."""
        import numpy as np

        from xintu_cli.providers.onnx_answers import Outputs

        rows = [page.prediction.outputs() for page in self.pages]
        return Outputs(*(np.concatenate(column) for column in zip(*rows, strict=True)))


async def look_at(
    lessons: Sequence[Lesson], model: OnnxModel, reading: ReadRules, *, advance: Advance
) -> Album:
    """Look at every photo; `advance(done, total)` after each."""
    control = Control()
    inferring = CapacityLimiter(control.cores)
    waiting = iter(enumerate(lessons))
    found: dict[int, Page] = {}
    album = Album()
    edge = needed_edge(model.manifest.inputs)
    done = 0

    async def work() -> None:
        nonlocal done
        for number, lesson in waiting:
            try:
                async with control.preparing:
                    file = await read_in_time(lesson.path, reading, control)
                    photo = await to_thread.run_sync(
                        _decoded, lesson, file, edge, limiter=control.decoding
                    )
                seen = await to_thread.run_sync(_predicted, model, photo, limiter=inferring)
            except VanishedPhotoError:
                album.gone += 1
            except PhotoError as error:
                album.failures.append((lesson.path, str(error)))
            else:
                day = (photo.facts.taken_at or "")[:10]
                found[number] = Page(lesson, photo.image_hash, day, seen)
            done += 1
            advance(done, len(lessons))

    async with anyio.create_task_group() as group:
        for _ in range(control.cores + 1):
            group.start_soon(work)
    _collect(album, [found[number] for number in sorted(found)])
    return album


def _collect(album: Album, pages: Sequence[Page]) -> None:
    """Take every image once; one that has two labels teaches nothing."""
    first: dict[str, Page] = {}
    torn: set[str] = set()
    for page in pages:
        other = first.setdefault(page.image_hash, page)
        if other.lesson.category != page.lesson.category:
            torn.add(page.image_hash)
            reason = (
                f"the same picture as {display_text(other.lesson.path)}, which is labelled "
                f"{other.lesson.category}: neither is learnt from"
            )
            album.failures.append((page.lesson.path, reason))
    album.pages = [page for hash_, page in first.items() if hash_ not in torn]


def _predicted(model: OnnxModel, photo: Decoded) -> Prediction:
    return model.predict(photo.image())


def _decoded(lesson: Lesson, file: FileBytes | None, edge: int) -> Decoded:
    if file is None:
        raise UnreadablePhotoError("it is no photo")
    found = image_hash(file.data)
    if lesson.image_hash not in ("", found):
        raise VanishedPhotoError("another picture is there now")
    return decode(file.data, image_hash=found, edge=edge)
