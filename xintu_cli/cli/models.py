"""`xintu models`: the local models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import options

app = typer.Typer(
    name="models", help="The local models.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", short_help="Say which models there are, and what they serve.")
def list_(
    taxonomy: options.TaxonomyOption = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    debug: options.Debug = None,
) -> None:
    """Say which local models are installed and which categories each can serve."""
    from xintu_cli.cli.model_tables import show_models
    from xintu_cli.cli.session import open_session
    from xintu_cli.workspace import known_models

    workspace = open_session({"taxonomy": taxonomy, "debug": debug}, config).workspace
    show_models(known_models(workspace), workspace, as_json=as_json)


@app.command(short_help="Check the models' files, and run each once.")
def verify(
    name: Annotated[
        str | None, typer.Argument(help="A model's name or directory.  [default: all]")
    ] = None,
    config: options.Config = None,
    debug: options.Debug = None,
) -> None:
    """Check the models' files against their checksums, and run each one once."""
    from xintu_cli.cli.model_tables import verify_models
    from xintu_cli.cli.session import open_session
    from xintu_cli.workspace import installed_models, known_models

    workspace = open_session({"model": name, "debug": debug}, config).workspace
    chosen = known_models(workspace) if name is None else installed_models(workspace, name)
    raise typer.Exit(verify_models(chosen, workspace))


@app.command(short_help="Measure how fast this machine is.")
def bench(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Your own photos.  [default: a 12 megapixel JPEG]"),
    ] = None,
    photos: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=100_000,
            help="How many to classify.",
            envvar="XINTU_PHOTOS",
            show_envvar=False,
        ),
    ] = 60,
    taxonomy: options.TaxonomyOption = None,
    model: options.Model = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    debug: options.Debug = None,
) -> None:
    """Measure how many photos a second the local model classifies here, decoding included."""
    from xintu_cli.cli.benching import bench_model
    from xintu_cli.cli.session import open_session

    flags = {"taxonomy": taxonomy, "model": model, "debug": debug, "policy": "local"}
    bench_model(open_session(flags, config), paths or [], photos=photos, as_json=as_json)


TakeBack = Annotated[
    bool,
    typer.Option("--take-back", help="Go back to what answered before the last adoption."),
]


@app.command()
def train(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR|CSV",
            help="DIR/<category>/… or a CSV with path and category.",
            show_default=False,
        ),
    ] = None,
    take_back: TakeBack = False,
    taxonomy: options.TaxonomyOption = None,
    model: options.Model = None,
    follow_symlinks: options.FollowSymlinks = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = None,
    debug: options.Debug = None,
    no_progress: options.NoProgress = None,
) -> None:
    """Teach the local model a taxonomy from labelled photos. Adopted only if it is better."""
    from xintu_cli.cli import learning
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import UsageError

    if take_back == (place is not None):
        raise UsageError("models train needs either a folder of labelled photos or --take-back.")
    flags = {
        "taxonomy": taxonomy,
        "model": model,
        "follow_symlinks": follow_symlinks,
        "quiet": quiet,
        "debug": debug,
        "no_progress": no_progress,
    }
    session = open_session(flags, config)
    if place is None:
        raise typer.Exit(learning.take_back(session))
    raise typer.Exit(learning.train(session, place, as_json=as_json))


@app.command()
def adapt(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Your own photos.  [default: all that xintu knows]"),
    ] = None,
    take_back: TakeBack = False,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    model: options.Model = None,
    follow_symlinks: options.FollowSymlinks = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = None,
    debug: options.Debug = None,
    no_progress: options.NoProgress = None,
) -> None:
    """Teach the local model what you and an LLM said of your photos. Adopted only if better."""
    from xintu_cli.cli import learning
    from xintu_cli.cli.session import open_session
    from xintu_cli.errors import UsageError

    if take_back and paths:
        raise UsageError("models adapt --take-back takes no PATH.")
    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "model": model,
        "follow_symlinks": follow_symlinks,
        "include": include,
        "exclude": exclude,
        "quiet": quiet,
        "debug": debug,
        "no_progress": no_progress,
    }
    session = open_session(flags, config)
    if take_back:
        raise typer.Exit(learning.take_back(session))
    raise typer.Exit(learning.adapt(session, paths or [], as_json=as_json))
