"""`xintu stats`: what has been done, by whom, how fast and for how much."""

from __future__ import annotations

from typing import Annotated

import typer

from xintu_cli.cli import options


def stats(
    days: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=36_500,
            help="Details of the last N days alone.  [default: of all time]",
            envvar="XINTU_DAYS",
            show_envvar=False,
        ),
    ] = None,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    config: options.Config = None,
    lang: options.Lang = None,
    as_json: options.AsJson = False,
    debug: options.Debug = None,
) -> None:
    """Show the past at a glance: photos, hits, categories, providers, money, failures, runs."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.statistics import show_statistics

    flags = {"cache": cache, "taxonomy": taxonomy, "lang": lang, "debug": debug}
    show_statistics(open_session(flags, config), days=days, as_json=as_json)
