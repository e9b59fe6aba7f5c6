"""`configs/default.toml` says every setting there is, with the default it has."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from xintu_cli.settings import HARMLESS, Settings

TEXT = (Path(__file__).parents[2] / "configs" / "default.toml").read_text(encoding="utf-8")
SETTINGS = TEXT.partition("# [[provider]]")[0]
UNSET = re.findall(r"(?m)^# ([a-z_]+) = ", SETTINGS)


def test_what_it_sets_are_the_defaults() -> None:
    defaults = Settings().model_dump(mode="json")
    assert tomllib.loads(TEXT) == {
        key: value for key, value in defaults.items() if value is not None
    }


def test_what_it_leaves_unset_has_no_default() -> None:
    assert [getattr(Settings(), key) for key in UNSET] == [None] * len(UNSET)


def test_it_names_every_setting_once() -> None:
    assert sorted([*tomllib.loads(TEXT), *UNSET]) == sorted(Settings.model_fields)


def test_every_setting_is_explained_in_the_line_above_it() -> None:
    lines = SETTINGS.splitlines()
    setting = re.compile(r"(# )?[a-z_]+ = ")
    bare = [
        line
        for above, line in pairwise(lines)
        if setting.match(line) and (setting.match(above) or not above.startswith("# "))
    ]
    assert bare == []


def test_it_says_what_a_directory_may_set() -> None:
    [said] = re.findall(r"may set only: ([a-z, ]+)\.", TEXT)
    assert set(said.split(", ")) == HARMLESS
