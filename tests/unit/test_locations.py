"""Where state lies: `XINTU_HOME`, else where the platform wants it; for its owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from xintu_cli.errors import StorageError
from xintu_cli.locations import Locations, expand_home, find_locations


def test_xintu_home_moves_everything(tmp_path: Path) -> None:
    locations = find_locations({"XINTU_HOME": str(tmp_path)})
    everything = [
        locations.state,
        locations.config_file,
        locations.cache_file,
        locations.index_file,
        locations.spool_file,
        locations.locks,
        locations.models,
        locations.consent_file,
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in everything] == [
        ".",
        "config.toml",
        "cache.db",
        "index.db",
        "spool.db",
        "locks",
        "models",
        "consent.json",
    ]


@pytest.mark.parametrize("home", ["", "  "])
def test_an_empty_xintu_home_is_none(home: str) -> None:
    assert find_locations({"XINTU_HOME": home}) == find_locations({})


def test_the_platforms_directories_hold_state_and_configuration_apart() -> None:
    locations = find_locations({})
    assert locations.state.is_absolute()
    assert locations.config_file.name == "config.toml"
    assert "xintu" in locations.state.parts
    assert "xintu" in locations.config_file.parts


def test_a_relative_home_is_made_absolute_since_a_run_may_change_directory() -> None:
    assert find_locations({"XINTU_HOME": "state"}).state == Path.cwd() / "state"


def test_a_tilde_in_the_home_is_the_users() -> None:
    assert find_locations({"XINTU_HOME": "~/state"}).state == Path.home() / "state"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/~/b", "/a/~/b"),
        ("a", "a"),
        ("~nobody-of-that-name", "~nobody-of-that-name"),
        ("~nobody-of-that-name/x.toml", "~nobody-of-that-name/x.toml"),
    ],
)
def test_a_tilde_that_is_no_users_is_part_of_a_name(text: str, expected: str) -> None:
    assert expand_home(text) == Path(expected)


def test_looking_for_locations_creates_nothing(tmp_path: Path) -> None:
    find_locations({"XINTU_HOME": str(tmp_path / "state")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_state_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    locations = Locations(tmp_path / "state", tmp_path / "config.toml")
    before = os.umask(umask)
    try:
        locations.prepare()
    finally:
        os.umask(before)
    for directory in (locations.state, locations.locks):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_preparing_twice_is_preparing_once(tmp_path: Path) -> None:
    locations = Locations(tmp_path / "state", tmp_path / "config.toml")
    locations.prepare()
    locations.cache_file.write_bytes(b"answers")
    locations.prepare()
    assert locations.cache_file.read_bytes() == b"answers"


def test_a_state_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for state, why in (("file", "File exists"), ("file/state", "Not a directory")):
        locations = Locations(tmp_path / state, tmp_path / "config.toml")
        with pytest.raises(StorageError) as caught:
            locations.prepare()
        assert str(caught.value) == (
            f"cannot create {tmp_path / state}: {why}. Set XINTU_HOME to a directory you can write."
        )
