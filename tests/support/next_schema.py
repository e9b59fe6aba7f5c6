"""The schema after the present one, as a later xintu might have it.

`python -m tests.support.next_schema PATH` upgrades an SQLite cache to it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xintu_cli.storage.schema import STEPS, Step
from xintu_cli.storage.sqlite_schema import prepare

NEXT_STEPS = (
    *STEPS,
    Step(
        number=STEPS[-1].number + 1,
        oldest_reader=1,
        sqlite=(
            "ALTER TABLE classification ADD COLUMN mood TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX classification_mood ON classification (mood)",
        ),
        # What MySQL repeats must be repeatable: it has no ADD COLUMN IF NOT EXISTS.
        mysql=("CREATE TABLE IF NOT EXISTS mood (mood VARCHAR(16) NOT NULL PRIMARY KEY)",),
    ),
)

if __name__ == "__main__":
    prepare(Path(sys.argv[1]), NEXT_STEPS)
