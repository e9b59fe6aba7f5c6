"""`xintu evaluate`: how good the answers are, on photos whose category is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import options


def evaluate(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|CSV",
            help="DIR/<category>/… or a CSV with path and category (relative paths: from here, "
            "else from the CSV's folder).",
            show_default=False,
        ),
    ],
    taxonomy: options.TaxonomyOption = None,
    policy: options.PolicyOption = None,
    provider: options.Provider = None,
    model: options.Model = None,
    concurrency: options.Concurrency = None,
    cascade_threshold: options.CascadeThreshold = None,
    keep_local: options.KeepLocal = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    fallback_ok: options.FallbackOk = None,
    follow_symlinks: options.FollowSymlinks = None,
    config: options.Config = None,
    lang: options.Lang = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = None,
    debug: options.Debug = None,
    no_progress: options.NoProgress = None,
    yes: options.Yes = None,
) -> None:
    """Measure accuracy, F1, calibration, latency and cost. Neither reads nor writes the cache."""
    from xintu_cli.cli.evaluating import evaluate_place
    from xintu_cli.cli.session import open_session

    flags = {
        "taxonomy": taxonomy,
        "policy": policy,
        "provider": provider,
        "model": model,
        "concurrency": concurrency,
        "cascade_threshold": cascade_threshold,
        "keep_local": keep_local,
        "max_calls": max_calls,
        "max_cost": max_cost,
        "fallback_ok": fallback_ok,
        "follow_symlinks": follow_symlinks,
        "lang": lang,
        "quiet": quiet,
        "debug": debug,
        "no_progress": no_progress,
        "yes": yes,
    }
    raise typer.Exit(evaluate_place(open_session(flags, config), place, as_json=as_json))
