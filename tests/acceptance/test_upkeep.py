"""Looking after it: `cache prune`, `migrate`, `copy`, `doctor`, `--version`, completion."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.databases import CacheDatabase, MariaDb
from tests.support.invariants import check_streams
from tests.support.photos import make_tree


@pytest.fixture
def photos(tmp_path: Path, home: Home) -> Path:
    """Return a folder of six photos that are classified."""
    folder = tmp_path / "photos"
    make_tree(folder, 6)
    assert home.run("classify", folder).exit_code == 0
    return folder


def rows(home: Home, table: str, cache: str = "cache.db") -> int:
    with closing(sqlite3.connect(home.state / cache)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# ---- prune -----------------------------------------------------------------------------------


def test_pruning_says_first_and_then_does_what_it_said(home: Home, photos: Path) -> None:
    said = home.run("cache", "prune", "--log-days", "0", "--dry-run")
    assert "would delete 6 rows of the log" in said.stdout, said
    assert rows(home, "request_log") == 6
    done = home.run("cache", "prune", "--log-days", "0")
    assert done.stdout == said.stdout.replace("would delete", "deleted")
    assert (rows(home, "request_log"), rows(home, "classification")) == (0, 6)
    assert rows(home, "daily") == 1
    _, again = home.summary(photos)
    assert again["cached"] == 6


@pytest.mark.usefixtures("photos")
def test_nothing_old_is_nothing_to_prune(home: Home) -> None:
    finished = home.run("cache", "prune", "--other-models")
    assert (finished.exit_code, finished.stdout) == (
        0, "deleted nothing: nothing has served its time\n",
    )  # fmt: skip
    assert rows(home, "classification") == 6


@pytest.mark.usefixtures("photos")
def test_answers_of_other_models_go_when_they_are_named(home: Home) -> None:
    with closing(sqlite3.connect(home.state / "cache.db")) as connection, connection:
        connection.execute(
            "UPDATE classification SET model = 'xintu-lite@old' WHERE image_hash IN"
            " (SELECT image_hash FROM classification LIMIT 2)"
        )
    assert "2 answers of other local models" in home.run("cache", "prune", "--other-models").stdout
    assert rows(home, "classification") == 4


def test_a_tasks_answers_go_only_by_its_name_and_a_yes(home: Home, photos: Path) -> None:
    unknown = home.run("cache", "prune", "--task", "f" * 16)
    assert unknown.exit_code == 2, unknown
    [task] = re.findall(r"answers to ([0-9a-f]{16}) \(your taxonomy xintu\)", unknown.stderr)
    unsure = home.run("cache", "prune", "--task", task)
    assert (unsure.exit_code, "-y" in unsure.stderr) == (2, True), unsure
    assert rows(home, "classification") == 6
    home.run("label", photos, "--as", "pets")
    assert "6 answers to the named task" in home.run("cache", "prune", "--task", task, "-y").stdout
    # Nobody's word goes with it.
    assert (rows(home, "classification"), rows(home, "manual_label")) == (0, 6)


def test_what_is_gone_from_a_named_folder_is_forgotten(home: Home, photos: Path) -> None:
    shutil.rmtree(photos / "2023")
    said = home.run("cache", "prune", photos, "--dry-run").stdout
    assert said == "would delete 2 index entries of files that are gone\n"
    home.run("cache", "prune", photos)
    with closing(sqlite3.connect(home.state / "index.db")) as connection:
        assert connection.execute("SELECT count(*) FROM file").fetchone() == (4,)


def test_a_folder_that_may_be_unmounted_is_left_alone(home: Home, photos: Path) -> None:
    shutil.rmtree(photos)
    photos.mkdir()
    finished = home.run("cache", "prune", photos)
    assert finished.exit_code == 0, finished
    assert "mounted" in finished.stderr
    with closing(sqlite3.connect(home.state / "index.db")) as connection:
        assert connection.execute("SELECT count(*) FROM file").fetchone() == (6,)


# ---- migrate and copy ------------------------------------------------------------------------


def test_migrating_makes_a_cache_once(home: Home) -> None:
    first, second = home.run("cache", "migrate"), home.run("cache", "migrate")
    assert (first.exit_code, second.exit_code) == (0, 0), first
    assert "took 1 step" in first.stdout
    assert "nothing to do" in second.stdout


def test_a_copied_cache_answers_on_another_machine(home: Home, photos: Path) -> None:
    target = f"sqlite:///{home.state}/other.db"
    source = f"sqlite:///{home.state}/cache.db"
    home.run("label", photos / "2023", "--as", "pets")
    first = home.run("cache", "copy", source, target)
    assert first.exit_code == 0, first
    assert "8 rows copied" in first.stderr
    assert home.run("cache", "copy", source, target, "-q").stderr == ""
    assert (rows(home, "classification", "other.db"), rows(home, "manual_label", "other.db")) == (
        6,
        2,
    )
    (home.state / "index.db").unlink()
    _, there = home.summary(photos, "--cache", target)
    assert (there["cached"], there["manual"], there["local"]) == (6, 2, 0)


def test_a_laptops_cache_moves_to_a_server_and_back(
    home: Home, photos: Path, mariadb: MariaDb
) -> None:
    server = mariadb.url(mariadb.create_database())
    source = f"sqlite:///{home.state}/cache.db"
    assert home.run("cache", "copy", source, server).exit_code == 0
    back = home.run("cache", "copy", server, f"sqlite:///{home.state}/back.db")
    assert back.exit_code == 0, back
    check_streams(back)
    assert rows(home, "classification", "back.db") == 6
    _, there = home.summary(photos, "--cache", server)
    assert there["cached"] == 6
    told = home.run("stats", "--cache", server, "--json").json()
    assert told["answers"]["local"] == 6
    assert "deleted nothing" in home.run("cache", "prune", "--cache", server).stdout


@pytest.mark.parametrize(
    ("source", "target", "exit_code", "said"),
    [
        ("cache.db", "cache.db", 2, "two caches"),
        ("none.db", "cache.db", 66, "none.db"),
        ("cache.db", "../state/cache.db", 2, "two caches"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_a_copy_of_nothing_or_onto_itself_is_refused(
    home: Home, source: str, target: str, exit_code: int, said: str
) -> None:
    urls = [f"sqlite:///{home.state}/{name}" for name in (source, target)]
    finished = home.run("cache", "copy", *urls)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr
    assert not (home.state / "none.db").exists()


def test_a_copy_from_an_empty_database_makes_nothing_in_it(
    home: Home, tmp_path: Path, database: CacheDatabase
) -> None:
    if database.kind == "sqlite":
        path = Path(database.url.removeprefix("sqlite:///"))
        path.parent.mkdir()
        path.write_bytes(b"")
    target = tmp_path / "target.db"
    finished = home.run("cache", "copy", database.url, f"sqlite:///{target}")
    assert finished.exit_code == 66, finished
    assert "there is no cache in" in finished.stderr
    assert not target.exists()
    tables = {
        "sqlite": "SELECT name FROM sqlite_master",
        "mysql": "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    }
    assert database.fetch(tables[database.kind]) == []


def test_a_cache_in_memory_is_refused_and_no_file_of_that_name_is_made(
    home: Home, tmp_path: Path
) -> None:
    finished = home.run("classify", tmp_path, "--cache", "sqlite:///:memory:")
    assert finished.exit_code == 78, finished
    assert "would end with the program" in finished.stderr
    assert not (home.path / ":memory:").exists()


@pytest.mark.usefixtures("photos")
def test_a_url_that_is_none_is_told(home: Home) -> None:
    finished = home.run("cache", "copy", "cache.db", "other.db")
    assert finished.exit_code == 78, finished
    assert "sqlite:" in finished.stderr


@pytest.mark.usefixtures("photos")
def test_what_the_cache_holds_has_a_number_for_every_source(home: Home) -> None:
    told = home.run("cache", "info", "--json").json()
    assert told["sources"] == {"manual": 0, "llm": 0, "local": 6}


# ---- doctor ----------------------------------------------------------------------------------


def test_the_doctor_finds_a_new_machine_well(home: Home) -> None:
    finished = home.run("doctor")
    assert finished.exit_code == 0, finished
    check_streams(finished)
    verdicts = {line.split()[0] for line in finished.lines() if not line.startswith(" ")}
    assert verdicts <= {"ok", "warning"}
    told = home.run("doctor", "--json").json()
    assert told["exit_code"] == 0
    assert {"part", "verdict", "said", "mend"} == set(told["findings"][0])


def test_the_doctor_speaks_chinese_and_its_json_keeps_its_keys(home: Home) -> None:
    lines = home.run("doctor", "--lang", "zh").lines()
    assert {line.split()[0] for line in lines if not line.startswith(" ")} <= {"正常", "注意"}
    assert not [line for line in lines if line.isascii()]
    told = home.run("doctor", "--lang", "zh", "--json").json()
    assert {finding["verdict"] for finding in told["findings"]} <= {"ok", "warning"}
    assert told["findings"][0]["part"] == "cache"


def test_a_model_of_ones_own_is_not_mended_by_installing_xintu(home: Home, tmp_path: Path) -> None:
    own = home.run("doctor", "--model", tmp_path)
    assert "models list" in own.stdout
    assert "pip install" not in own.stdout


@pytest.mark.parametrize(
    "command",
    [
        'label "{photos}" --as pets',
        'label "{photos}" --clear',
        'export "{photos}" -o labels.csv',
        'report "{photos}" -o page.html',
        'cache check "{photos}"',
        "cache info --cache sqlite:///{home}/cache.db",
        "cache prune",
        "cache prune --dry-run",
        "cache migrate",
        'cache copy "sqlite:///{home}/cache.db" "sqlite:///{home}/other.db"',
        "config init",
    ],
)
def test_the_smaller_commands_speak_chinese_where_the_locale_does(
    home: Home, photos: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    words = shlex.split(command.format(photos=photos, home=home.state))
    finished = home.run(*words, env={"LANG": "zh_CN.UTF-8"})
    assert finished.exit_code == 0, finished
    told = (finished.stdout + finished.stderr).splitlines()
    assert told
    assert not [line for line in told if line.isascii() and "sqlite:" not in line]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "part"),
    [
        (["--cache", "mysql://me:CANARY@127.0.0.1:1/none"], 74, "cache"),
        (["--model", "nono"], 78, "model"),
        (["--taxonomy", "nono"], 78, "settings"),
        (["--config", "nowhere.toml"], 78, "settings"),
    ],
)
def test_the_doctor_names_what_is_broken(
    home: Home, arguments: list[str], exit_code: int, part: str
) -> None:
    finished = home.run("doctor", *arguments)
    assert finished.exit_code == exit_code, finished
    assert [line.split()[1] for line in finished.lines() if line.startswith("broken")] == [part]
    check_streams(finished, ["CANARY"])
    told = home.run("doctor", "--json", *arguments)
    assert (told.exit_code, json.loads(told.stdout)["exit_code"]) == (exit_code, exit_code)


def test_the_doctor_tells_who_else_can_read_a_password(home: Home) -> None:
    config = home.path / "mine.toml"
    config.write_text('cache = "mysql://me:CANARY@127.0.0.1:1/none"\n', encoding="utf-8")
    config.chmod(0o644)
    finished = home.run("doctor", "--config", config)
    assert f"chmod 600 {config}" in finished.stdout, finished
    check_streams(finished, ["CANARY"])


def test_the_doctor_finds_a_full_disk(home: Home, small_disk: Callable[[str], Path]) -> None:
    state = small_disk("4m")
    finished = home.run("doctor", env={"XINTU_HOME": str(state)})
    assert finished.exit_code == 74, finished
    assert any(line.startswith("broken   disk") for line in finished.lines())


def test_the_doctor_tells_a_clock_that_cannot_be_right(
    home: Home, other_clock: Callable[[str], list[str]]
) -> None:
    finished = home.run("doctor", wrapper=other_clock("-20y"))
    assert any(line.startswith("warning  clock") for line in finished.lines()), finished


# ---- version and completion ------------------------------------------------------------------


def test_the_version_is_the_first_line_and_the_rest_is_for_a_bug_report(home: Home) -> None:
    finished = home.run("--version")
    first, *others = finished.lines()
    assert re.fullmatch(r"xintu \d+\.\d+\.\d+\S*", first), finished
    text = "\n".join(others)
    for word in ("Python 3.", "SQLite 3.", "model xintu-lite@", "onnxruntime ", "pillow "):
        assert word in text, word
    assert str(home.path) not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("xintu ", ["classify", "doctor", "evaluate", "report", "stats"]),
        ("xintu cache ", ["check", "copy", "info", "migrate", "prune"]),
        ("xintu models b", ["bench"]),
        ("xintu classify --pol", ["--policy"]),
    ],
)
def test_bash_completes_commands_and_options(home: Home, words: str, expected: list[str]) -> None:
    parts = words.split(" ")
    finished = home.run(
        env={
            "_XINTU_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(parts) - 1),
        }
    )
    assert finished.exit_code == 0, finished
    assert set(expected) <= set(finished.lines()), finished


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_can_be_shown(home: Home, shell: str) -> None:
    finished = home.run(
        "--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    )
    assert finished.exit_code == 0, finished
    assert "_XINTU_COMPLETE" in finished.stdout.upper()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("cla", ["classify"]),
        ("classify --policy h", ["hybrid"]),
        ("classify --refresh s", ["stale"]),
        ("classify --lang z", ["zh"]),
        ("classify --provider open", ["openai"]),
        ("classify --keep-local id", ["idcard"]),
        ("label a.jpg --as p", ["pets"]),
        ("classify /", []),
    ],
)
def test_the_values_that_can_be_known_are_completed(
    home: Home, typed: str, expected: list[str]
) -> None:
    words = f"xintu {typed}"
    env = {
        "_XINTU_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    finished = home.run(env=env)
    assert (finished.exit_code, finished.stderr) == (0, ""), finished
    assert finished.stdout.split() == expected


def test_a_configuration_that_is_wrong_spoils_no_line_somebody_types(home: Home) -> None:
    env = {
        "_XINTU_COMPLETE": "complete_bash",
        "COMP_WORDS": "xintu label a --as ",
        "COMP_CWORD": "4",
    }
    finished = home.run(env={**env, "XINTU_TAXONOMY": "nonsense"})
    assert (finished.exit_code, finished.stdout.strip(), finished.stderr) == (0, "", ""), finished


# ---- an empty folder -------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_an_empty_folder_is_a_warning_that_cron_mails(
    home: Home, tmp_path: Path, quiet: list[str]
) -> None:
    folder = tmp_path / "mount point"
    folder.mkdir()
    finished = home.run("classify", folder, *quiet)
    assert finished.exit_code == 0, finished
    assert "mounted" in finished.stderr
    make_tree(folder / ".thumbnails", 1)
    (folder / "@eaDir").mkdir()
    named = home.run("classify", folder, *quiet)
    assert ".thumbnails, @eaDir" in named.stderr
    assert "--hidden" in named.stderr
    chinese = home.run("classify", folder, *quiet, "--lang", "zh")
    assert "没有找到任何文件" in chinese.stderr
    assert "nothing was found" not in chinese.stderr


def test_a_folder_that_another_one_shares_is_not_empty(home: Home, tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    [photo] = make_tree(inner, 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    for roots in ([outer, inner], [inner, outer], [photo, outer], [outer, photo, inner]):
        finished = home.run("classify", "-q", *roots)
        assert (finished.exit_code, finished.stderr) == (0, ""), finished
    assert str(empty) in home.run("classify", "-q", outer, empty).stderr


def test_a_dry_run_says_who_would_do_what(home: Home, tmp_path: Path) -> None:
    make_tree(tmp_path / "new", 3)
    finished = home.run("classify", tmp_path / "new", "--dry-run")
    assert "3 photos for the local model: no call, no money" in finished.stderr
    assert home.run("stats", "--json").json()["periods"]["all_time"]["runs"] == 0
