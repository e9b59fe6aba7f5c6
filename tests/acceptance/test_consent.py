"""The one question about the cloud, on a real terminal, and what becomes of its answer."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Home
from tests.support.invariants import check_accounts
from tests.support.photos import make_tree
from tests.support.terminal import CTRL_C, CTRL_D, OnTerminal
from tests.support.vendor_process import VendorProcess

CANARY = "sk-cnry-77aa01"
PHOTOS = 6
QUESTION = "in this run and in later ones? [y/N]"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


@pytest.fixture
def vendor() -> Iterator[VendorProcess]:
    with VendorProcess() as running:
        yield running


def environment(vendor: VendorProcess) -> dict[str, str]:
    return {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": vendor.base_url("openai")}


def on_terminal(
    home: Home, vendor: VendorProcess, photos: Path, *options: str
) -> tuple[OnTerminal, Path]:
    summary = home.path / "summary.json"
    summary.unlink(missing_ok=True)
    env = environment(vendor)
    run = OnTerminal("classify", photos, "--summary", summary, *options, home=home.path, env=env)
    return run, summary


def read(summary: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(summary.read_text())
    check_accounts(found)
    return found


def consent(home: Home) -> dict[str, Any]:
    file = home.state / "consent.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def test_yes_sends_the_photos_now_and_in_later_runs_without_asking(
    home: Home, vendor: VendorProcess, photos: Path
) -> None:
    run, summary = on_terminal(home, vendor, photos)
    host = f"127.0.0.1:{vendor.port}"
    with run:
        run.wait_for(QUESTION)
        assert vendor.received() == []
        for said in (host, f"{PHOTOS} photos would be sent", f"about {PHOTOS} calls", "unknown"):
            assert said in run.text
        run.type("y\n")
        assert run.finish() == 0, run.text
        assert CANARY not in run.text
    assert read(summary)["llm"] == PHOTOS
    assert [(name, word["allowed"]) for name, word in consent(home).items()] == [(host, True)]
    assert (home.state / "consent.json").stat().st_mode & 0o077 == 0

    make_tree(photos / "later", PHOTOS, seed=100)
    finished, later = home.summary(photos, env=environment(vendor))
    assert (finished.exit_code, later["llm"], later["cached"]) == (0, PHOTOS, PHOTOS)
    again, _ = on_terminal(home, vendor, photos)
    with again:
        assert again.finish() == 0
        assert QUESTION not in again.text


@pytest.mark.parametrize("answer", ["n\n", "\n", "what?\nno\n"])
def test_no_stays_local_now_and_later_and_says_how_to_change_it(
    home: Home, vendor: VendorProcess, photos: Path, answer: str
) -> None:
    run, summary = on_terminal(home, vendor, photos)
    with run:
        run.wait_for(QUESTION)
        run.type(answer)
        assert run.finish() == 0, run.text
        assert "without --policy hybrid; delete " in run.text
    assert read(summary)["local"] == PHOTOS
    again, _ = on_terminal(home, vendor, photos)
    with again:
        assert again.finish() == 0
        assert QUESTION not in again.text
        assert "OPENAI_API_KEY" not in again.text
    assert vendor.received() == []


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["ctrl-c", "ctrl-d"])
def test_leaving_the_question_remembers_nothing_and_classifies_nothing(
    home: Home, vendor: VendorProcess, photos: Path, key: str
) -> None:
    run, summary = on_terminal(home, vendor, photos)
    with run:
        run.wait_for(QUESTION)
        assert run.leave(key) == 130, run.text
        assert "Traceback" not in run.text
    found = read(summary)
    assert (found["status"], found["found"], found["pending"]) == ("interrupted", PHOTOS, PHOTOS)
    assert consent(home) == {}
    assert vendor.received() == []


def test_a_term_signal_ends_the_question_as_it_ends_a_run(
    home: Home, vendor: VendorProcess, photos: Path
) -> None:
    run, summary = on_terminal(home, vendor, photos)
    with run:
        run.wait_for(QUESTION)
        assert run.leave(signal.SIGTERM) == 143, run.text
    assert read(summary)["status"] == "interrupted"


@pytest.mark.parametrize("options", [["-y"], ["-q"], ["--policy", "local"], ["--dry-run"]])
def test_nobody_is_asked_who_has_said_so(
    home: Home, vendor: VendorProcess, photos: Path, options: list[str]
) -> None:
    run, _ = on_terminal(home, vendor, photos, *options)
    with run:
        assert run.finish() == 0, run.text
        assert QUESTION not in run.text
    assert consent(home) == {}
    assert vendor.received() == []


def test_nobody_is_asked_about_nothing(home: Home, vendor: VendorProcess, photos: Path) -> None:
    home.run("classify", photos, "--policy", "hybrid", env=environment(vendor))
    run, summary = on_terminal(home, vendor, photos)
    with run:
        assert run.finish() == 0, run.text
        assert QUESTION not in run.text
    assert read(summary)["cached"] == PHOTOS


def test_another_host_is_another_question(home: Home, vendor: VendorProcess, photos: Path) -> None:
    home.state.mkdir(mode=0o700)
    said = {"api.example.org": {"allowed": True, "day": "2026-11-24"}}
    (home.state / "consent.json").write_text(json.dumps(said))
    run, _ = on_terminal(home, vendor, photos)
    with run:
        run.wait_for(QUESTION)
        run.type("y\n")
        assert run.finish() == 0, run.text
    assert set(consent(home)) == {"api.example.org", f"127.0.0.1:{vendor.port}"}


def test_doctor_and_config_tell_the_word_and_a_spoilt_file_is_named(
    home: Home, vendor: VendorProcess
) -> None:
    home.state.mkdir(mode=0o700)
    file = home.state / "consent.json"
    host = f"127.0.0.1:{vendor.port}"
    file.write_text(json.dumps({host: {"allowed": False, "day": "2026-11-24"}}))
    told = f"photos must not be sent to {host} (said on 2026-11-24)"
    assert told in home.run("doctor", env=environment(vendor)).stdout
    assert told in home.run("config", "show", env=environment(vendor)).stdout.replace("\n", " ")
    file.write_text(json.dumps({host: {"allowed": True, "day": "2026-11-24"}}))
    shown = home.run("config", "show", "--json", env=environment(vendor)).json()
    assert shown["policy"] == {"value": "hybrid", "origin": str(file)}
    checked = home.run("doctor", env=environment(vendor))
    assert "900 tokens in" in checked.stdout
    file.write_text('{"127.0.0.1": "yes"}')
    spoilt = home.run("classify", home.path, env=environment(vendor))
    assert spoilt.exit_code == 78, spoilt
    assert f"{file} does not say where photos may be sent. Delete it" in spoilt.stderr
