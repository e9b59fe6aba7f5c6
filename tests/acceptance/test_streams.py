"""What goes where: stdout carries what was asked for, stderr the rest, neither any control byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Finished, Home, clean_environment, installed_command
from tests.support.invariants import check_export, check_streams
from tests.support.photos import make_jpeg, make_tree

STRANGE_NAMES = [
    b"new\nline.jpg",
    b"carriage\rreturn.jpg",
    b"escape\x1b[31mred\x1b]0;title\x07.jpg",
    b"\xe2\x80\xaeoverride.jpg",
    b"[red]markup[bold].jpg",
    b"%s{0}{path}.jpg",
    b"not\xffutf8\xe9.jpg",
    b"=1+1.jpg",
    b"@sum.jpg",
    b"-dash.jpg",
    b"quote\"and'quote.jpg",
    b"tab\there.jpg",
    "照片 🐱.jpg".encode(),
    "é.jpg".encode(),
    "e\u0301.jpg".encode(),
    b"x" * 251 + b".jpg",
    b"' OR 1=1; DROP TABLE classification; --.jpg",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of three photos."""
    folder = tmp_path / "photos"
    make_tree(folder, 3)
    return folder


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Return a folder whose files have every name that ever broke a program, and one failure."""
    folder = tmp_path / "strange"
    folder.mkdir()
    for number, name in enumerate(STRANGE_NAMES):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(make_jpeg(number))
    with open(os.fsencode(folder) + b"/broken\x1b[2J\n.jpg", "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    return folder


def shell(home: Home, script: str) -> Finished:
    """Run a shell script in which "$@" is xintu."""
    completed = subprocess.run(
        ["sh", "-c", script, "sh", *installed_command()],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        cwd=home.path, env=clean_environment(home.path),
    )  # fmt: skip
    return Finished(
        completed.returncode,
        completed.stdout.decode("utf-8", "surrogateescape"),
        completed.stderr.decode("utf-8", "surrogateescape"),
        (script,),
    )


def test_classify_says_nothing_on_stdout(home: Home, photos: Path) -> None:
    finished = home.run("classify", photos)
    assert (finished.exit_code, finished.stdout) == (0, ""), finished
    assert "3" in finished.stderr


def test_not_on_a_terminal_there_are_plain_lines_only(home: Home, photos: Path) -> None:
    finished = home.run("classify", photos)
    check_streams(finished)
    assert "\r" not in finished.stderr


def test_quiet_says_nothing_when_all_is_well(home: Home, photos: Path) -> None:
    finished = home.run("classify", "-q", photos)
    assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "", ""), finished


def test_quiet_still_says_what_went_wrong(home: Home, photos: Path) -> None:
    (photos / "broken.jpg").write_text("no image", encoding="utf-8")
    finished = home.run("classify", "-q", photos)
    assert finished.exit_code == 3
    assert "broken.jpg" in finished.stderr


def test_a_summary_on_stdout_is_all_of_stdout(home: Home, photos: Path) -> None:
    finished = home.run("classify", photos, "--summary", "-")
    assert finished.json()["found"] == 3


def test_strange_names_are_found_classified_shown_and_exported(home: Home, strange: Path) -> None:
    finished, summary = home.summary(strange)
    assert finished.exit_code == 3, finished
    assert [summary[key] for key in ("local", "failed")] == [len(STRANGE_NAMES), 1]
    check_streams(Finished(3, "", finished.stderr))
    check_export(home, [strange], summary)


def test_json_names_every_file_so_that_it_can_be_found_again(home: Home, strange: Path) -> None:
    home.run("classify", strange)
    finished = home.run("export", strange, "-o", "-", "--format", "json")
    paths = [row["path"] for row in finished.json()]
    assert sum(os.path.lexists(path) for path in paths) >= len(STRANGE_NAMES) - 1


@pytest.mark.parametrize("locale", [{"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "zh_CN.UTF-8"}])
def test_any_locale_will_do(home: Home, strange: Path, locale: dict[str, str]) -> None:
    finished, summary = home.summary(strange, env=locale)
    assert summary["local"] == len(STRANGE_NAMES), finished
    check_streams(Finished(3, "", finished.stderr))


@pytest.mark.parametrize(
    "words",
    [
        "cache check -v",
        "cache check -v --json",
        "config show",
        "config show --json",
        "config init -y",
        "stats --lang zh",
        "stats --json",
        "doctor",
        "doctor --json",
        "models list --json",
    ],
)
def test_no_command_fails_of_a_locale_that_cannot_write_its_words(
    home: Home, tmp_path: Path, words: str
) -> None:
    """An ISO-8859 locale of old is neither UTF-8 nor one that Python takes for UTF-8."""
    folder = tmp_path / "照片"
    folder.mkdir()
    (folder / "😀.jpg").write_bytes(make_jpeg(1))
    paths = [folder] if "check" in words else []
    old = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    old |= {"XINTU_OUTPUT": "照片.csv"}
    finished = home.run(*words.split(), *paths, env=old)
    assert finished.exit_code == 0, finished
    assert (finished.stdout + finished.stderr).isascii(), finished
    check_streams(finished)
    if "--json" in words:
        lines = finished.lines() if paths else [finished.stdout]
        found = [json.loads(line) for line in lines]
        assert not paths or found[0]["path"] == str(folder / "😀.jpg")
    assert [path.name for path in home.state.glob(".*")] == []


def test_cron_gives_no_home_no_locale_and_no_terminal(home: Home, photos: Path) -> None:
    state = home.path / "state"
    script = f'env -i PATH=/usr/bin:/bin XINTU_HOME="{state}" "$@" classify -q "{photos}"'
    finished = shell(home, script)
    assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "", ""), finished


def test_no_home_at_all_is_no_traceback(home: Home, photos: Path) -> None:
    finished = shell(home, f'env -i PATH=/usr/bin:/bin "$@" classify "{photos}" --dry-run')
    check_streams(finished)
    assert finished.exit_code in {0, 74}, finished


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_keep_the_work_from_being_done(
    home: Home, photos: Path, closed: str
) -> None:
    finished = shell(home, f'"$@" classify "{photos}" {closed}')
    assert finished.exit_code == 0, finished
    check_streams(finished)
    _, second = home.summary(photos)
    assert [second[key] for key in ("cached", "local")] == [3, 0]


def test_no_file_of_ours_gets_the_number_of_a_closed_stream(home: Home) -> None:
    look = (
        "import os; from xintu_cli.cli.main import fill_standard_descriptors as fill; fill();"
        "print([os.readlink(f'/proc/self/fd/{n}') for n in range(3)], file=open('fds', 'w'))"
    )
    told = home.path / "told"
    told.mkdir()
    command = f'cd "{told}" && "{sys.executable}" -c "{look}" <&- >&- 2>&-'
    assert shell(home, command).exit_code == 0
    assert (told / "fds").read_text("utf-8") == f"{['/dev/null'] * 3}\n"


@pytest.mark.parametrize(
    "arguments",
    ["doctor", "stats --json", "models list", "config show", 'cache check "{photos}"', "--version"],
)
def test_an_answer_that_has_nowhere_to_go_is_no_bug(
    home: Home, photos: Path, arguments: str
) -> None:
    finished = shell(home, f'"$@" {arguments.format(photos=photos)} >&-')
    assert (finished.exit_code, finished.stderr) == (
        73,
        "xintu: cannot write to stdout: it is closed. Write somewhere else.\n",
    ), finished


def test_a_reader_that_goes_away_is_no_error_worth_a_word(home: Home, photos: Path) -> None:
    home.run("classify", photos)
    export = f'"$@" export "{photos}" -o - --format csv'
    finished = shell(home, f"{export} | head -n 1")
    assert finished.stdout.startswith("path,image_hash,category"), finished
    assert finished.stderr == "", finished


@pytest.mark.parametrize(
    "arguments",
    ['export "{photos}" -o - --format csv', 'cache check -v "{photos}"', "stats", "config show"],
)
def test_a_command_whose_reader_goes_away_ends_well(
    home: Home, photos: Path, arguments: str
) -> None:
    """Seen by `set -o pipefail`: the code 1 would call it a bug of ours."""
    command = f'"$@" {arguments.format(photos=photos)}'
    finished = shell(home, f"({command}; echo $? >code) | true; cat code")
    assert finished.lines() == ["0"], finished
    assert finished.stderr == "", finished


def test_progress_that_nobody_reads_does_not_stop_the_work(home: Home, photos: Path) -> None:
    shell(home, f'"$@" classify "{photos}" 2>&1 | true')
    _, second = home.summary(photos)
    assert second["cached"] == 3


@pytest.mark.parametrize("command", ["stats", "doctor", "models list", "config show"])
def test_an_answer_that_does_not_fit_on_the_disk_is_told(home: Home, command: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    finished = shell(home, f'"$@" {command} >/dev/full')
    assert finished.exit_code == 73, finished
    assert finished.stderr.startswith("xintu: cannot write to stdout: No space left"), finished


def test_a_full_stdout_is_an_output_error(home: Home, photos: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    home.run("classify", photos)
    finished = shell(home, f'"$@" export "{photos}" -o - --format csv >/dev/full')
    assert finished.exit_code == 73, finished
    check_streams(finished)


def test_no_secret_of_the_environment_is_ever_shown(home: Home, photos: Path) -> None:
    canary = "sk-canary-9f3a7c21"
    names = ("DASHSCOPE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
    env = {name: f"{canary}-{name.lower()}" for name in names}
    finished, _ = home.summary(photos, "-v", "--debug", env=env)
    assert finished.exit_code == 0, finished
    check_streams(finished, secrets=[canary])


def test_without_a_word_about_a_provider_nothing_leaves_the_machine(
    home: Home, photos: Path, no_network: list[str]
) -> None:
    env = {"OPENAI_API_KEY": "sk-canary-9f3a7c21"}
    finished, summary = home.summary(photos, env=env, wrapper=no_network)
    assert (finished.exit_code, summary["calls"]) == (0, 0), finished
    assert re.search(r"(?i)local", finished.stderr), finished


@pytest.mark.parametrize("arguments", [["classify", "photos"], ["doctor"], ["models", "verify"]])
def test_no_library_notes_anything_of_the_machine(
    home: Home, tmp_path: Path, strace: Callable[..., list[str]], arguments: list[str]
) -> None:
    """Left alone, onnxruntime makes an id in ~/.cache and sends counts of its use to its maker."""
    make_tree(tmp_path / "photos", 3)
    before = set(home.path.rglob("*"))
    calls = tmp_path / "calls"
    wrapper = strace("-e", "trace=connect", "-o", str(calls))
    env = {"ORT_DISABLE_TELEMETRY": "0"}
    finished = home.run(*arguments, cwd=tmp_path, env=env, wrapper=wrapper)
    assert finished.exit_code == 0, finished
    new = set(home.path.rglob("*")) - before - {tmp_path / "calls"}
    assert [path for path in new if path != home.state and home.state not in path.parents] == []
    assert "AF_INET" not in calls.read_text(encoding="utf-8")
