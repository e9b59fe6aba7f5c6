"""The READMEs' commands: each is run, and each command of the program is among them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Home, clean_environment, installed_command
from tests.support.photos import make_tree

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh-CN.md"]


def commands(name: str) -> list[str]:
    """Return the lines of the blocks marked `sh`; those marked `shell` are for people to run."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], str]:
    """Return every command, those of groups as two words, with what `--help` says of it."""
    home = Home(tmp_path_factory.mktemp("home"), {"COLUMNS": "200"})
    return dict(_commands_below(home))


def _commands_below(home: Home, *group: str) -> Iterator[tuple[tuple[str, ...], str]]:
    told = home.run(*group, "--help").stdout
    names = re.findall(r"^  (\S+) ", told.partition("Commands:")[2], re.MULTILINE)
    if not names:
        yield group, told
    for name in names:
        yield from _commands_below(home, *group, name)


def test_every_command_works_as_it_stands_there(home: Home) -> None:
    make_tree(home.path / "Pictures", 6, folders=("2024", "Scans"))
    make_tree(home.path / "Labelled", 24, folders=("pets", "other"))
    directory = home.path / "bin"
    directory.mkdir()
    (directory / "xintu").symlink_to(installed_command()[0])
    environment = clean_environment(home.path)
    environment["PATH"] = f"{directory}:{environment['PATH']}"
    for command in commands("README.md"):
        finished = subprocess.run(
            ["sh", "-c", command], cwd=home.path, env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, (command, finished)


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = ([shlex.split(c, comments=True) for c in commands(n)] for n in READMES)
    assert chinese == english


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_the_program_is_there(
    program: dict[tuple[str, ...], str], name: str
) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    missing = [words for words in program if f"xintu {' '.join(words)}" not in text]
    assert missing == []


def test_every_option_that_is_named_exists(program: dict[tuple[str, ...], str]) -> None:
    unknown = [
        (line, word)
        for line in commands("README.md")
        for word in shlex.split(line, comments=True)
        if word.startswith("--")
        if not any(word in told for words, told in program.items() if line.split()[1] == words[0])
    ]
    assert unknown == []
