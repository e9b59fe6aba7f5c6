"""A library of 100 000 small photos that the cache knows: the first pass, then a rescan."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from tests.benchmarks import trees
from tests.benchmarks.measure import Place, run, succeed
from tests.benchmarks.table import Row, limit_row, rate_row, ratio_row
from tests.support.command import Argument

NAME = "rescan"
PHOTOS = 100_000
_ROUNDS = 3
_DATABASE_WRITE = re.compile(r"\.db(?:-wal|-journal)?>.* = (\d+)$")


def measure(place: Place) -> list[Row]:
    """Answer the photos in a cache, see them for the first time, then again and again."""
    photos = trees.small_photos(place.path / "photos", PHOTOS)
    place.state.mkdir(mode=0o700)
    cache = f"sqlite:///{place.state}/cache.db"
    succeed(run([sys.executable, "-m", "tests.benchmarks.seed", photos, cache]))
    first_pass = min(_first_pass(place, photos) for _ in range(2))

    find: list[Argument] = ["find", photos, "-type", "f", "-printf", r"%p %s %T@\n"]
    rescans, finds = [], []
    for _ in range(_ROUNDS):
        rescans.append(_rescan(place, photos))
        finds.append(succeed(run(find)).seconds)
    return [
        rate_row(f"first pass over {PHOTOS:,} known photos", PHOTOS / first_pass, at_least=20_000),
        ratio_row(
            f"unchanged rescan of {PHOTOS:,} photos", min(rescans), min(finds),
            at_most=8, bare="find -printf",
        ),
        *_traced(place, photos),
    ]  # fmt: skip


def _first_pass(place: Place, photos: Path) -> float:
    """Time a run whose index is empty and whose cache knows every photo."""
    for file in place.state.glob("index.db*"):
        file.unlink()
    measured = succeed(place.xintu("classify", photos, "--summary", "-"))
    _expect(measured.stdout, cached=PHOTOS, local=0)
    return measured.seconds


def _rescan(place: Place, photos: Path) -> float:
    measured = succeed(place.xintu("classify", photos, "--summary", "-"))
    _expect(measured.stdout, cached=PHOTOS, unchanged=PHOTOS, calls=0)
    return measured.seconds


def _expect(summary: str, **counts: int) -> None:
    """Refuse a run that did something else: its time would mean nothing."""
    found = json.loads(summary)
    wrong = {key: found[key] for key, count in counts.items() if found[key] != count}
    if wrong:
        raise RuntimeError(f"expected {counts}, the run says {wrong}")


def _traced(place: Place, photos: Path) -> list[Row]:
    """Count, in one more rescan, the photos it opens and the bytes it gives its databases."""
    if shutil.which("strace") is None:
        return [Row("files opened, bytes written by a rescan", "strace is not installed")]
    log = place.path / "trace"
    calls = "trace=open,openat,openat2,write,pwrite64,writev,pwritev"
    wrapper = ["strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", calls, "-o", str(log)]
    succeed(place.xintu("classify", photos, wrapper=wrapper))
    opened = written = 0
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if " open" in line:
                opened += "photo-" in line
            elif match := _DATABASE_WRITE.search(line.rstrip()):
                written += int(match.group(1))
    return [
        limit_row("  photos it opens", opened, at_most=0, unit="files"),
        # The run's own row takes some pages; a row a photo would take tens of bytes each.
        limit_row("  bytes it writes, per photo", written / PHOTOS, at_most=2, unit="bytes"),
    ]
