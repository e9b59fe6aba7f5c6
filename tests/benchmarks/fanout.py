"""Photos of 12 megapixels to a vendor that takes 1.5 s a call: the fan-out, and its memory."""

from __future__ import annotations

from tests.benchmarks import trees
from tests.benchmarks.measure import Place
from tests.benchmarks.table import Row, limit_row, ratio_row
from tests.benchmarks.vendor import LATENCY_SECONDS, bare_calls, classify
from tests.support.command import Argument
from tests.support.vendor_process import VendorProcess

NAME = "fanout"
FEW, MANY = 60, 600
_FEW_IN_FLIGHT, _IN_FLIGHT = 32, 64


def measure(place: Place) -> list[Row]:
    """Ask about a few photos, then about many, each beside the bare tool in the same run."""
    few = trees.large_photos(place.path / "few", FEW)
    many = trees.large_photos(place.path / "many", MANY)
    with VendorProcess({"latency_seconds": LATENCY_SECONDS}) as vendor:
        return [
            *_few(place, vendor, few),
            *_many(place, vendor, many),
            _memory(place, vendor, many),
        ]


def _few(place: Place, vendor: VendorProcess, photos: Argument) -> list[Row]:
    bare = bare_calls(photos, _FEW_IN_FLIGHT, vendor)
    options = ("--keep-local", "none", "--concurrency", str(_FEW_IN_FLIGHT))
    ours = classify(place, vendor, photos, *options, llm=FEW)
    return [
        limit_row(
            f"{FEW} photos of 12 MP, {_FEW_IN_FLIGHT} calls in flight, start-up included",
            ours.seconds, at_most=5, unit="s", bare=f"{bare.seconds:.2f} s SDK in a thread pool",
        ),
        Row("  memory", f"{ours.peak_mb:.0f} MB", f"{bare.peak_mb:.0f} MB SDK in a thread pool"),
    ]  # fmt: skip


def _many(place: Place, vendor: VendorProcess, photos: Argument) -> list[Row]:
    """Compare with a floor: the slower of the calls themselves and two threads that prepare."""
    prepared = bare_calls(photos, 0, vendor).seconds
    floor = max(prepared, MANY / _IN_FLIGHT * LATENCY_SECONDS)
    peer = bare_calls(photos, _IN_FLIGHT, vendor)
    options = ("--concurrency", str(_IN_FLIGHT))
    sent = classify(
        _fresh(place, "all"), vendor, photos, *options, "--keep-local", "none", llm=MANY
    )
    # The made-up photos resemble no document: every one is judged, and every one is sent.
    gated = classify(_fresh(place, "gated"), vendor, photos, *options, llm=MANY)
    what = f"{MANY} photos of 12 MP, {_IN_FLIGHT} calls in flight"
    bare = f"max({prepared:.1f} s two bare threads, {MANY / _IN_FLIGHT * LATENCY_SECONDS:.1f} s)"
    return [
        ratio_row(what, sent.seconds, floor, at_most=1.1, bare=bare),
        ratio_row("  keep_local on", gated.seconds, floor, at_most=1.6, bare=bare),
        Row("  the SDK in a thread pool", f"{peer.seconds:.2f} s, {peer.peak_mb:.0f} MB"),
    ]  # fmt: skip


def _memory(place: Place, vendor: VendorProcess, photos: Argument) -> Row:
    """No reply leaves before 64 calls were in flight at once, so that they really are."""
    vendor.play({"together": _IN_FLIGHT})
    options = ("--concurrency", str(_IN_FLIGHT))
    measured = classify(_fresh(place, "memory"), vendor, photos, *options, llm=MANY)
    return limit_row(
        f"memory: {_IN_FLIGHT} calls in flight with 12 MP photos, keep_local on",
        measured.peak_mb, at_most=400, unit="MB",
    )  # fmt: skip


def _fresh(place: Place, name: str) -> Place:
    """Return a place with nothing known."""
    path = place.path / f"home-{name}"
    path.mkdir()
    return Place(path)
