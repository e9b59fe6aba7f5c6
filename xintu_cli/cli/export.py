"""`xintu export`: the labels of folders as CSV or JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from xintu_cli.cli import options


class Missing(StrEnum):
    """What to do with files the index knows that are not there any more."""

    SKIP = "skip"
    KEEP = "keep"


class Format(StrEnum):
    """The export's formats."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


def export(
    paths: options.Paths,
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to: .csv, .json or .jsonl; '-': stdout."
        ),
    ],
    format_: Annotated[
        Format | None, typer.Option("--format", help="The format, whatever the suffix.")
    ] = None,
    missing: Annotated[
        Missing, typer.Option(help="Leave out or keep files that are gone.")
    ] = Missing.SKIP,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = None,
    hidden: options.Hidden = None,
    config: options.Config = None,
    lang: options.Lang = None,
    quiet: options.Quiet = None,
    debug: options.Debug = None,
) -> None:
    """Write the labels of photos: one row a path. Classifies nothing and spends nothing."""
    from functools import partial

    import anyio

    from xintu_cli.cli.exits import say
    from xintu_cli.cli.rows import write_rows
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import UsageError
    from xintu_cli.locations import expand_home
    from xintu_cli.reporting.export import ExportFormat, format_for
    from xintu_cli.reporting.outputs import Target, check_writable
    from xintu_cli.stages.roots import absolute_roots

    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "include": include,
        "exclude": exclude,
        "follow_symlinks": follow_symlinks,
        "hidden": hidden,
        "lang": lang,
        "quiet": quiet,
        "debug": debug,
        "output": output,
    }
    target: Target = "-" if output == "-" else expand_home(output)
    if format_ is not None:
        chosen = ExportFormat(format_)
    elif target == "-":
        raise UsageError("cannot tell the format of stdout. Say --format csv, json or jsonl.")
    else:
        chosen = format_for(target)
    session = open_session(flags, config)
    check_writable(target)
    write = partial(write_rows, keep_missing=missing is Missing.KEEP)
    count = anyio.run(write, session, absolute_roots(paths), target, chosen)
    if not session.workspace.settings.quiet and target != "-":
        say(f"{count} rows in {output}")
