"""What a display and a closing word need to know of the run they speak about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xintu_cli.money import Estimate
from xintu_cli.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class DryRun:
    """Whom a run would ask that only says what it would do.

    `providers` in failover order, none where the local model answers. `estimate` tells what
    so many calls would likely use; `at_most`: the local model may answer some of them first.
    """

    providers: tuple[str, ...] = ()
    estimate: Callable[[int], Estimate] | None = None
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`roots` as they were typed; `cache_url` without secrets; `language` is en or zh.

    `verbose` names every failure that the summary holds, not only the first few. `export_flags`
    is what an export of this run's rows must be told, too: its taxonomy, its cache, its globs.
    """

    roots: tuple[bytes, ...]
    taxonomy: Taxonomy
    cache_url: str
    language: str = "en"
    dry_run: DryRun | None = None
    verbose: bool = False
    export_flags: tuple[str, ...] = ()
