"""What every command stands on: settings, where state lies, the taxonomy, the local models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xintu_cli.configuration import Configuration
from xintu_cli.errors import ConfigurationError, ModelFileError, UsageError
from xintu_cli.locations import Locations, expand_home
from xintu_cli.resources import data_directory
from xintu_cli.settings import NONE_KEPT, Settings
from xintu_cli.storage.urls import sqlite_path
from xintu_cli.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from xintu_cli.providers.heads import HeadShelf
    from xintu_cli.providers.manifest import ModelManifest
    from xintu_cli.providers.onnx import OnnxClassifier


@dataclass(frozen=True, slots=True)
class Workspace:
    """What every command stands on: settings, where state lies, what is asked."""

    settings: Settings
    locations: Locations
    taxonomy: Taxonomy

    @property
    def cache_url(self) -> str:
        """The cache's URL: the user's, else the file in the state directory."""
        return self.settings.cache or f"sqlite:///{self.locations.cache_file}"

    @property
    def own_paths(self) -> tuple[bytes, ...]:
        """What a walk must not take for the user's photos."""
        outputs = [p for p in (self.settings.output, self.settings.summary) if p and p != "-"]
        paths = [self.locations.state, *map(expand_home, outputs)]
        if self.cache_url.startswith("sqlite:///"):
            cache = sqlite_path(self.cache_url)
            paths += [cache.with_name(cache.name + end) for end in ("", "-wal", "-shm")]
        return tuple(os.fsencode(os.path.abspath(path)) for path in paths)


def open_workspace(configuration: Configuration, locations: Locations) -> Workspace:
    """Check what can be checked before anything is opened, and make the state directory."""
    taxonomy = load_taxonomy(configuration.settings.taxonomy)
    settings = _with_kept_keys(configuration, taxonomy)
    locations.prepare()
    return Workspace(settings, locations, taxonomy)


def _with_kept_keys(configuration: Configuration, taxonomy: Taxonomy) -> Settings:
    """Write `keep_local` in keys: one that was named as it is shown must not be sent either."""
    settings = configuration.settings
    if settings.keep_local is None:
        return settings
    try:
        keys = tuple(key if key == NONE_KEPT else taxonomy.find(key) for key in settings.keep_local)
    except UsageError as error:
        raise configuration.mistake("keep_local", str(error)) from None
    return settings.model_copy(update={"keep_local": keys})


def find_model(workspace: Workspace) -> ModelManifest:
    """Read the manifest of the configured local model: a shipped name, or a directory."""
    (model,) = installed_models(workspace, workspace.settings.model)
    if isinstance(model.manifest, ModelFileError):
        raise model.manifest
    return model.manifest


def head_shelf(workspace: Workspace, manifest: ModelManifest) -> HeadShelf:
    """Return where the heads of this model and the workspace's taxonomy are kept."""
    from xintu_cli.providers.heads import HeadShelf

    return HeadShelf.of(workspace.locations.heads, manifest.name, workspace.taxonomy.name)


def open_local_model(workspace: Workspace) -> OnnxClassifier:
    """Return the local model with the head in use, not loaded yet; raise `ModelFileError`."""
    from xintu_cli.providers.onnx import OnnxClassifier

    manifest = find_model(workspace)
    head = head_shelf(workspace, manifest).in_use()
    # A model that travels with xintu was tried when it was made.
    proven = manifest.directory.parent == data_directory("models")
    return OnnxClassifier(manifest, workspace.taxonomy, head=head, proven=proven)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A local model's directory, and its manifest or what is wrong with it."""

    name: str
    directory: Path
    manifest: ModelManifest | ModelFileError


def installed_models(workspace: Workspace, name: str | None = None) -> list[InstalledModel]:
    """List the models of this installation and of the user, or the one that `name` names."""
    from xintu_cli.providers.manifest import load_manifest

    if name is not None and is_directory(name):
        directories = [expand_home(name)]
    else:
        homes = (workspace.locations.models, data_directory("models"))
        found = {d.name: d for home in reversed(homes) if home.is_dir() for d in home.iterdir()}
        directories = [d for key, d in sorted(found.items()) if (d / "model.toml").is_file()]
        if name is not None:
            directories = [d for d in directories if d.name == name]
            if not directories:
                raise _no_such_model(name)
    models = []
    for directory in directories:
        manifest: ModelManifest | ModelFileError
        try:
            manifest = load_manifest(directory)
        except ModelFileError as error:
            manifest = error
        models.append(InstalledModel(directory.absolute().name, directory, manifest))
    return models


def known_models(workspace: Workspace) -> list[InstalledModel]:
    """List the installed models, and the configured one where it is a directory elsewhere."""
    found = installed_models(workspace)
    if is_directory(workspace.settings.model):
        found += installed_models(workspace, workspace.settings.model)
    return found


def is_directory(model: str) -> bool:
    """Tell a directory from the name of an installed model."""
    return "/" in model or os.sep in model


def _no_such_model(name: str) -> ConfigurationError:
    here = expand_home(name).is_dir()
    return ConfigurationError(
        f"there is no local model {name!r}. "
        + (f"For the directory write ./{name}. " if here else "")
        + "`xintu models list` shows what is installed."
    )
