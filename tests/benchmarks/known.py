"""Small photos and a vendor: a first run, a rescan, and a run that finds most of them known."""

from __future__ import annotations

from tests.benchmarks import trees
from tests.benchmarks.measure import Place
from tests.benchmarks.table import Row, limit_row
from tests.benchmarks.vendor import LATENCY_SECONDS, bare_calls, classify
from tests.support.vendor_process import VendorProcess

NAME = "known"
PHOTOS = 1000
_NEW = 300
_IN_FLIGHT = 64
_ROUNDS = 3


def measure(place: Place) -> list[Row]:
    """Ask about everything once, then about nothing, then about the 300 that are new."""
    photos = trees.small_photos(place.path / "photos", PHOTOS)
    options = ("--keep-local", "none", "--concurrency", str(_IN_FLIGHT))
    with VendorProcess() as vendor:
        bare = bare_calls(photos, _IN_FLIGHT, vendor).seconds
        first = classify(place, vendor, photos, *options, llm=PHOTOS)
        rescans = [classify(place, vendor, photos, *options, calls=0) for _ in range(_ROUNDS)]
        gated = [classify(place, vendor, photos, calls=0) for _ in range(_ROUNDS)]
    return [
        limit_row(
            f"{PHOTOS:,} small new photos, LLM: first run",
            first.seconds,
            at_most=3,
            unit="s",
            bare=f"{bare:.2f} s SDK in a thread pool",
        ),
        limit_row(
            "  second run", min(run.seconds for run in rescans), at_most=0.5, unit="s"
        ),
        limit_row(
            "  second run, keep_local on", min(run.seconds for run in gated), at_most=0.5, unit="s"
        ),
        _mostly_known(place),
    ]  # fmt: skip


def _mostly_known(place: Place) -> Row:
    """Answer 700 of 1 000 photos, then time the run that asks about the rest, 300 at once."""
    photos = trees.small_photos(place.path / "mostly", PHOTOS)
    later = place.path / "later"
    later.mkdir()
    held_back = sorted(photos.rglob("*.jpg"))[-_NEW:]
    for photo in held_back:
        photo.rename(later / photo.name)
    options = ("--keep-local", "none", "--concurrency", str(_NEW))
    fresh = Place(place.path / "fresh")
    fresh.path.mkdir()
    with VendorProcess() as vendor:
        classify(fresh, vendor, photos, *options, llm=PHOTOS - _NEW)
        for photo in held_back:
            (later / photo.name).rename(photo)
        vendor.play({"latency_seconds": LATENCY_SECONDS})
        counts = {"llm": _NEW, "cached": PHOTOS - _NEW}
        measured = classify(fresh, vendor, photos, *options, **counts)
    return limit_row(
        f"{PHOTOS:,} photos, {PHOTOS - _NEW} known, {_NEW} calls of {LATENCY_SECONDS} s at once",
        measured.seconds, at_most=3, unit="s",
    )  # fmt: skip
