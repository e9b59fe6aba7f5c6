"""`xintu classify`: walk, look up, classify, store."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from xintu_cli.cli import completion, options


def classify(
    paths: options.Paths,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    policy: options.PolicyOption = None,
    provider: options.Provider = None,
    model: options.Model = None,
    concurrency: options.Concurrency = None,
    cascade_threshold: options.CascadeThreshold = None,
    keep_local: options.KeepLocal = None,
    max_calls: options.MaxCalls = None,
    max_cost: options.MaxCost = None,
    dry_run: Annotated[
        bool | None,
        typer.Option("--dry-run", help="Only say what there would be to do and to pay."),
    ] = None,
    refresh: Annotated[
        str | None,
        typer.Option(
            metavar="all|stale",
            help="Ask again although there is an answer; 'stale': where prompt or model are older.",
            autocompletion=completion.refreshes,
        ),
    ] = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = None,
    hidden: options.Hidden = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write this run's rows: .csv, .json or .jsonl."),
    ] = None,
    summary: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the counts as JSON ('-': stdout).")
    ] = None,
    wait: Annotated[
        bool | None, typer.Option("--wait", help="Wait for another run over the same paths.")
    ] = None,
    fallback_ok: options.FallbackOk = None,
    config: options.Config = None,
    lang: options.Lang = None,
    quiet: options.Quiet = None,
    verbose: options.Verbose = None,
    debug: options.Debug = None,
    no_progress: options.NoProgress = None,
    yes: options.Yes = None,
) -> None:
    """Classify photos: walk, look everything up, classify what is new, store the answers."""
    from xintu_cli.cli.summing import SummaryFile

    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "policy": policy,
        "provider": provider,
        "model": model,
        "concurrency": concurrency,
        "cascade_threshold": cascade_threshold,
        "keep_local": keep_local,
        "max_calls": max_calls,
        "max_cost": max_cost,
        "dry_run": dry_run,
        "refresh": refresh,
        "include": include,
        "exclude": exclude,
        "follow_symlinks": follow_symlinks,
        "hidden": hidden,
        "output": output,
        "summary": summary,
        "wait": wait,
        "fallback_ok": fallback_ok,
        "lang": lang,
        "quiet": quiet,
        "verbose": verbose,
        "debug": debug,
        "no_progress": no_progress,
        "yes": yes,
    }
    # Where the configuration is wrong, a summary that was asked for here says so, too; and the
    # imports take long enough to be interrupted.
    with SummaryFile(summary or os.environ.get("XINTU_SUMMARY", "")):
        from xintu_cli.cli.run import classify_paths
        from xintu_cli.cli.session import open_session

        session = open_session(flags, config)
    raise typer.Exit(classify_paths(session, paths))
