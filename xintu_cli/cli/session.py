"""From flags to a workspace: what every command does first."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xintu_cli.configuration import Configuration, read_configuration
from xintu_cli.locations import Locations, find_locations
from xintu_cli.workspace import Workspace, open_workspace

LOCAL_FILE = "xintu.toml"


@dataclass(frozen=True, slots=True)
class Session:
    """A command's workspace, and how to talk to whoever called it."""

    workspace: Workspace
    configuration: Configuration
    language: str


def open_session(flags: Mapping[str, Any], config: Path | None = None) -> Session:
    """Read the configuration under `flags` and open the workspace it describes."""
    locations = find_locations()
    configuration = configure(flags, config, locations)
    _silence_libraries()
    language = configuration.settings.lang or language_of_locale(os.environ)
    return Session(open_workspace(configuration, locations), configuration, language)


def configure(flags: Mapping[str, Any], config: Path | None, locations: Locations) -> Configuration:
    """Read the configuration under `flags`: what a command run here and now goes by."""
    given = {key: value for key, value in flags.items() if value not in (None, [], ())}
    return read_configuration(
        given,
        config=config,
        user_file=locations.config_file,
        local_file=_local_file(locations.config_file),
    )


def language_of_locale(environ: Mapping[str, str]) -> str:
    """Return `zh` where the locale is Chinese, else `en`."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def _local_file(user_file: Path) -> Path | None:
    try:
        path = Path.cwd() / LOCAL_FILE
    except FileNotFoundError:
        return None
    return None if path == user_file else path


def _silence_libraries() -> None:
    """Keep third-party loggers off stderr: DashScope's logs whole bodies at DEBUG."""
    logging.basicConfig(handlers=[logging.NullHandler()], level=logging.CRITICAL)
    logging.captureWarnings(not sys.warnoptions)
