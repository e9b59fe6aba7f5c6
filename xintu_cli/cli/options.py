"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH", help="Folders or single photos.", show_default=False),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where answers are kept: sqlite:///path or mysql://user@host:port/db.",
        show_default="a file in the user's data directory",
    ),
]
TaxonomyOption = Annotated[
    str | None,
    typer.Option(
        "--taxonomy", metavar="NAME|FILE", help="The list of categories.", show_default="xintu"
    ),
]
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
    typer.Option(metavar="en|zh", help="Language of names and texts.", show_default="the locale's"),
]
Quiet = Annotated[bool | None, typer.Option("-q", "--quiet", help="Say only what is wrong.")]
Verbose = Annotated[bool | None, typer.Option("-v", "--verbose", help="Say more.")]
Debug = Annotated[bool | None, typer.Option("--debug", help="Show tracebacks.")]
NoProgress = Annotated[
    bool | None, typer.Option("--no-progress", help="Show no progress, only the summary.")
]
Yes = Annotated[bool | None, typer.Option("-y", "--yes", help="Ask no questions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
