"""`xintu label`: a person's word."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import completion, options


def label(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Photos, folders or globs.",
            show_default=False,
            parser=options.named_path,
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="CATEGORY",
            help="What the photos are.",
            autocompletion=completion.categories,
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Take your word back; models are believed again.")
    ] = False,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A CSV with path and category, as an export has them; every line that names "
            "a category becomes your word.",
        ),
    ] = None,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = None,
    hidden: options.Hidden = None,
    config: options.Config = None,
    lang: options.Lang = None,
    quiet: options.Quiet = None,
    yes: options.Yes = None,
    debug: options.Debug = None,
) -> None:
    """Say what photos are. Your word outranks every model, in every later run and export."""
    from xintu_cli.cli.labelling import label_paths
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import UsageError

    if sum((category is not None, clear, from_ is not None)) != 1:
        raise UsageError("label needs one of --as CATEGORY, --clear and --from FILE.")
    if from_ is not None and paths:
        raise UsageError("label takes its paths from the command line or --from FILE, not both.")
    if from_ is None and not paths:
        raise UsageError("label needs a PATH: the photos you speak of.")
    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "include": include,
        "exclude": exclude,
        "follow_symlinks": follow_symlinks,
        "hidden": hidden,
        "lang": lang,
        "quiet": quiet,
        "yes": yes,
        "debug": debug,
    }
    session = open_session(flags, config)
    raise typer.Exit(label_paths(session, paths or [], category, from_))
