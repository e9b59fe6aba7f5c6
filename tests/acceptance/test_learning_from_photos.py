"""The more the local model has been told, the less an LLM is asked: shown with real photos.

Real photos of people do not travel with the project: `make test PHOTOS=DIR` names a folder of
them, DIR/<category>/…, with 60 or more photos in at least two categories.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.colours import make_taxonomy
from tests.support.command import Home
from tests.support.vendor_process import VendorProcess

FEW, MANY, NEW = 8, 32, 28
"""Photos of each category: told at first, told in the end, and never seen while learning."""


class Cascade(NamedTuple):
    """What `cascade` answered by itself of the new photos, and how much of that is right."""

    share: float
    right: float


@pytest.fixture(scope="module")
def album() -> Mapping[str, Sequence[Path]]:
    """Return a folder's photos by category, those of which there are enough."""
    named = os.environ.get("REAL_PHOTOS", "")
    if not named:
        pytest.skip("no real photos: make test PHOTOS=DIR")
    folders = sorted(path for path in Path(named).iterdir() if path.is_dir())
    photos = {folder.name: sorted(folder.glob("*.*")) for folder in folders}
    enough = {key: files for key, files in photos.items() if len(files) >= MANY + NEW}
    assert len(enough) > 1, f"{named} has too few photos"
    return enough


def told(album: Mapping[str, Sequence[Path]], count: int, target: Path) -> Path:
    """Write what a person says of the first `count` photos of each category."""
    with target.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "category"))
        for key, files in album.items():
            rows.writerows((path, f"my_{key}") for path in files[:count])
    return target


def cascade(home: Home, new: Path, *its: str | Path) -> Cascade:
    """Let the local model go first over new photos, with an LLM behind it that knows nothing."""
    rows = home.path / "rows.csv"
    with VendorProcess({"answer": {"category": "my_rest", "confidence": 0.5}}) as vendor:
        machine = Home(
            home.path,
            {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": vendor.base_url("openai")},
        )
        options = ("--policy", "cascade", "--keep-local", "none", "--output", rows)
        finished, summary = machine.summary(new, *options, *its)
        assert finished.exit_code == 0, finished
        assert summary["spared"] + vendor.summary()["requests"] == summary["found"]
    with rows.open(encoding="utf-8-sig", newline="") as file:
        local = [row for row in csv.DictReader(file) if row["source"] == "local"]
    right = [row for row in local if row["category"] == f"my_{Path(row['path']).parent.name}"]
    assert len(local) == summary["spared"]
    return Cascade(len(local) / summary["found"], len(right) / max(len(local), 1))


def test_the_share_that_cascade_answers_grows_at_equal_accuracy(
    album: Mapping[str, Sequence[Path]], tmp_path: Path
) -> None:
    """The taxonomy is somebody's own: of its categories the model as shipped knows none."""
    keys = [f"my_{key}" for key in album]
    head = 'name = "mine"\nfallback = "my_rest"\nkeep_local = []\n'
    own = make_taxonomy(tmp_path / "mine.toml", *keys, "my_rest", head=head)
    for key, files in album.items():
        (tmp_path / "new" / key).mkdir(parents=True)
        for path in files[MANY : MANY + NEW]:
            shutil.copy(path, tmp_path / "new" / key)
    found = {}
    for name, count in (("few", FEW), ("many", MANY)):
        home = Home(tmp_path / name, {})
        home.path.mkdir()
        lessons = told(album, count, home.path / "labels.csv")
        learnt = home.run("models", "train", lessons, "--taxonomy", own, "--json").json()
        assert learnt["adopted"] is True, learnt
        found[name] = cascade(home, tmp_path / "new", "--taxonomy", own)
    assert found["few"].share < found["many"].share
    assert found["many"].share >= 0.5, found
    # What it cannot be sure of it leaves to the LLM: of little that was told, perhaps everything.
    assert all(local.right >= 0.95 for local in found.values() if local.share), found
