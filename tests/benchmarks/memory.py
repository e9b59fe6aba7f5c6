"""Memory of a walk of 1 000 000 files: 1 000 different photos under 1 000 000 names."""

from __future__ import annotations

import sys

from tests.benchmarks import trees
from tests.benchmarks.measure import Place, run, succeed
from tests.benchmarks.table import Row, limit_row
from tests.support.command import Argument

NAME = "memory"
FILES = 1_000_000
ORIGINALS = 1_000


def measure(place: Place) -> list[Row]:
    """See the files for the first time (every one is read), then again (none is)."""
    photos = trees.linked_photos(place.path / "photos", FILES, ORIGINALS)
    place.state.mkdir(mode=0o700)
    cache = f"sqlite:///{place.state}/cache.db"
    seed: list[Argument] = [
        sys.executable,
        "-m",
        "tests.benchmarks.seed",
        photos / "originals",
        cache,
    ]
    succeed(run(seed))
    first = succeed(place.xintu("classify", photos))
    second = succeed(place.xintu("classify", photos))
    return [
        limit_row(f"memory: first walk of {FILES:,} files", first.peak_mb, at_most=300, unit="MB"),
        Row("  its time", f"{first.seconds:.1f} s"),
        limit_row(
            f"memory: second walk of {FILES:,} files", second.peak_mb, at_most=300, unit="MB"
        ),
        Row("  its time", f"{second.seconds:.1f} s"),
    ]
