"""How long a person waits for `xintu --help`."""

from __future__ import annotations

import sys

from tests.benchmarks.measure import Place, run, succeed
from tests.benchmarks.table import Row

NAME = "startup"
_ROUNDS = 10


def measure(place: Place) -> list[Row]:
    """Take the best of ten, beside the interpreter's own start."""
    ours = min(succeed(place.xintu("--help")).seconds for _ in range(_ROUNDS)) * 1000
    bare = min(succeed(run([sys.executable, "-c", "pass"])).seconds for _ in range(_ROUNDS)) * 1000
    return [
        Row(
            "xintu --help", f"{ours:.0f} ms", f"{bare:.0f} ms python -c pass", ours / bare,
            "≤ 150 ms", ours <= 150,
        )
    ]  # fmt: skip
