"""Where this machine keeps xintu's state: `XINTU_HOME`, else the platform's user directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xintu_cli.errors import StorageError


@dataclass(frozen=True, slots=True)
class Locations:
    """Every path xintu writes without being asked to."""

    state: Path
    config_file: Path

    @property
    def cache_file(self) -> Path:
        """The default cache."""
        return self.state / "cache.db"

    @property
    def index_file(self) -> Path:
        """What this machine knows of its files."""
        return self.state / "index.db"

    @property
    def spool_file(self) -> Path:
        """Answers that were paid for while the cache was away."""
        return self.state / "spool.db"

    @property
    def descriptions_file(self) -> Path:
        """Descriptions that are not to be shared with a common cache."""
        return self.state / "descriptions.db"

    @property
    def locks(self) -> Path:
        """One lock file per (roots, task), and one per run that pays for photos."""
        return self.state / "locks"

    @property
    def absences(self) -> Path:
        """One note per cache that was away."""
        return self.state / "absences"

    @property
    def models(self) -> Path:
        """Other ONNX models of the user's."""
        return self.state / "models"

    @property
    def heads(self) -> Path:
        """What the local models have learnt from the user's photos."""
        return self.state / "heads"

    @property
    def consent_file(self) -> Path:
        """Which hosts the user has allowed photos to be sent to."""
        return self.state / "consent.json"

    def prepare(self) -> None:
        """Create the state directory, readable by its owner alone."""
        try:
            for directory in (self.state, self.locks):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot create {error.filename}: {error.strerror}. "
                "Set XINTU_HOME to a directory you can write."
            ) from error


def expand_home(path: str | Path) -> Path:
    """Replace a leading ~ by the home directory.

    One of a user who does not exist stays: it may be a file's name (`~old`), and
    `Path.expanduser` would raise `RuntimeError`.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def find_locations(environ: Mapping[str, str] = os.environ) -> Locations:
    """Read `XINTU_HOME`, else ask platformdirs; creates nothing."""
    home = environ.get("XINTU_HOME", "").strip()
    if home:
        state = expand_home(home).absolute()
        return Locations(state=state, config_file=state / "config.toml")
    import platformdirs  # 24 ms, and not needed with XINTU_HOME

    return Locations(
        state=Path(platformdirs.user_data_dir("xintu", appauthor=False)),
        config_file=Path(platformdirs.user_config_dir("xintu", appauthor=False)) / "config.toml",
    )
