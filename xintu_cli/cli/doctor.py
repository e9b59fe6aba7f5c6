"""`xintu doctor`: what works, what does not, what to do."""

from __future__ import annotations

import typer

from xintu_cli.cli import options


def doctor(
    cache: options.Cache = None,
    taxonomy: options.TaxonomyOption = None,
    policy: options.PolicyOption = None,
    provider: options.Provider = None,
    model: options.Model = None,
    config: options.Config = None,
    lang: options.Lang = None,
    as_json: options.AsJson = False,
    debug: options.Debug = None,
) -> None:
    """Check everything a run stands on: one line each, and the command that mends it."""
    from xintu_cli.cli.doctoring import examine_installation

    flags = {
        "cache": cache,
        "taxonomy": taxonomy,
        "policy": policy,
        "provider": provider,
        "model": model,
        "lang": lang,
        "debug": debug,
    }
    raise typer.Exit(examine_installation(flags, config, as_json=as_json))
