"""`make bench`: measure the installed command beside bare loops; print one table.

Usage: python -m tests.benchmarks [NAME …]. Needs 1 GB of disk in the temporary directory
(`TMPDIR` moves it) and some minutes. Exits 1 when a target is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import fanout, known, local, memory, mysql, rescan, small, startup
from tests.benchmarks.measure import Place
from tests.benchmarks.table import Row, render

# To add a row: a module with NAME and `measure(place)`, and its line here.
BENCHMARKS: dict[str, Callable[[Place], list[Row]]] = {
    module.NAME: module.measure
    for module in (startup, small, known, rescan, local, fanout, memory, mysql)
}


def main(names: list[str]) -> int:
    """Run the benchmarks named (all of them, where none is); return the exit code."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
        return 2
    rows: list[Row] = []
    for name in names or BENCHMARKS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"xintu-bench-{name}-") as directory:
            rows += BENCHMARKS[name](Place(Path(directory)))
        print(f"{name}: measured in {time.monotonic() - started:.0f} s", flush=True)
    print(f"\n{render(rows)}")
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
