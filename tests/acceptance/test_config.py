"""`xintu config`: what is in force and why, and a file that says it all."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.invariants import check_streams
from tests.support.photos import make_tree
from tests.support.terminal import CTRL_C, CTRL_D, OnTerminal
from xintu_cli.settings import ProviderConfig, Settings


def shown(home: Home, *arguments: str, **options: object) -> dict[str, dict[str, object]]:
    finished = home.run("config", "show", "--json", *arguments, **options)
    assert finished.exit_code == 0, finished
    told: dict[str, dict[str, object]] = finished.json()
    return told


# ---- show ------------------------------------------------------------------------------------


def test_every_setting_is_shown_with_where_it_comes_from(home: Home, tmp_path: Path) -> None:
    """The file of the directory one stands in too: a run would go by it."""
    mine = home.state / "config.toml"
    mine.parent.mkdir()
    mine.write_text('concurrency = 8\nlang = "en"\n', encoding="utf-8")
    given = tmp_path / "given.toml"
    given.write_text("concurrency = 4\n", encoding="utf-8")
    here = tmp_path / "here"
    here.mkdir()
    (here / "xintu.toml").write_text('exclude = ["raw/"]\nlang = "zh"\n', encoding="utf-8")
    env = {"XINTU_MAX_CALLS": "7"}
    told = shown(home, "--config", str(given), cwd=here, env=env)
    assert set(told) == set(Settings.model_fields)
    assert told["concurrency"] == {"value": 4, "origin": str(given)}
    assert told["lang"] == {"value": "en", "origin": str(mine)}
    assert told["exclude"] == {"value": ["raw/"], "origin": str(here / "xintu.toml")}
    assert told["max_calls"] == {"value": 7, "origin": "environment"}
    assert told["hidden"] == {"value": False, "origin": "default"}


def test_a_password_and_a_key_are_masked(home: Home) -> None:
    env = {"XINTU_CACHE": "mysql://me:CANARY@db.lan/xintu", "OPENAI_API_KEY": "sk-CANARY"}
    for arguments in ([], ["--json"]):
        finished = home.run("config", "show", *arguments, env=env)
        assert finished.exit_code == 0, finished
        check_streams(finished, ["CANARY"])
        assert "db.lan" in finished.stdout
    assert "OPENAI_API_KEY: set" in home.run("config", "show", env=env).stdout


def test_a_password_in_a_providers_address_is_masked(home: Home) -> None:
    mine = home.state / "config.toml"
    mine.parent.mkdir()
    address = "https://me:CANARY@llm.lan/v1"
    mine.write_text(
        f'[[provider]]\nname = "x"\nkind = "openai"\nbase_url = "{address}"\n', encoding="utf-8"
    )
    for arguments in ([], ["--json"]):
        finished = home.run("config", "show", *arguments)
        assert finished.exit_code == 0, finished
        check_streams(finished, ["CANARY"])
        assert "llm.lan" in "".join(finished.stdout.split())


def test_what_a_directory_may_not_decide_is_refused_by_show_as_by_a_run(home: Home) -> None:
    (home.path / "xintu.toml").write_text('policy = "cloud"\n', encoding="utf-8")
    make_tree(home.path / "photos", 1)
    for arguments in (["config", "show"], ["classify", "photos"]):
        finished = home.run(*arguments)
        assert finished.exit_code == 78, finished
        assert "line 1: policy may not be set by the directory" in finished.stderr


# ---- what is wrong only beside the taxonomy --------------------------------------------------


@pytest.mark.parametrize(
    ("where", "exit_code", "said"),
    [
        ("flag", 2, "--keep-local: the taxonomy xintu has no category 'petz'. Did you mean pets?"),
        ("environment", 78, "XINTU_KEEP_LOCAL: the taxonomy xintu has no category"),
        ("file", 78, "mine.toml: keep_local: the taxonomy xintu has no category"),
    ],
)
def test_a_category_that_is_none_is_told_where_it_was_written(
    home: Home, where: str, exit_code: int, said: str
) -> None:
    make_tree(home.path / "photos", 1)
    (home.path / "mine.toml").write_text('keep_local = ["petz"]\n', encoding="utf-8")
    options = {"flag": ["--keep-local", "petz"], "file": ["--config", "mine.toml"]}
    env = {"XINTU_KEEP_LOCAL": "petz"} if where == "environment" else {}
    finished = home.run("classify", "photos", *options.get(where, []), env=env)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr


# ---- init ------------------------------------------------------------------------------------


def test_without_a_terminal_a_commented_file_is_written_that_changes_nothing(home: Home) -> None:
    finished = home.run("config", "init")
    assert finished.exit_code == 0, finished
    file = home.state / "config.toml"
    assert home.run("config", "path").stdout == f"{file}\n"
    assert tomllib.loads(file.read_text(encoding="utf-8")) == {}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {entry["origin"] for entry in shown(home).values()} == {"default"}
    again = home.run("config", "init")
    assert (again.exit_code, "--force" in again.stderr) == (2, True), again
    assert home.run("config", "init", "--force").exit_code == 0


def test_every_line_of_the_file_may_be_uncommented(home: Home) -> None:
    home.run("config", "init")
    file = home.state / "config.toml"
    settings, _, provider = file.read_text(encoding="utf-8").partition("# [[provider]]")
    file.write_text(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", settings), encoding="utf-8")
    assert {entry["origin"] for entry in shown(home).values()} == {str(file)}
    uncommented = "[[provider]]" + re.sub(r"(?m)^# ", "", provider)
    assert set(tomllib.loads(uncommented)["provider"][0]) == {
        # One of two ways to name a key.
        *(ProviderConfig.model_fields.keys() - {"api_key_file"})
    }


def test_on_a_terminal_a_few_questions_fill_it_in(home: Home) -> None:
    """In the language that was answered first; what is no answer is asked again."""
    with OnTerminal("config", "init", home=home.path) as terminal:
        terminal.wait_for("Language of names and texts")
        terminal.type("fr\n")
        terminal.wait_for("'fr' is none of en, zh.")
        terminal.wait_for("Language of names and texts")
        terminal.type("zh\n")
        terminal.wait_for("照片不离开本机")
        terminal.wait_for("策略")
        terminal.type("hybrid\n")
        terminal.wait_for("模型服务")
        terminal.type("openai\n")
        terminal.wait_for("每次运行最多花费")
        terminal.type("1.5\n")
        terminal.wait_for("共享缓存")
        terminal.type("mysql://nowhere\n")
        terminal.wait_for("must name a host and a database")
        terminal.wait_for("共享缓存")
        terminal.type("mysql://me@db.lan/photos\n")
        assert terminal.finish() == 0
    file = home.state / "config.toml"
    assert tomllib.loads(file.read_text(encoding="utf-8")) == {
        "lang": "zh",
        "policy": "hybrid",
        "provider": ["openai"],
        "max_cost": 1.5,
        "cache": "mysql://me@db.lan/photos",
    }
    assert shown(home)["provider"]["value"] == ["openai"]


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_whoever_leaves_a_question_has_changed_nothing(home: Home, key: str) -> None:
    with OnTerminal("config", "init", home=home.path) as terminal:
        terminal.wait_for("Language of names")
        assert terminal.leave(key) == 130
    assert "Traceback" not in terminal.text
    assert not (home.state / "config.toml").exists()


def test_a_place_that_cannot_be_written_is_an_output_error(home: Home) -> None:
    home.state.write_text("in the way", encoding="utf-8")
    finished = home.run("config", "init")
    assert finished.exit_code == 73, finished
    assert os.fspath(home.state) in finished.stderr
