"""`xintu report`: the labels of folders as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import options


def report(
    paths: options.Paths,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The page to write: report.html.",
            envvar="XINTU_OUTPUT",
            show_envvar=False,
        ),
    ],
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = None,
    hidden: options.Hidden = None,
    config: options.Config = None,
    lang: options.Lang = None,
    quiet: options.Quiet = None,
    no_progress: options.NoProgress = None,
    debug: options.Debug = None,
) -> None:
    """Write one self-contained page: a gallery by category, and charts. No network."""
    from xintu_cli.cli.reports import report_paths
    from xintu_cli.cli.session import open_session

    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "include": include,
        "exclude": exclude,
        "follow_symlinks": follow_symlinks,
        "hidden": hidden,
        "lang": lang,
        "quiet": quiet,
        "no_progress": no_progress,
        "debug": debug,
    }
    raise typer.Exit(report_paths(open_session(flags, config), paths, output))
