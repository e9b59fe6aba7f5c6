"""Find the files that travel with xintu: models and configuration.

In a wheel they lie inside the package (`xintu_cli/_data`, hatchling's force-include);
in an editable install they are the checkout's own `models/` and `configs/`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from xintu_cli.errors import ConfigurationError


def data_directory(name: str) -> Path:
    """Return the directory `models` or `configs`, wherever this installation keeps it."""
    package = Path(str(files("xintu_cli")))
    for candidate in (package / "_data" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise ConfigurationError(
        f"cannot find xintu's own {name}: neither inside {package} nor beside it. "
        "The installation is incomplete: install xintu again."
    )
