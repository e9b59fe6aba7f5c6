"""The export's rows: one a path, of what the index and the cache say; nothing is classified."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from tests.support.classifiers import answer
from tests.support.photos import make_exif, make_jpeg, make_png, make_tree
from tests.support.runs import Lab, Oracle, hash_of, let_age, local_answer, open_lab
from xintu_cli.jobs.export import Sources, export_rows
from xintu_cli.records import Answer, Classification, Reason, Source
from xintu_cli.reporting.export import ExportRow
from xintu_cli.stages.control import Control
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, WalkRules

pytestmark = pytest.mark.anyio

READING = ReadRules(256 << 20, follow_symlinks=False, timeout_seconds=60.0)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Return a machine that has seen nothing yet."""
    async with open_lab(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Return an empty folder to put photos into."""
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


async def rows_of(lab: Lab, *roots: Path, **options: Any) -> list[ExportRow]:
    rules = options.pop("rules", WalkRules())
    sources = Sources(
        index=lab.index,
        cache=lab.cache,
        taxonomy=lab.taxonomy,
        reading=READING,
        language=options.pop("language", "en"),
        **options,
    )
    plan = WalkPlan(tuple(map(os.fsencode, roots)), rules)
    return [row async for batch in export_rows(plan, sources, Control()) for row in batch]


async def row_of(lab: Lab, path: Path, **options: Any) -> ExportRow:
    [row] = await rows_of(lab, path, **options)
    return row


def names(rows: list[ExportRow]) -> list[str]:
    return [Path(os.fsdecode(row.path)).name for row in rows]


async def test_a_row_says_all_there_is_to_say_of_a_photo(lab: Lab, album: Path) -> None:
    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1, (300, 200), exif=make_exif(taken_at="2024:05:01 12:30:00")))
    said = Answer(
        Classification("pets", 0.75, "A cat on a sofa.", "single_person"),
        Source.LLM,
        "qwen",
        "vl-max",
    )
    await lab.store(**{hash_of(path): said})
    row = await row_of(lab, path, language="zh")
    assert row.classified_at is not None
    assert abs(row.classified_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert row.background_color is not None
    assert row == ExportRow(
        path=os.fsencode(path),
        image_hash=hash_of(path),
        category="pets",
        category_name="宠物萌照",
        confidence=0.75,
        description="A cat on a sofa.",
        second_category="single_person",
        background_color=row.background_color,
        source="llm",
        provisional=False,
        provider="qwen",
        model="vl-max",
        classified_at=row.classified_at,
        size_bytes=path.stat().st_size,
        width=300,
        height=200,
        taken_at="2024-05-01T12:30:00",
    )


async def test_there_is_one_row_per_path_in_the_order_of_the_walk(lab: Lab, album: Path) -> None:
    """Duplicates too; also those that the index does not know yet, and hashes now."""
    first = album / "b.jpg"
    first.write_bytes(make_jpeg(1))
    await lab.run(album, classifier=Oracle())
    shutil.copy(first, album / "a.jpg")
    shutil.copy(first, album / "c.jpg")
    (album / "notes.txt").write_bytes(b"no photo")
    rows = await rows_of(lab, album)
    assert names(rows) == ["a.jpg", "b.jpg", "c.jpg"]
    assert {(row.category, row.image_hash) for row in rows} == {("pets", hash_of(first))}


async def test_more_than_a_batch_of_the_walk_is_exported(lab: Lab, album: Path) -> None:
    await to_thread.run_sync(make_tree, album, 700)
    rows = await rows_of(lab, album)
    assert len({row.path for row in rows}) == len(rows) == 700


async def test_an_unclassified_photo_has_an_empty_category_and_its_facts(
    lab: Lab, album: Path
) -> None:
    path = album / "a.png"
    path.write_bytes(make_png(1, (20, 10)))
    row = await row_of(lab, path)
    assert (row.category, row.category_name, row.source, row.confidence) == ("", "", "", None)
    assert (row.width, row.height, row.image_hash) == (20, 10, hash_of(path))
    assert row.classified_at is None
    assert lab.answered() == {}


async def test_an_unreadable_file_has_a_row_without_hash_and_category(
    lab: Lab, album: Path
) -> None:
    whole = make_jpeg(1, (300, 300))
    (album / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (album / "empty.jpg").write_bytes(b"")
    rows = await rows_of(lab, album)
    assert names(rows) == ["cut.jpg", "empty.jpg"]
    assert [(row.image_hash, row.category, row.width) for row in rows] == [("", "", None)] * 2


async def test_facts_are_found_out_once_and_kept(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 5)
    await let_age(*paths)
    first = await rows_of(lab, album)
    known = lab.index.facts([os.fsencode(path) for path in paths])
    assert {facts.width for facts in known.values()} == {32}
    # What the index says now is what the next export says: nothing is decoded again.
    [(path, facts)] = list(known.items())[:1]
    told = facts._replace(width=4321)
    lab.index.describe([(path, hash_of(Path(os.fsdecode(path))), told)])
    second = {row.path: row for row in await rows_of(lab, album)}
    assert second.pop(path).width == 4321
    assert list(second.values()) == [row for row in first if row.path != path]


async def test_facts_that_a_run_told_are_not_found_out_again(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 3)
    await lab.run(album, classifier=Oracle())
    assert len(lab.index.facts([os.fsencode(path) for path in paths])) == 3


async def test_facts_are_those_of_the_picture_as_it_is(lab: Lab, album: Path) -> None:
    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1, (40, 30)))
    assert (await row_of(lab, path)).width == 40
    os.utime(path, (1, 1))
    assert (await row_of(lab, path)).width == 40
    path.write_bytes(make_jpeg(1, (60, 30)))
    assert (await row_of(lab, path)).width == 60


async def test_a_camera_clock_that_was_put_right_shows(lab: Lab, album: Path) -> None:
    """The image hash is the same, so that nothing else makes anybody look again."""
    path = album / "a.jpg"
    wrong = make_exif(taken_at="2001:01:01 00:00:00")
    path.write_bytes(make_jpeg(1, (40, 30), exif=wrong))
    await lab.run(album, classifier=Oracle())
    before = await row_of(lab, path)
    right = make_exif(orientation=6, taken_at="2024:05:01 12:30:00")
    path.write_bytes(make_jpeg(1, (40, 30), exif=right))
    after = await row_of(lab, path)
    assert (before.image_hash, before.category) == (after.image_hash, after.category)
    assert (before.taken_at, before.width) == ("2001-01-01T00:00:00", 40)
    assert (after.taken_at, after.width) == ("2024-05-01T12:30:00", 30)


async def test_facts_of_another_picture_never_land_under_an_images_hash(
    lab: Lab, album: Path
) -> None:
    """The file changed since the index was asked, this very moment."""
    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1, (40, 30)))
    await let_age(path)
    await row_of(lab, path)
    key = os.fsencode(path)
    [entry] = lab.index.known([key]).values()
    lab.index.remember([entry._replace(image_hash="a" * 32)])
    row = await row_of(lab, path)
    assert (row.image_hash, row.width) == ("a" * 32, None)
    assert lab.index.facts([key]) == {}


async def test_files_that_are_gone_are_left_out_or_kept(lab: Lab, album: Path) -> None:
    paths = make_tree(album, 4, folders=["."])
    await lab.run(album, classifier=Oracle())
    paths[0].unlink()
    assert names(await rows_of(lab, album)) == [path.name for path in paths[1:]]
    kept = await rows_of(lab, album, keep_missing=True)
    assert names(kept) == [*(path.name for path in paths[1:]), paths[0].name]
    assert {row.category for row in kept} == {"pets"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (WalkRules(exclude=("raw/",)), ["keep.jpg"]),
        (WalkRules(include=("raw/*.jpg",)), ["left.jpg"]),
        (WalkRules(hidden=True), [".h.jpg", "keep.jpg", "left.jpg"]),
        (WalkRules(), ["keep.jpg", "left.jpg"]),
    ],
)
async def test_globs_hold_for_files_that_are_gone_too(
    lab: Lab, album: Path, rules: WalkRules, expected: list[str]
) -> None:
    (album / "raw").mkdir()
    for number, name in enumerate(("keep.jpg", "raw/left.jpg", ".h.jpg")):
        (album / name).write_bytes(make_jpeg(number))
    await lab.run(album, classifier=Oracle(), rules=WalkRules(hidden=True))
    shutil.rmtree(album / "raw")
    (album / "keep.jpg").unlink()
    (album / ".h.jpg").unlink()
    assert sorted(names(await rows_of(lab, album, rules=rules, keep_missing=True))) == expected


async def test_what_was_no_photo_is_no_row_when_it_is_gone(lab: Lab, album: Path) -> None:
    (album / "notes.txt").write_bytes(b"no photo")
    await lab.run(album, classifier=Oracle())
    (album / "notes.txt").unlink()
    assert await rows_of(lab, album, keep_missing=True) == []


async def test_overlapping_roots_name_a_missing_file_once(lab: Lab, album: Path) -> None:
    (album / "sub").mkdir()
    (album / "sub" / "a.jpg").write_bytes(make_jpeg(1))
    await lab.run(album, classifier=Oracle())
    (album / "sub" / "a.jpg").unlink()
    assert names(await rows_of(lab, album, album / "sub", keep_missing=True)) == ["a.jpg"]


@pytest.mark.parametrize(
    ("answers", "labelled", "expected"),
    [
        ([answer(category="pets")], None, ("pets", "llm", False)),
        ([local_answer("foods")], None, ("foods", "local", False)),
        ([local_answer("foods", reason=Reason.OUTAGE)], None, ("foods", "local", True)),
        ([local_answer("idcard", reason=Reason.KEPT_LOCAL)], None, ("idcard", "local", False)),
        ([local_answer("foods"), answer(category="pets")], None, ("pets", "llm", False)),
        ([answer(category="pets")], "qrcode", ("qrcode", "manual", False)),
        # What no run would accept as a row is none for an export either.
        ([answer(category="spaceships")], None, ("", "", False)),
        ([answer(category="spaceships"), local_answer("foods")], None, ("foods", "local", False)),
        ([answer(category="pets")], "spaceships", ("pets", "llm", False)),
        ([local_answer("foods", confidence=2.7)], None, ("", "", False)),
    ],
)
async def test_the_highest_source_that_is_an_answer_is_exported(
    lab: Lab,
    album: Path,
    answers: list[Answer],
    labelled: str | None,
    expected: tuple[str, str, bool],
) -> None:
    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1))
    for each in answers:
        await lab.store(**{hash_of(path): each})
    if labelled:
        await lab.cache.set_labels("xintu", [(hash_of(path), labelled)], who="me")
    row = await row_of(lab, path)
    assert (row.category, row.source, row.provisional) == expected


async def test_a_second_category_off_the_list_is_left_out(lab: Lab, album: Path) -> None:
    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1))
    said = Classification("pets", 0.9, "", "spaceships")
    await lab.store(**{hash_of(path): Answer(said, Source.LLM, "qwen", "vl")})
    assert (await row_of(lab, path)).second_category is None


async def test_a_row_somebody_poisoned_does_not_break_the_export(lab: Lab, album: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = album / "a.jpg"
    path.write_bytes(make_jpeg(1))
    await lab.store(**{hash_of(path): answer()})
    with closing(sqlite3.connect(lab.state / "cache.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE classification SET source = 'oracle'")
    assert (await row_of(lab, path)).category == ""


async def test_globs_choose_the_rows(lab: Lab, album: Path) -> None:
    (album / "a.jpg").write_bytes(make_jpeg(1))
    (album / "b.png").write_bytes(make_png(2))
    assert names(await rows_of(lab, album, rules=WalkRules(include=("*.png",)))) == ["b.png"]
