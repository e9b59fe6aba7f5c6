"""Bench: how many photos a second the local model classifies here, decoding included.

In: photos in memory (the disk is not measured) and the classifier. Out: the rate, and where
the time went. Wall time over all cores; the share of each part is of the threads' time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import anyio
from anyio import to_thread

from xintu_cli.errors import PhotoError, UsageError
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import read_photo
from xintu_cli.interfaces import Classifier
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, walk_files

MOST_FILES = 200
_MOST_BYTES = 200_000_000
"""Kept in memory; they are asked about in turns."""
_TRIAL_EDGE = 64
_CAMERA_SIZE = (4000, 3000)
_WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured; the times are means of one photo, in one thread."""

    photos: int
    seconds: float
    megapixels: float
    decode_ms: float
    infer_ms: float
    workers: int

    @property
    def photos_per_second(self) -> float:
        """Photos classified per second of wall time."""
        return self.photos / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class _Times:
    decode_seconds: float = 0.0
    infer_ms: float = 0.0
    pixels: int = 0


def camera_jpeg() -> bytes:
    """Make a JPEG as a 12 megapixel camera writes it, some 4 MB; blocks for a second.

    With noise: a smooth picture decodes in a third of the time that a real one takes.
    """
    from io import BytesIO

    from PIL import Image

    noise = Image.effect_noise(_CAMERA_SIZE, 18).convert("RGB")
    sky = Image.linear_gradient("L").resize(_CAMERA_SIZE).convert("RGB")
    stream = BytesIO()
    Image.blend(sky, noise, 0.3).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def read_some(plan: WalkPlan, reading: ReadRules) -> list[bytes]:
    """Read photos that can be decoded, until there are enough to measure with; blocks."""
    found: list[bytes] = []
    size = 0
    walked = (photo for batch in walk_files(plan.roots, plan.rules, plan.report) for photo in batch)
    for photo in islice(walked, 10 * MOST_FILES):
        try:
            file = read_photo(photo.path, size_limit_bytes=reading.size_limit_bytes)
            if file is None:
                continue
            decode(file.data, image_hash="", edge=_TRIAL_EDGE)
        except PhotoError:
            continue
        found.append(file.data)
        size += len(file.data)
        if len(found) >= MOST_FILES or size >= _MOST_BYTES:
            break
    if not found:
        raise UsageError("there is no readable photo to measure with. Name a folder that has some.")
    return found


async def bench(
    files: Sequence[bytes], classifier: Classifier, *, photos: int, edge: int, workers: int
) -> Bench:
    """Classify `photos` photos, taking the files in turns, after a few to warm up."""
    control = Control()
    await _classify(files, classifier, range(min(_WARM_UP, photos)), control, edge, workers)
    started = time.perf_counter()
    times = await _classify(files, classifier, range(photos), control, edge, workers)
    return Bench(
        photos=photos,
        seconds=time.perf_counter() - started,
        megapixels=times.pixels / photos / 1e6,
        decode_ms=times.decode_seconds / photos * 1e3,
        infer_ms=times.infer_ms / photos,
        workers=workers,
    )


async def _classify(
    files: Sequence[bytes],
    classifier: Classifier,
    numbers: Sequence[int],
    control: Control,
    edge: int,
    workers: int,
) -> _Times:
    times = _Times()
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            async with control.preparing:
                photo, seconds = await to_thread.run_sync(
                    _decoded, files[number % len(files)], edge, limiter=control.decoding
                )
            answer = await classifier.classify(photo)
            times.decode_seconds += seconds
            times.infer_ms += sum(attempt.latency_ms for attempt in answer.attempts)
            times.pixels += photo.facts.width * photo.facts.height

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
    return times


def _decoded(data: bytes, edge: int) -> tuple[Decoded, float]:
    """Hash and decode as a run does; return the photo and the seconds it took."""
    started = time.perf_counter()
    photo = decode(data, image_hash=image_hash(data), edge=edge)
    return photo, time.perf_counter() - started
