"""What `xintu models bench` does around the measurement."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from xintu_cli.bootstrap import open_examiner, read_rules, walk_rules
from xintu_cli.cli.session import Session
from xintu_cli.jobs.bench import Bench, bench, camera_jpeg, read_some
from xintu_cli.reporting.escape import json_text
from xintu_cli.stages.roots import absolute_roots
from xintu_cli.stages.walk import WalkPlan
from xintu_cli.workspace import find_model


def bench_model(session: Session, paths: Sequence[Path], *, photos: int, as_json: bool) -> None:
    """Measure and print."""
    workspace = session.workspace
    model = find_model(workspace).fingerprint
    plan = WalkPlan(absolute_roots(paths), walk_rules(workspace))
    files = read_some(plan, read_rules(workspace.settings)) if paths else [camera_jpeg()]

    async def run() -> Bench:
        async with open_examiner(workspace) as examiner:
            return await bench(
                files,
                examiner.classifier,
                photos=photos,
                edge=examiner.edge,
                workers=examiner.workers,
            )

    done = anyio.run(run)
    peak = _peak_megabytes()
    if as_json:
        fields = {
            "model": model,
            "photos": done.photos,
            "seconds": round(done.seconds, 3),
            "photos_per_second": round(done.photos_per_second, 1),
            "megapixels": round(done.megapixels, 2),
            "decode_ms": round(done.decode_ms, 1),
            "inference_ms": round(done.infer_ms, 1),
            "workers": done.workers,
            "cores": os.cpu_count(),
            "peak_megabytes": peak,
        }
        sys.stdout.write(json_text(fields, indent=2) + "\n")
        return
    memory = "" if peak is None else f"; {peak:,} MB of memory at most"
    sys.stdout.write(
        f"{model}: {done.photos_per_second:,.1f} photos/s "
        f"({done.photos:,} photos of {done.megapixels:,.1f} megapixels in {done.seconds:,.1f} s, "
        f"{os.cpu_count()} cores)\n"
        f"  a photo: {done.decode_ms:,.0f} ms to decode, {done.infer_ms:,.0f} ms to classify, "
        f"{done.workers} at a time{memory}\n"
    )


def _peak_megabytes() -> int | None:
    """Return the most memory this process has had; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in kilobytes, macOS in bytes.
    return peak // (1_000_000 if sys.platform == "darwin" else 1_000)
