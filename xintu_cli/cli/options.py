"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xintu_cli.cli import completion


def named_path(text: str) -> Path:
    """Refuse what a shell makes of an unset variable: a Path of it is the present directory."""
    if not text:
        raise typer.BadParameter("a path is empty. Is a variable not set?")
    return Path(text)


Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH", help="Folders or single photos.", show_default=False, parser=named_path
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where answers are kept: sqlite:///path or mysql://user@host:port/db.  "
        "[default: a file in the user's data directory]",
    ),
]
TaxonomyOption = Annotated[
    str | None,
    typer.Option(
        "--taxonomy", metavar="NAME|FILE", help="The list of categories.  [default: xintu]"
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="local (no call), hybrid (LLM, local on failure), cloud (LLM only), "
        "cascade (local first, LLM when unsure).  [default: local]",
        autocompletion=completion.policies,
    ),
]
Provider = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Whom to ask (repeatable; failover order).",
        autocompletion=completion.providers,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="The local model.  [default: xintu-lite]"),
]
Concurrency = Annotated[
    int | None,
    typer.Option(metavar="N", help="Most calls in flight over all providers.  [default: 16]"),
]
CascadeThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="cascade: ask the LLM below this confidence.  [default: the model's]",
    ),
]
KeepLocal = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CATEGORY",
        help="Never send photos of this category (repeatable; 'none').  [default: the taxonomy's]",
        autocompletion=completion.categories,
    ),
]
MaxCalls = Annotated[int | None, typer.Option(metavar="N", help="Stop after N calls, exit 4.")]
MaxCost = Annotated[
    float | None, typer.Option(metavar="AMOUNT", help="Stop before spending more, exit 4.")
]
FallbackOk = Annotated[bool | None, typer.Option("--fallback-ok", help="Exit 0 instead of 4.")]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only files that match (repeatable; gitignore patterns)."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Leave out what matches (repeatable)."),
]
FollowSymlinks = Annotated[
    bool | None, typer.Option("--follow-symlinks", help="Follow symbolic links.")
]
Hidden = Annotated[
    bool | None, typer.Option("--hidden", help="Look into hidden and system folders too.")
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A configuration file besides the user's own."),
]
Lang = Annotated[
    str | None,
    typer.Option(
        metavar="en|zh",
        help="Language of names and texts.  [default: the locale's]",
        autocompletion=completion.languages,
    ),
]
Quiet = Annotated[bool | None, typer.Option("-q", "--quiet", help="Say only what is wrong.")]
Verbose = Annotated[bool | None, typer.Option("-v", "--verbose", help="Say more.")]
Debug = Annotated[bool | None, typer.Option("--debug", help="Show tracebacks.")]
NoProgress = Annotated[
    bool | None, typer.Option("--no-progress", help="Show no progress, only the summary.")
]
Yes = Annotated[bool | None, typer.Option("-y", "--yes", help="Ask no questions.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Write JSON to stdout.", envvar="XINTU_JSON", show_envvar=False),
]
