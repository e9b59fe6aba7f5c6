"""From flags to a workspace: what every command does first."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xintu_cli.cli.exits import show_tracebacks
from xintu_cli.configuration import FLAG, Configuration, read_configuration
from xintu_cli.locations import Locations, find_locations
from xintu_cli.storage.urls import masked
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
    if configuration.settings.debug:
        show_tracebacks()
    language = configuration.settings.lang or language_of_locale(os.environ)
    return Session(open_workspace(configuration, locations), configuration, language)


def export_flags(session: Session) -> Iterator[str]:
    """Give the flags of this command line without which an export would show something else."""
    configuration = session.configuration
    if configuration.named is not None:
        yield f"--config={configuration.named}"
    settings = configuration.settings
    given = {key for key, origin in configuration.origins.items() if origin == FLAG}
    if "cache" in given:
        yield f"--cache={masked(settings.cache)}"
    if "taxonomy" in given:
        yield f"--taxonomy={settings.taxonomy}"
    if "include" in given:
        yield from (f"--include={glob}" for glob in settings.include)
    if "exclude" in given:
        yield from (f"--exclude={glob}" for glob in settings.exclude)
    if settings.follow_symlinks and "follow_symlinks" in given:
        yield "--follow-symlinks"
    if settings.hidden and "hidden" in given:
        yield "--hidden"


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
