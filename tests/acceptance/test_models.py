"""The local models as files: `models list` and `models verify`, whatever lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.colours import make_model, make_taxonomy
from tests.support.command import Finished, Home
from tests.support.invariants import check_streams


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_model_in_use_is_verified_wherever_it_lies(home: Home) -> None:
    """Without a name too: what a run would stand on must not be left out."""
    model = make_model(home.path / "model")
    env = {"XINTU_MODEL": "./model"}
    sound = home.run("models", "verify", env=env)
    assert (sound.exit_code, sound.lines()) == (
        0,
        [
            "ok      xintu-lite: checksum right, and it answers",
            "ok      model: checksum right, and it answers",
        ],
    )
    flip_a_bit(model / "model.onnx")
    damaged = home.run("models", "verify", env=env)
    assert damaged.exit_code == 78, damaged
    assert damaged.lines()[1].startswith("broken  model: ")
    assert "damaged or was exchanged" in damaged.stdout


@pytest.mark.parametrize("written", ["model", "./model", "../home/model/"])
def test_the_model_in_use_is_marked_however_its_directory_is_written(
    home: Home, written: str
) -> None:
    model = make_model(home.path / "model")
    path = written.replace("home", home.path.name)
    chosen = str(model) if written == "model" else path
    listed = home.run("models", "list", "--json", env={"XINTU_MODEL": chosen}).json()
    assert [(row["name"], row["used"]) for row in listed] == [
        ("xintu-lite", False),
        ("model", True),
    ]


def test_a_directory_without_a_slash_is_told_how_to_be_named(home: Home) -> None:
    make_model(home.path / "model")
    finished = home.run("models", "verify", "model")
    assert finished.exit_code == 78, finished
    assert "For the directory write ./model." in finished.stderr


def test_a_model_that_answers_in_no_category_of_its_taxonomy_is_not_sound(home: Home) -> None:
    model = make_model(home.path / "model")
    taxonomy = make_taxonomy(home.path / "colours.toml", "red", "grean", "blue")
    finished = home.run("models", "verify", model, env={"XINTU_TAXONOMY": str(taxonomy)})
    assert finished.exit_code == 78, finished
    assert (
        "answers 'green', which the taxonomy colours does not have, the nearest is 'grean'"
        in finished.stdout
    )


@pytest.mark.parametrize("command", [("models", "list"), ("models", "verify")])
def test_the_names_of_models_are_data(home: Home, command: tuple[str, str]) -> None:
    make_model(home.state / "models" / "red\x1b[31m", name="na\\u0007me")
    finished: Finished = home.run(*command)
    assert finished.exit_code == 0, finished
    assert "red\\x1b[31m" in finished.stdout
    check_streams(finished)


def test_a_place_for_heads_that_is_none_is_verified_as_a_run_finds_it(home: Home) -> None:
    home.state.mkdir(parents=True, exist_ok=True)
    (home.state / "heads").write_text("no directory")
    finished = home.run("models", "verify")
    assert finished.exit_code == 78, finished
    assert "Not a directory" in finished.stdout
    check_streams(finished)
