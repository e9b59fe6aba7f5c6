"""`xintu cache`: what is in the cache, and what it can answer."""

from __future__ import annotations

import typer

from xintu_cli.cli import options

app = typer.Typer(name="cache", help="Look into the cache and look after it.", no_args_is_help=True, rich_markup_mode=None)


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

    session = open_session({"cache": cache, "debug": debug}, config)

    async def read() -> CacheInfo:
        async with open_shared(session.workspace) as opened:
            return await opened.info()

    show_cache_info(anyio.run(read), as_json=as_json)


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

    from xintu_cli.bootstrap import open_check
    from xintu_cli.cli.session import open_session
    from xintu_cli.cli.tables import CheckTable
    from xintu_cli.stages.walk import absolute_roots

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
    session = open_session(flags, config)
    roots = absolute_roots(paths)
    table = CheckTable(as_json=as_json, each=session.workspace.settings.verbose)

    async def read() -> None:
        async with open_check(session.workspace, roots) as batches:
            async for rows in batches:
                table.add(rows)

    anyio.run(read)
    table.show()
