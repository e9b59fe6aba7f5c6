"""The standing invariants: what must hold after every run, whatever happened in it.

I1  the accounts agree: found is the sum of its parts, and an export has a row for every path
I2  nothing that was answered is lost     (what only a scripted provider can count: see there)
I3  nothing is paid for twice             (as I2)
I4  no traceback, no secret, no control byte on stdout or stderr
I5  no temporary file and no child process is left, nor anything of a library's own
I6  a run without the fault afterwards ends well, with only the missing work done
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.command import Argument, Finished, Home

PARTS = ("cached", "llm", "local", "failed", "skipped", "pending")
STATUSES = {"done", "partial", "budget", "interrupted", "failed"}

# What xintu keeps in its state directory, SQLite's companions included; anything else is litter.
_STATE = re.compile(
    r"(config\.toml|consent\.json|(cache|index|spool|descriptions)\.db(-wal|-shm|-journal)?"
    r"|locks|locks/[0-9a-f]{16}\.lock|absences(/[0-9a-f]{16}\.json)?|models|models/.+|heads(/[^/.]+-[0-9a-f]{8}){0,2}"
    r"|heads(/[^/]+){2}/(in-use\.json|[0-9-]{11}[0-9a-f]{12}(/head\.(json|npz))?))\Z"
)
_TEMPORARY = re.compile(r"\.(tmp|part)|^\.xintu")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def check_accounts(summary: Mapping[str, Any]) -> None:
    """I1 for a summary: found is the sum of the six parts, and the shares fit in them."""
    assert summary["found"] == sum(summary[part] for part in PARTS), summary
    assert all(summary[part] >= 0 for part in PARTS), summary
    assert summary["status"] in STATUSES, summary
    assert summary["unchanged"] <= summary["found"], summary
    assert summary["duplicates"] <= summary["cached"], summary
    assert summary["upgraded"] <= summary["llm"], summary
    # Directories that cannot be read are failures too, but no photos that were found.
    assert summary["failures_total"] >= summary["failed"], summary
    assert len(summary["failures"]) == min(1000, summary["failures_total"]), summary


def check_streams(finished: Finished, secrets: Iterable[str] = ()) -> None:
    """I4: what a person sees is plain, printable, and tells no secret."""
    for name, text in (("stdout", finished.stdout), ("stderr", finished.stderr)):
        assert "Traceback (most recent call last)" not in text, finished
        control = _CONTROL.search(text)
        assert control is None, f"{control!r} on {name} of {finished}"
        for secret in secrets:
            assert secret not in text, f"a secret on {name} of {finished}"


def check_litter(home: Home, directories: Iterable[Path] = ()) -> None:
    """I5: the state directory holds what it should; no output left a temporary file beside it."""
    state = home.state
    kept = [path.relative_to(state).as_posix() for path in state.rglob("*")]
    assert [path for path in kept if not _STATE.match(path)] == []
    # Where libraries put what they note of a machine and its user.
    assert not (home.path / ".cache").exists()
    for directory in directories:
        assert [path.name for path in directory.iterdir() if _TEMPORARY.search(path.name)] == []


def check_export(home: Home, roots: Iterable[Argument], summary: Mapping[str, Any]) -> None:
    """I1 for an export: one row per path that was found and is still there."""
    finished = home.run("export", *roots, "-o", "-", "--format", "csv")
    assert finished.exit_code == 0, finished
    rows = list(csv.DictReader(io.StringIO(finished.stdout.removeprefix("\ufeff"), newline="")))
    assert len(rows) == summary["found"] - summary["skipped"], (len(rows), summary)
    assert len({row["path"] for row in rows}) == len(rows)
    check_streams(Finished(0, "", finished.stderr))


def check_invariants(
    finished: Finished,
    summary: Mapping[str, Any],
    home: Home,
    roots: Iterable[Argument],
    *,
    secrets: Iterable[str] = (),
    rerun_exit_code: int = 0,
) -> dict[str, Any]:
    """Check them all after a `classify` of `roots`; return the summary of the clean re-run."""
    roots = list(roots)
    check_accounts(summary)
    assert summary["exit_code"] == finished.exit_code, finished
    check_streams(finished, secrets)
    check_litter(home)
    again, second = home.summary(*roots)
    assert again.exit_code == rerun_exit_code, again
    check_accounts(second)
    check_streams(again, secrets)
    # What stands in provisionally is asked about again.
    answered = summary["llm"] + summary["local"] + summary["cached"] - summary["provisional"]
    assert second["cached"] >= answered, (summary, second)
    assert second["pending"] == 0, second
    check_export(home, roots, second)
    return second
