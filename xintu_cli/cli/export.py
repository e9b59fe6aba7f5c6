"""`xintu export`: the labels of folders as CSV or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from xintu_cli.cli import options

_FORMATS = ("csv", "json", "jsonl")
_MISSING = ("skip", "keep")


def export(
    paths: options.Paths,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to: .csv, .json or .jsonl; '-': stdout.  [required]",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(_FORMATS),
            help="The format, whatever the suffix.",
            envvar="XINTU_FORMAT",
            show_envvar=False,
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            metavar="|".join(_MISSING),
            help="Leave out or keep files that are gone.",
            envvar="XINTU_MISSING",
            show_envvar=False,
        ),
    ] = "skip",
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
    from xintu_cli.cli.progress import no_progress, shown_progress
    from xintu_cli.cli.rows import write_rows
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.unread import tell_of_unread
    from xintu_cli.errors import UsageError
    from xintu_cli.locations import expand_home
    from xintu_cli.reporting.command_phrases import Deed
    from xintu_cli.reporting.escape import display_text
    from xintu_cli.reporting.export import ExportFormat, format_for
    from xintu_cli.reporting.outputs import Target, check_writable
    from xintu_cli.reporting.phrases import speaker
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
    session = open_session(flags, config)
    named = session.workspace.settings.output
    if not named:
        raise UsageError("there is no file to write to. Name one: -o labels.csv, or - for stdout.")
    target: Target = "-" if named == "-" else expand_home(named)
    _check(missing, _MISSING, "--missing")
    if format_ is not None:
        _check(format_, _FORMATS, "--format")
        chosen = ExportFormat(format_)
    elif target == "-":
        raise UsageError("cannot tell the format of stdout. Say --format csv, json or jsonl.")
    else:
        chosen = format_for(target, remedy=", or say --format")
    check_writable(target)
    tell = speaker(session.language)
    # The photos that this machine has never decoded are decoded now: that may take its time.
    shown = (
        nullcontext(no_progress) if target == "-" else shown_progress(session, tell(Deed.EXPORTING))
    )
    with shown as advance:
        write = partial(write_rows, keep_missing=missing == "keep", advance=advance)
        written = anyio.run(write, session, absolute_roots(paths), target, chosen)
    if not session.workspace.settings.quiet and target != "-":
        say(tell(Deed.ROWS_IN, n=written.rows, name=display_text(named)))
    raise typer.Exit(tell_of_unread(written.report, tell))


def _check(word: str, known: Sequence[str], option: str) -> None:
    from xintu_cli.errors import UsageError

    if word not in known:
        raise UsageError(f"{option}: there is no {word!r}. Say {' or '.join(known)}.")
