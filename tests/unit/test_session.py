"""What every command does first, and how a run's end becomes an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from xintu_cli.cli.run import end
from xintu_cli.cli.session import language_of_locale, open_session
from xintu_cli.errors import CacheUnreachableError, ConfigurationError, UsageError
from xintu_cli.tally import Tally

DONE = Tally("r").summary("done", 0, 1.0)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "ZH_tw"}, "zh"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_CN", "LANG": "C"}, "zh"),
    ],
)
def test_the_locale_chooses_the_language(environ: Mapping[str, str], expected: str) -> None:
    assert language_of_locale(environ) == expected


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory of a user who has configured nothing."""
    monkeypatch.setenv("XINTU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_session_knows_settings_taxonomy_and_language(nowhere: Path) -> None:
    session = open_session({"lang": "zh", "max_calls": 0, "include": [], "wait": None})
    assert session.language == "zh"
    assert session.workspace.settings.max_calls == 0
    assert session.configuration.origins["include"] == "default"
    assert session.workspace.taxonomy.name == "xintu"
    assert session.workspace.cache_url == f"sqlite:///{nowhere / 'home' / 'cache.db'}"


def test_the_directory_one_stands_in_is_asked_for_its_settings(nowhere: Path) -> None:
    (nowhere / "xintu.toml").write_text('exclude = ["raw/"]', encoding="utf-8")
    assert open_session({}).workspace.settings.exclude == ("raw/",)


def test_a_directory_that_is_the_home_itself_reads_its_file_once(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the file is the user's own, which may say more."""
    monkeypatch.setenv("XINTU_HOME", str(nowhere))
    (nowhere / "config.toml").write_text("concurrency = 3", encoding="utf-8")
    assert open_session({}).workspace.settings.concurrency == 3


def test_a_directory_that_was_removed_is_no_obstacle(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = nowhere / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert open_session({}).workspace.settings.taxonomy == "xintu"


@pytest.mark.parametrize(
    ("flags", "error"),
    [({"policy": "clown"}, UsageError), ({"taxonomy": "none"}, ConfigurationError)],
)
def test_what_is_wrong_is_known_before_anything_is_made(
    nowhere: Path, flags: Mapping[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_session(flags)
    assert not (nowhere / "home").exists()


@pytest.mark.parametrize("word", ["证件照", "Identity document", "IDCARD"])
@pytest.mark.usefixtures("nowhere")
def test_what_is_kept_may_be_named_as_it_is_shown(word: str) -> None:
    """Whoever takes a display name for a key must not have those photos sent."""
    settings = open_session({"keep_local": [word, "none"]}).workspace.settings
    assert settings.kept_local(()) == ("idcard",)


def test_the_own_files_of_a_run_are_known_to_the_walk(nowhere: Path) -> None:
    flags = {"output": "labels.csv", "summary": "-", "cache": "sqlite:///answers.db"}
    workspace = open_session(flags).workspace
    own = {Path(path.decode()) for path in workspace.own_paths}
    assert {nowhere / "home", nowhere / "labels.csv", nowhere / "answers.db"} <= own
    assert Path("-").absolute() not in own


# ---- the end of a run ------------------------------------------------------------------------


def test_a_run_without_an_error_ends_with_its_own_code() -> None:
    assert end(replace(DONE, status="partial", exit_code=3), None) == 3


def test_a_run_that_failed_raises_what_it_failed_with() -> None:
    error = CacheUnreachableError("the cache is away.")
    with pytest.raises(CacheUnreachableError):
        end(replace(DONE, status="failed", exit_code=75), error)


def test_a_signal_counts_more_than_what_failed_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = CacheUnreachableError("the cache is away.")
    assert end(replace(DONE, status="interrupted", exit_code=143), error) == 143
    assert capsys.readouterr().err == "xintu: the cache is away.\n"
