"""The local model learns: `models train`, `models adapt`, and back again."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.colours import SHADES, make_colour, make_model, make_taxonomy
from tests.support.command import Finished, Home
from tests.support.invariants import check_litter, check_streams
from tests.support.photos import make_tree
from tests.support.vendor_process import VendorProcess

OLIVE, SLATE = (112, 122, 108), (108, 112, 122)
"""Dull colours: the network takes them for green and blue, more often wrong than sure."""
WARM, COLD = (205, 150, 90), (90, 150, 205)
CANARY = "sk-cnry-31c0de"


@pytest.fixture
def model(home: Home) -> Path:
    return make_model(home.path / "model")


@pytest.fixture
def own(home: Home) -> Path:
    """Return a taxonomy that no model serves; what is cold must stay at home."""
    head = 'name = "seasons"\nfallback = "dim"\nkeep_local = ["cold"]\n'
    return make_taxonomy(home.path / "seasons.toml", "warm", "cold", "dim", head=head)


@pytest.fixture
def colours(home: Home) -> Path:
    return make_taxonomy(home.path / "colours.toml")


def draw(folder: Path, colour: tuple[int, int, int], count: int, seed: int = 0) -> Path:
    for number in range(count):
        make_colour(folder / f"{number:03}.png", colour, seed * 1_000 + number)
    return folder


def labelled(folder: Path, count: int = 15) -> Path:
    draw(folder / "warm", WARM, count, 1)
    draw(folder / "cold", COLD, count, 2)
    draw(folder / "dim", (70, 70, 70), count, 3)
    return folder


def heads(home: Home) -> list[Path]:
    return sorted(path for path in (home.state / "heads").rglob("*") if path.is_file())


def settings_of(taxonomy: Path | str, model: Path | str) -> dict[str, str]:
    """Return the same as settings, for commands that take them from nowhere else."""
    return {"XINTU_TAXONOMY": str(taxonomy), "XINTU_MODEL": str(model)}


def told(finished: Finished) -> Any:
    assert finished.exit_code == 0, finished
    check_streams(finished)
    return finished.json()


def test_a_taxonomy_of_ones_own_gets_a_local_model(home: Home, model: Path, own: Path) -> None:
    """Refused before, naming the command; served after; refused again when taken back."""
    its = ("--taxonomy", own, "--model", model)
    photos = labelled(home.path / "set")
    before = home.run("classify", photos, *its)
    assert before.exit_code == 78
    assert "no local model serves the taxonomy seasons" in before.stderr
    assert "xintu models train DIR" in before.stderr

    finished = home.run("models", "train", photos, *its, "--json")
    trained = told(finished)
    assert trained["adopted"] is True
    assert f"xintu models adapt --take-back --taxonomy {own} --model {model}" in finished.stderr
    assert trained["present"] is None
    assert trained["new"]["accuracy"] > 0.95
    check_litter(home)

    new = draw(home.path / "new", COLD, 5, 9)
    _, summary = home.summary(new, *its)
    assert (summary["local"], summary["categories"]) == (5, {"cold": 5})
    listed = told(home.run("models", "list", "--json", env=settings_of(own, model)))
    assert [row["name"] for row in listed] == ["xintu-lite", "model"]
    assert [[head["in_use"] for head in row["heads"]] for row in listed] == [[], [True]]
    assert listed[1]["used"] is True
    assert listed[1]["lacks"] == []
    figures = told(home.run("evaluate", photos, *its, "--json"))
    assert figures["accuracy"] > 0.95

    back = home.run("models", "train", "--take-back", *its)
    assert back.exit_code == 0, back
    assert "it knows none of its categories" in back.stderr
    assert home.run("classify", new, *its).exit_code == 78
    assert home.run("models", "train", "--take-back", *its).exit_code == 2


def installed(home: Home) -> tuple[Path, tuple[str, ...]]:
    """Put the small model where the user's own models belong."""
    make_model(home.state / "models" / "tiny")
    taxonomy = make_taxonomy(home.path / "colours.toml")
    return taxonomy, ("--model", "tiny", "--taxonomy", str(taxonomy))


def dull(home: Home) -> Path:
    """Make the user's photos: dull ones that the network mixes up, and clear ones."""
    folder = home.path / "photos"
    for name, colour, seed in (("olive", OLIVE, 4), ("slate", SLATE, 5)):
        draw(folder / name, colour, 40, seed)
    draw(folder / "sea", SHADES["blue"], 6, 6)
    return folder


def say_what_they_are(home: Home, photos: Path, *its: str) -> None:
    for name, key in (("olive", "green"), ("slate", "blue"), ("sea", "blue")):
        finished = home.run("label", photos / name, "--as", key, "--taxonomy", its[-1])
        assert finished.exit_code == 0, finished


def test_what_a_person_said_is_learnt_and_can_be_taken_back(home: Home) -> None:
    _, its = installed(home)
    photos = dull(home)
    # A photo must be known before anybody can speak of it everywhere.
    say_what_they_are(home, photos, *its)
    new = home.path / "new"
    draw(new / "green", OLIVE, 30, 14)
    draw(new / "blue", SLATE, 30, 15)
    before = told(home.run("evaluate", new, *its, "--json"))
    _, first = home.summary(new, *its)

    adapted = told(home.run("models", "adapt", *its, "--json"))
    assert adapted["adopted"] is True, adapted
    assert adapted["photos"] == 86
    assert adapted["new"]["accuracy"] > adapted["present"]["accuracy"]
    assert adapted["new"]["share"] > adapted["present"]["share"]

    after = told(home.run("evaluate", new, *its, "--json"))
    assert after["accuracy"] > before["accuracy"]
    assert after["macro_f1"] > before["macro_f1"]
    # Another head is another model: under `local` what the old one said is asked again, once.
    _, second = home.summary(new, *its)
    assert (first["local"], second["local"]) == (60, 60)
    assert home.summary(new, *its)[1]["cached"] == 60

    env = settings_of(its[-1], "tiny")
    [row] = [row for row in told(home.run("models", "list", "--json", env=env)) if row["used"]]
    [head] = row["heads"]
    assert (head["in_use"], head["made_by"], head["labels"]) == (True, "adapt", {"manual": 86})
    for command in (["models", "list"], ["models", "verify"], ["doctor"]):
        assert "learnt for colours" in home.run(*command, env=env).stdout, command

    assert home.run("models", "adapt", "--take-back", *its).exit_code == 0
    assert told(home.run("evaluate", new, *its, "--json"))["accuracy"] == before["accuracy"]


def calls(home: Home, photos: Path, *its: str) -> int:
    """Return how many photos `cascade` would ask an LLM about."""
    _, summary = home.summary(photos, "--policy", "cascade", "--keep-local", "none", *its)
    asked: int = summary["llm"]
    return asked


def test_the_more_an_llm_has_answered_the_less_it_is_asked(home: Home) -> None:
    """What `cascade` answers itself grows, and is as right as what the LLM says."""
    _, its = installed(home)
    photos = dull(home)
    new = {key: home.path / "new" / key for key in ("green", "blue")}
    again = {key: home.path / "again" / key for key in ("green", "blue")}
    for seed, folders in ((20, new), (30, again)):
        draw(folders["green"], OLIVE, 20, seed)
        draw(folders["blue"], SLATE, 20, seed + 1)
    with VendorProcess() as vendor:
        machine = Home(
            home.path,
            {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": vendor.base_url("openai")},
        )
        for name, key in (("olive", "green"), ("slate", "blue"), ("sea", "blue")):
            vendor.play({"answer": {"category": key, "confidence": 0.97}})
            asked = machine.run(
                "classify", photos / name, "--policy", "hybrid", "--keep-local", "none", *its
            )
            assert asked.exit_code == 0, asked
        before = 0
        for key, folder in new.items():
            vendor.play({"answer": {"category": key, "confidence": 0.97}})
            before += calls(machine, folder, *its)
        adapted = told(machine.run("models", "adapt", photos, *its, "--json"))
        assert adapted["adopted"] is True, adapted
        after = 0
        for key, folder in again.items():
            vendor.play({"answer": {"category": key, "confidence": 0.97}})
            after += calls(machine, folder, *its)
    assert before == 40
    assert after < before / 2
    answered = told(
        machine.run(
            "export", home.path / "again", "-o", "-", "--format", "json", "--taxonomy", its[-1]
        )
    )
    wrong = [row for row in answered if row["category"] != Path(row["path"]).parent.name]
    assert len(answered) == 40
    assert len(wrong) <= 2


def test_local_answers_teach_nothing(home: Home) -> None:
    _, its = installed(home)
    photos = dull(home)
    home.summary(photos, *its)
    finished = home.run("models", "adapt", *its)
    assert finished.exit_code == 2, finished
    assert "no label of a photo of this machine" in finished.stderr
    assert heads(home) == []


def test_what_is_no_better_is_not_adopted(home: Home, model: Path, own: Path) -> None:
    its = ("--taxonomy", own, "--model", model)
    photos = labelled(home.path / "set")
    home.run("models", "train", photos, *its)
    before = heads(home)
    finished = home.run("models", "train", photos, *its)
    assert finished.exit_code == 0, finished
    assert "not adopted: it is not better than the present one" in finished.stderr
    assert "present" in finished.stdout
    assert heads(home) == before


def test_what_must_stay_at_home_is_not_forgotten(home: Home, model: Path, own: Path) -> None:
    """Neither by a head without photos of it, nor by a run whose model does not know it."""
    its = ("--taxonomy", own, "--model", model)
    photos = labelled(home.path / "set")
    shutil.move(photos / "cold", home.path / "cold")
    trained = told(home.run("models", "train", photos, *its, "--json"))
    assert trained["without_photos"] == ["cold"]
    env = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    sent = home.run("classify", home.path / "cold", *its, "--policy", "hybrid", env=env)
    assert sent.exit_code == 78, sent
    assert "cannot keep cold back" in sent.stderr
    assert "does not know cold" in sent.stderr

    home.run("models", "train", "--take-back", *its)
    shutil.move(home.path / "cold", photos / "cold")
    assert told(home.run("models", "train", photos, *its, "--json"))["adopted"] is True
    shutil.move(photos / "cold", home.path / "cold")
    draw(photos / "dim", (75, 75, 75), 30, 8)
    forgetful = told(home.run("models", "train", photos, *its, "--json"))
    assert forgetful["adopted"] is False
    kept = home.summary(home.path / "cold", *its, "--policy", "hybrid", env=env)[1]
    assert (kept["kept_local"], kept["calls"]) == (15, 0)


def empty(folder: Path) -> None:
    folder.mkdir()


def of_one_category(folder: Path) -> None:
    draw(folder / "warm", WARM, 25)


def without_a_photo_of_one(folder: Path) -> None:
    labelled(folder)
    shutil.rmtree(folder / "cold")
    (folder / "cold").mkdir()


def with_a_stranger(folder: Path) -> None:
    labelled(folder)
    draw(folder / "wram", WARM, 3)


def too_small(folder: Path) -> None:
    labelled(folder, 5)


def with_a_single_photo(folder: Path) -> None:
    labelled(folder)
    shutil.rmtree(folder / "dim")
    draw(folder / "dim", (70, 70, 70), 1)


def missing(folder: Path) -> None:
    assert not folder.exists()


@pytest.mark.parametrize(
    ("make", "exit_code", "said"),
    [
        (missing, 66, "there is no folder or CSV"),
        (empty, 2, "no labelled photo"),
        (of_one_category, 2, "one category alone, warm"),
        (without_a_photo_of_one, 2, "cold has no photo"),
        (with_a_stranger, 2, "Did you mean warm?"),
        (too_small, 2, "cannot learn from 15 photos"),
        (with_a_single_photo, 2, "'dim' has one photo"),
    ],
)
def test_a_set_that_teaches_nothing_is_refused(
    home: Home,
    model: Path,
    own: Path,
    make: Callable[[Path], None],
    exit_code: int,
    said: str,
) -> None:
    make(home.path / "set")
    finished = home.run("models", "train", home.path / "set", "--taxonomy", own, "--model", model)
    assert finished.exit_code == exit_code, finished
    assert said in finished.stderr
    assert finished.stdout == ""
    assert heads(home) == []


def test_photos_that_cannot_be_learnt_from_are_named_and_left_out(
    home: Home, model: Path, own: Path
) -> None:
    photos = labelled(home.path / "set")
    (photos / "warm" / "broken.png").write_bytes((photos / "warm" / "000.png").read_bytes()[:60])
    shutil.copy(photos / "warm" / "001.png", photos / "cold" / "twin.png")
    finished = home.run("models", "train", photos, "--taxonomy", own, "--model", model, "--json")
    assert finished.exit_code == 3, finished
    failures = {Path(each["path"]).name: each["reason"] for each in finished.json()["failures"]}
    assert set(failures) == {"broken.png", "001.png"} or set(failures) == {"broken.png", "twin.png"}
    assert finished.json()["photos"] == 44
    assert "neither is learnt from" in finished.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("width = 8", "width = 16", "has the shape"),
        ('"green", "blue"]', '"green"]', "3 values for 2 labels"),
        ('probabilities = "answer"', 'probabilities = "scores2"', "no output 'scores2'"),
        ('labels = ["red", "green", "blue"]', "", "needs either 'labels'"),
    ],
)
def test_a_model_of_ones_own_that_is_not_as_described_is_told_before_the_run(
    home: Home, model: Path, colours: Path, old: str, new: str, said: str
) -> None:
    text = (model / "model.toml").read_text(encoding="utf-8")
    assert old in text
    (model / "model.toml").write_text(text.replace(old, new), encoding="utf-8")
    photos = draw(home.path / "photos", SHADES["red"], 1)
    finished, summary = home.summary(photos, "--model", model, "--taxonomy", colours)
    assert finished.exit_code == 78, finished
    assert said in finished.stderr
    assert summary["found"] == 0


def exchanged(home: Home) -> None:
    [weights] = [path for path in heads(home) if path.suffix == ".npz"]
    weights.write_bytes(weights.read_bytes().replace(b"bias", b"bass"))


def of_another_model(home: Home) -> None:
    manifest = home.path / "model" / "model.toml"
    content = (home.path / "model" / "model.onnx").read_bytes()
    (home.path / "model" / "model.onnx").write_bytes(content + b"\x80\x01\x00")
    text = manifest.read_text(encoding="utf-8")
    new = hashlib.sha256(content + b"\x80\x01\x00").hexdigest()
    old = hashlib.sha256(content).hexdigest()
    manifest.write_text(text.replace(old, new), encoding="utf-8")


def moved_to_another_taxonomy(home: Home) -> None:
    [notes] = [path for path in heads(home) if path.name == "head.json"]
    document = json.loads(notes.read_text(encoding="utf-8"))
    notes.write_text(json.dumps(document | {"taxonomy": "weather"}), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (exchanged, "damaged or was exchanged"),
        (of_another_model, "made for another tiny"),
        (moved_to_another_taxonomy, "made for the taxonomy weather, not seasons"),
    ],
)
def test_a_head_that_is_not_what_it_should_be_is_told_before_anything_is_done(
    home: Home, model: Path, own: Path, spoil: Callable[[Home], None], said: str
) -> None:
    its = ("--taxonomy", own, "--model", model)
    photos = labelled(home.path / "set")
    assert told(home.run("models", "train", photos, *its, "--json"))["adopted"] is True
    spoil(home)
    before = heads(home)
    for command in (("classify", photos), ("evaluate", photos), ("models", "train", photos)):
        finished = home.run(*command, *its)
        assert finished.exit_code == 78, finished
        assert said in finished.stderr
        assert "--take-back" in finished.stderr
    assert heads(home) == before
    assert home.run("models", "adapt", "--take-back", *its).exit_code == 0
    assert told(home.run("models", "train", photos, *its, "--json"))["adopted"] is True


def test_an_interrupt_leaves_everything_as_it_was(home: Home) -> None:
    folder = home.path / "set"
    make_tree(folder, 400, size=(320, 240), folders=("pets", "foods"))
    with home.start("models", "train", folder) as running:
        # Everything is imported, in the only thread there was, once others look at the photos.
        threads = Path(f"/proc/{running.process.pid}/task")
        running.wait_until(lambda: len(list(threads.iterdir())) >= 4)
        running.send_signal(signal.SIGINT)
        finished = running.finish()
    assert finished.exit_code == 130, finished
    assert "Traceback" not in finished.stderr
    assert heads(home) == []
    check_litter(home)


def test_machines_with_different_heads_share_a_cache_in_peace(home: Home, tmp_path: Path) -> None:
    """Each gets its own head's answers; what an LLM or a person said stands."""
    taxonomy, its = installed(home)
    shared = ("--cache", f"sqlite:///{tmp_path / 'shared.db'}")
    photos = dull(home)
    for name, key in (("olive", "green"), ("slate", "blue")):
        home.run("label", photos / name, "--as", key, "--taxonomy", taxonomy, *shared)
    assert told(home.run("models", "adapt", photos, *its, *shared, "--json"))["adopted"] is True
    new = draw(home.path / "new", OLIVE, 12, 40)
    home.run("label", new / "000.png", "--as", "red", "--taxonomy", taxonomy, *shared)
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other", {})
    make_model(other.state / "models" / "tiny")
    models = []
    for machine in (home, other, home):
        _, summary = machine.summary(new, *its, *shared)
        assert (summary["local"], summary["cached"]) == (11, 1)
        with closing(sqlite3.connect(tmp_path / "shared.db")) as cache:
            models.append(cache.execute("SELECT DISTINCT model FROM classification").fetchall())
    assert models[0] == models[2] != models[1]
