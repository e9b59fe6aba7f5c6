"""Disks that hang, fail and go away: what they hold costs itself alone, and nothing is forgotten.

Real ones: a FUSE mount whose server misbehaves, or dies.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.support.photos import make_jpeg, make_tree
from tests.support.runs import Lab, Oracle, RecordingReporter, counts, hash_of, open_lab
from tests.support.sick_disk import SickDisk
from xintu_cli import pipeline
from xintu_cli.errors import StorageError
from xintu_cli.interfaces import DecodedPhoto
from xintu_cli.jobs.export import Sources, export_rows
from xintu_cli.outcomes import Classified, Failed
from xintu_cli.records import Photo, RunSummary
from xintu_cli.reporting.export import ExportRow
from xintu_cli.stages.control import LOST_IN_A_ROW, Control
from xintu_cli.stages.reading import NEVER, ReadRules, read_all
from xintu_cli.stages.walk import WalkPlan, WalkRules

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 5.0
"""Longer than hashing two dozen small files takes on a slow machine: order is what counts."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Return a machine that has seen nothing yet; its state is on a healthy disk."""
    async with open_lab(tmp_path / "state") as opened:
        yield opened


def reasons(summary: RunSummary) -> dict[str, str]:
    return {Path(os.fsdecode(path)).name: reason for path, reason in summary.failures}


async def test_a_file_that_never_answers_holds_up_no_other(lab: Lab, sick_disk: SickDisk) -> None:
    make_tree(sick_disk.source, 20)
    (sick_disk.source / "00-hang.jpg").write_bytes(make_jpeg(99))
    async with lab.parts(
        sick_disk.mount, classifier=Oracle(), file_timeout_seconds=PATIENCE_SECONDS
    ) as parts:
        await pipeline.run(parts)
        summary = parts.tally.summary("partial", 3, 1.0)
        reporter = parts.reporter
    assert isinstance(reporter, RecordingReporter)
    assert counts(summary) == {"found": 21, "llm": 20, "failed": 1}
    assert reasons(summary) == {"00-hang.jpg": "no answer from the disk for 5 s"}
    # The one that hung was found first and is told last.
    kinds = [type(settled.outcome) for batch in reporter.batches for settled in batch]
    assert kinds.index(Failed) > len(kinds) - 1 - kinds[::-1].index(Classified)


async def test_a_file_that_hangs_when_it_is_to_be_classified_stays_pending(
    lab: Lab, sick_disk: SickDisk
) -> None:
    make_tree(sick_disk.source, 6)
    (sick_disk.source / "00-late.jpg").write_bytes(make_jpeg(99))
    oracle = Oracle()
    summary = await lab.run(sick_disk.mount, classifier=oracle, file_timeout_seconds=3.0)
    assert counts(summary) == {"found": 7, "llm": 6, "pending": 1}
    assert len(oracle.asked) == 6


async def test_several_hanging_files_hold_up_no_other_either(lab: Lab, sick_disk: SickDisk) -> None:
    make_tree(sick_disk.source, 10)
    for number in range(3):
        (sick_disk.source / f"0{number}-hang.jpg").write_bytes(make_jpeg(90 + number))
    summary = await lab.run(sick_disk.mount, classifier=Oracle(), file_timeout_seconds=3.0)
    assert counts(summary) == {"found": 13, "llm": 10, "failed": 3}


async def test_a_disk_on_which_every_file_hangs_ends_the_run(lab: Lab, sick_disk: SickDisk) -> None:
    for number in range(4 * LOST_IN_A_ROW):
        (sick_disk.source / f"{number}-hang.jpg").write_bytes(make_jpeg(number))
    summary, error = await lab.classify(
        sick_disk.mount, classifier=Oracle(), file_timeout_seconds=1.5
    )
    assert isinstance(error, StorageError)
    assert "no answer from the disk for 1.5 s. What was done is kept" in str(error)
    assert (summary.status, summary.exit_code) == ("failed", 74)


async def test_files_that_a_dying_disk_lets_hang_and_then_fails_are_counted_as_lost(
    sick_disk: SickDisk,
) -> None:
    """As on a share that is mounted `soft`: it says after some seconds that nobody answers."""
    photos = []
    for number in range(2):
        name = f"{number}-hang.jpg"
        (sick_disk.source / name).write_bytes(make_jpeg(number))
        photos.append(Photo(os.fsencode(sick_disk.mount / name), 1, 0, 0, 0))
    control = Control()
    rules = ReadRules(256 << 20, follow_symlinks=False, timeout_seconds=60.0)
    async with anyio.create_task_group() as group:
        group.start_soon(read_all, photos, rules, control)
        while control.reading.borrowed_tokens < 2:  # noqa: ASYNC110 - threads' state
            await anyio.sleep(0.05)
        sick_disk.unplug()
    assert control.lost_in_a_row == 2


async def test_a_bad_sector_costs_its_file_which_is_tried_again_every_time(
    lab: Lab, sick_disk: SickDisk
) -> None:
    make_tree(sick_disk.source, 3)
    bad = sick_disk.mount / "eio.jpg"
    (sick_disk.source / "eio.jpg").write_bytes(make_jpeg(99))
    for _ in range(2):
        summary, error = await lab.classify(sick_disk.mount, classifier=Oracle())
        assert error is None
        assert summary.failed == 1
        assert reasons(summary) == {"eio.jpg": "I/O error: Input/output error"}
        assert summary.exit_code == 3
        [entry] = lab.index.known([os.fsencode(bad)]).values()
        assert entry.hashed_at_ns == NEVER


async def test_a_read_that_fails_once_is_tried_again(lab: Lab, sick_disk: SickDisk) -> None:
    (sick_disk.source / "once.jpg").write_bytes(make_jpeg(1))
    summary = await lab.run(sick_disk.mount, classifier=Oracle())
    assert counts(summary) == {"found": 1, "llm": 1}


async def test_half_a_file_is_never_taken_for_the_whole(lab: Lab, sick_disk: SickDisk) -> None:
    """A share that ends a read early gives a hash that is valid, and wrong."""
    (sick_disk.source / "short.jpg").write_bytes(make_jpeg(1, (200, 200)))
    oracle = Oracle()
    summary = await lab.run(sick_disk.mount, classifier=oracle)
    assert counts(summary) == {"found": 1, "failed": 1}
    assert reasons(summary) == {"short.jpg": "changed while reading"}
    assert oracle.asked == []
    [entry] = lab.index.known([os.fsencode(sick_disk.mount / "short.jpg")]).values()
    assert entry.hashed_at_ns == NEVER


async def test_a_share_that_goes_away_while_photos_are_classified_keeps_what_is_done(
    lab: Lab, sick_disk: SickDisk
) -> None:
    make_tree(sick_disk.source, 30)

    async def unplug(number: int, _photo: DecodedPhoto) -> None:
        if number == 4:
            sick_disk.unplug()

    oracle = Oracle(before=unplug)
    summary, error = await lab.classify(sick_disk.mount, classifier=oracle, workers=1)
    assert isinstance(error, StorageError)
    assert (summary.status, summary.exit_code) == ("failed", 74)
    assert counts(summary) == {"found": 30, "llm": 4, "pending": 26}
    assert set(lab.answered()) == set(oracle.paid)
    assert lab.index.count_under(os.fsencode(sick_disk.mount)) == 30


async def test_a_share_that_goes_away_while_files_are_hashed_ends_the_run(
    lab: Lab, sick_disk: SickDisk
) -> None:
    await to_thread.run_sync(make_tree, sick_disk.source, 700)
    async with lab.parts(sick_disk.mount, classifier=Oracle()) as parts:
        reporter = parts.reporter
        assert isinstance(reporter, RecordingReporter)
        reporter.on_settled = lambda _summary: sick_disk.unplug()
        await pipeline.run(parts)
        summary = parts.tally.summary("failed", 74, 1.0)
    assert isinstance(parts.control.error, StorageError)
    assert "What was done is kept; run it again when the disk is back." in str(parts.control.error)
    assert summary.found == summary.llm + summary.pending + summary.failed
    assert summary.found <= 700


async def test_a_share_that_is_away_from_the_beginning_forgets_nothing(
    lab: Lab, sick_disk: SickDisk
) -> None:
    make_tree(sick_disk.source, 5)
    await lab.classify(sick_disk.mount, classifier=Oracle())
    sick_disk.unplug()
    summary, error = await lab.classify(sick_disk.mount, classifier=Oracle())
    assert isinstance(error, StorageError)
    assert "Transport endpoint is not connected" in str(error)
    assert (summary.found, summary.exit_code) == (0, 74)
    assert lab.index.count_under(os.fsencode(sick_disk.mount)) == 5


async def rows_of(lab: Lab, root: Path) -> list[ExportRow]:
    reading = ReadRules(256 << 20, follow_symlinks=False, timeout_seconds=3.0)
    sources = Sources(lab.index, lab.cache, lab.taxonomy, reading, "en")
    plan = WalkPlan((os.fsencode(root),), WalkRules())
    return [row async for batch in export_rows(plan, sources, Control()) for row in batch]


async def test_an_export_has_a_row_for_a_file_that_hangs(lab: Lab, sick_disk: SickDisk) -> None:
    (sick_disk.source / "fine.jpg").write_bytes(make_jpeg(1, (40, 30)))
    (sick_disk.source / "hang.jpg").write_bytes(make_jpeg(2))
    (sick_disk.source / "late.jpg").write_bytes(make_jpeg(3))
    rows = await rows_of(lab, sick_disk.mount)
    assert [(Path(os.fsdecode(row.path)).name, row.width) for row in rows] == [
        ("fine.jpg", 40),
        ("hang.jpg", None),
        ("late.jpg", None),
    ]
    assert rows[2].image_hash == hash_of(sick_disk.source / "late.jpg")


async def test_an_export_from_a_share_that_is_away_is_an_error_and_no_empty_table(
    lab: Lab, sick_disk: SickDisk
) -> None:
    make_tree(sick_disk.source, 3)
    sick_disk.unplug()
    with pytest.raises(StorageError, match="Transport endpoint is not connected"):
        await rows_of(lab, sick_disk.mount)
