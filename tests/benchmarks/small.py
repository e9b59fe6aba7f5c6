"""A thousand small new photos: the first run, and the second."""

from __future__ import annotations

from tests.benchmarks import trees
from tests.benchmarks.measure import Place, succeed
from tests.benchmarks.table import Row, limit_row

NAME = "small"
PHOTOS = 1000


def measure(place: Place) -> list[Row]:
    """Classify with the local model (its time is shown, nothing is asked of it), then rescan."""
    photos = trees.small_photos(place.path / "photos", PHOTOS)
    first = succeed(place.xintu("classify", photos)).seconds
    second = min(succeed(place.xintu("classify", photos)).seconds for _ in range(3))
    return [
        Row(f"{PHOTOS:,} small new photos, local model: first run", f"{first:.2f} s"),
        limit_row(
            f"{PHOTOS:,} small photos: second run", second, at_most=0.5, unit="s"
        ),
    ]  # fmt: skip
