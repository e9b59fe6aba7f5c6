"""`xintu cache`: what is in the cache, and what it can answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import options

app = typer.Typer(
    name="cache",
    help="Look into the cache and look after it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def info(
    cache: options.Cache = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    debug: options.Debug = None,
) -> None:
    """Say what the cache holds and where it is."""
    import anyio

    from xintu_cli.bootstrap import open_shared
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.tables import show_cache_info
    from xintu_cli.records import CacheInfo
    from xintu_cli.reporting.phrases import speaker

    session = open_session({"cache": cache, "debug": debug}, config)

    async def read() -> CacheInfo:
        async with open_shared(session.workspace) as opened:
            return await opened.info()

    show_cache_info(anyio.run(read), speaker(session.language), as_json=as_json)


@app.command()
def check(
    paths: options.Paths,
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = None,
    hidden: options.Hidden = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = None,
    debug: options.Debug = None,
) -> None:
    """Say which photos the cache can answer already. Classifies nothing."""
    import anyio

    from xintu_cli.bootstrap import open_check, walk_rules
    from xintu_cli.cli.consenting import heeding_consent
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.tables import CheckTable
    from xintu_cli.cli.unread import tell_of_unread
    from xintu_cli.reporting.phrases import speaker
    from xintu_cli.stages.roots import absolute_roots
    from xintu_cli.stages.walk import WalkPlan

    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "include": include,
        "exclude": exclude,
        "follow_symlinks": follow_symlinks,
        "hidden": hidden,
        "verbose": verbose,
        "debug": debug,
    }
    session = heeding_consent(open_session(flags, config))
    plan = WalkPlan(absolute_roots(paths), walk_rules(session.workspace))
    tell = speaker(session.language)
    table = CheckTable(tell, as_json=as_json, each=session.workspace.settings.verbose)

    async def read() -> None:
        async with open_check(session.workspace, plan) as batches:
            async for rows in batches:
                table.add(rows)

    anyio.run(read)
    table.show()
    raise typer.Exit(tell_of_unread(plan.report, tell))


@app.command()
def prune(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders: forget in this machine's index what is gone from them.",
            show_default=False,
            parser=options.named_path,
        ),
    ] = None,
    log_days: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Keep the log of the last N days.",
            envvar="XINTU_LOG_DAYS",
            show_envvar=False,
        ),
    ] = 90,
    other_models: Annotated[
        bool,
        typer.Option("--other-models", help="Delete answers of local models other than yours."),
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Delete every model's answer to this task (16 hex digits), paid ones too.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what would be deleted.",
            envvar="XINTU_DRY_RUN",
            show_envvar=False,
        ),
    ] = False,
    cache: options.Cache = None,
    model: options.Model = None,
    config: options.Config = None,
    quiet: options.Quiet = None,
    yes: options.Yes = None,
    debug: options.Debug = None,
) -> None:
    """Delete what has served its time. Paid answers only by --task, a person's word never."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.upkeep import Wanted, prune_cache

    flags = {"cache": cache, "model": model, "quiet": quiet, "yes": yes, "debug": debug}
    wanted = Wanted(tuple(paths or ()), log_days, other_models, task, dry_run)
    prune_cache(open_session(flags, config), wanted)


@app.command(short_help="Make the tables, or renew them.")
def migrate(
    cache: options.Cache = None,
    config: options.Config = None,
    debug: options.Debug = None,
) -> None:
    """Create the cache's tables, or bring them to this version's schema."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.upkeep import migrate_schema

    migrate_schema(open_session({"cache": cache, "debug": debug}, config))


@app.command("copy")
def copy_(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The cache to read: a URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The cache to write: a URL.")],
    config: options.Config = None,
    quiet: options.Quiet = None,
    no_progress: options.NoProgress = None,
    debug: options.Debug = None,
) -> None:
    """Copy answers, labels and refusals to another cache. Repeat it freely: it goes on."""
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.upkeep import copy_answers

    flags = {"quiet": quiet, "no_progress": no_progress, "debug": debug}
    copy_answers(open_session(flags, config), source, target)
