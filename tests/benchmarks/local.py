"""Local classification of 12-megapixel photos, beside a bare loop of two threads."""

from __future__ import annotations

import sys

from tests.benchmarks import trees
from tests.benchmarks.measure import Place, run, succeed
from tests.benchmarks.table import Row, limit_row, rate_row
from tests.support.command import Argument

NAME = "local"
PHOTOS = 480


def measure(place: Place) -> list[Row]:
    """Time both as whole processes: start-up and loading the network count on both sides."""
    photos = trees.large_photos(place.path / "photos", PHOTOS)
    bare_command: list[Argument] = [sys.executable, "-m", "tests.benchmarks.bare_local", photos]
    succeed(run(bare_command))  # now the files are in memory for both
    bare = succeed(run(bare_command)).seconds
    ours = succeed(place.xintu("classify", photos, "--policy", "local"))
    ratio = bare / ours.seconds
    return [
        Row(
            f"{PHOTOS} photos of 12 MP, local model, start-up included",
            f"{ours.seconds:.2f} s", f"{bare:.2f} s two bare threads", ratio, "≥ 0.9 x",
            ratio >= 0.9,
        ),
        rate_row("  photos per second", PHOTOS / ours.seconds, at_least=30),
        limit_row("  memory", ours.peak_mb, at_most=300, unit="MB"),
    ]  # fmt: skip
