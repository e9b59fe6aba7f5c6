"""`xintu config`: write, show and find the configuration."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from xintu_cli.cli import options

app = typer.Typer(
    name="config", help="The configuration.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def path() -> None:
    """Say where your configuration file is (or would be)."""
    from xintu_cli.locations import find_locations

    typer.echo(os.fsencode(find_locations().config_file))  # exact, whatever the locale


@app.command()
def show(config: options.Config = None, as_json: options.AsJson = False) -> None:
    """Say every setting's value and where it comes from."""
    from xintu_cli.cli.configuring import show_configuration

    show_configuration(config, as_json=as_json)


@app.command(short_help="Write a commented configuration file.")
def init(
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there already.")
    ] = False,
    yes: options.Yes = None,
) -> None:
    """Write a commented configuration file; on a terminal, a few questions fill it in."""
    from xintu_cli.cli.configuring import init_configuration

    init_configuration(force=force, ask=not yes)
