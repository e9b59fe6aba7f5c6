"""Photos whose category is known: `DIR/<category>/…`, or a CSV with path and category.

Everything is checked before anything is classified: a category outside the taxonomy, an empty
folder, a file that is not there are `UsageError`s that say which. Blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xintu_cli.errors import RootMissingError, UsageError
from xintu_cli.imaging.formats import HEAD_BYTES, has_image_suffix, has_raw_suffix, sniff
from xintu_cli.locations import expand_home
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.labels import read_labels_csv
from xintu_cli.stages.walk import SYSTEM_NAMES, WalkReport, WalkRules, walk_files
from xintu_cli.taxonomy import Taxonomy


class LabelledPhoto(NamedTuple):
    """A photo's absolute path, and the key of its category."""

    path: bytes
    category: str


def labelled_photos(place: Path, taxonomy: Taxonomy, rules: WalkRules) -> list[LabelledPhoto]:
    """Return the labelled photos of a directory or a CSV, in its order, each path once."""
    place = expand_home(place)
    name = display_text(os.fsencode(place))
    if place.is_dir():
        photos = list(_of_directory(place, name, taxonomy, rules))
    elif place.is_file():
        photos = list(_of_csv(place, name, taxonomy))
    else:
        raise RootMissingError(f"there is no folder or CSV {name}. Check the path.")
    if not photos:
        raise UsageError(
            f"{name} has no labelled photo. Give a folder with one folder per category "
            f"({name}/pets, {name}/foods, …), or a CSV with path and category."
        )
    return photos


def _of_directory(
    place: Path, name: str, taxonomy: Taxonomy, rules: WalkRules
) -> Iterator[LabelledPhoto]:
    folders = sorted(path for path in place.iterdir() if path.is_dir() and not _is_hidden(path))
    strays = [path for path in place.iterdir() if path.is_file() and _is_image(path)]
    if strays:
        raise UsageError(
            f"{display_text(os.fsencode(strays[0]))} lies in no category's folder"
            + (f", nor do {len(strays) - 1:,} more" if len(strays) > 1 else "")
            + ". Move it into one."
        )
    # All of them before any is walked.
    keys = [taxonomy.require(f.name, purpose=f"cannot use {name}/{f.name}") for f in folders]
    for folder, key in zip(folders, keys, strict=True):
        found = 0
        root = os.path.abspath(os.fsencode(folder))
        for batch in walk_files([root], rules, WalkReport()):
            for photo in batch:
                if has_image_suffix(photo.path) or _announces_an_image(photo.path):
                    found += 1
                    yield LabelledPhoto(photo.path, key)
        if not found:
            raise UsageError(f"{display_text(os.fsencode(folder))} {_why_nothing(folder, rules)}")


def _of_csv(place: Path, name: str, taxonomy: Taxonomy) -> Iterator[LabelledPhoto]:
    """Read the rows; a relative path is one from here, else from the CSV's own folder."""
    seen: dict[bytes, str] = {}
    for row in read_labels_csv(place):
        where = f"cannot use {name}, line {row.line}"
        key = taxonomy.require(row.category, purpose=where)
        relative = Path(os.fsdecode(row.path))
        from_here, beside = relative.absolute(), place.parent.absolute() / relative
        found = next((path for path in (from_here, beside) if path.is_file()), None)
        if found is None:
            raise UsageError(
                f"{where}: there is no file {display_text(row.path)}, neither from here nor "
                "from the CSV's folder. Correct the path, or take the line out."
            )
        # A link that somebody names is meant; one that a walk finds may lead anywhere.
        path = os.fsencode(found.resolve() if found.is_symlink() else os.path.abspath(found))
        if seen.setdefault(path, key) != key:
            raise UsageError(
                f"{where}: {display_text(row.path)} is {seen[path]} in an earlier line. "
                "A photo has one category: take one of the lines out."
            )
    yield from (LabelledPhoto(path, key) for path, key in seen.items())


def _announces_an_image(path: bytes) -> bool:
    """Tell a photo whose name promises nothing by its first bytes, as a run does."""
    if has_raw_suffix(path):
        return False
    try:
        with Path(os.fsdecode(path)).open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _why_nothing(folder: Path, rules: WalkRules) -> str:
    if not rules.follow_symlinks and any(path.is_symlink() for path in folder.rglob("*")):
        return "has no photo but symbolic links: --follow-symlinks follows them."
    return "has no photo. Put some there, or remove it."


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or os.fsencode(path.name) in SYSTEM_NAMES


def _is_image(path: Path) -> bool:
    return has_image_suffix(os.fsencode(path.name)) and not _is_hidden(path)
