"""What `xintu models train` and `adapt` do around the jobs: photos, progress, the verdict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from xintu_cli.bootstrap import open_local, open_shared, read_rules, walk_rules
from xintu_cli.cli.exits import say
from xintu_cli.cli.progress import shown_progress
from xintu_cli.cli.session import Session
from xintu_cli.errors import ConfigurationError, ExitCode, UsageError
from xintu_cli.jobs.entries import entries_below
from xintu_cli.jobs.labelled import labelled_photos
from xintu_cli.jobs.looking import Album, Lesson, look_at
from xintu_cli.jobs.own_labels import fair_shares, known_entries, own_lessons
from xintu_cli.reporting.escape import display_text
from xintu_cli.stages.control import Control
from xintu_cli.stages.roots import absolute_roots
from xintu_cli.stages.walk import WalkPlan
from xintu_cli.workspace import find_model, head_shelf

if TYPE_CHECKING:
    from xintu_cli.jobs.learning import Learnt
    from xintu_cli.providers.head_files import HeadNotes, KeptHead
    from xintu_cli.providers.manifest import ModelManifest
    from xintu_cli.providers.onnx_model import OnnxModel

MOST_PHOTOS = 2_000
"""Photos that a head is learnt from: a minute or two of looking, half a minute of learning."""
_NAMED_FAILURES = 10
_FOLDER = "folder"


def train(session: Session, place: Path, *, as_json: bool) -> int:
    """Learn a head from a labelled folder; return the exit code."""
    workspace = session.workspace
    photos = labelled_photos(place, workspace.taxonomy, walk_rules(workspace))
    categories = {photo.category for photo in photos}
    if len(categories) == 1:
        raise UsageError(
            f"{display_text(os.fsencode(place))} has photos of one category alone, "
            f"{categories.pop()}: there is nothing to tell apart. Add photos of a second one."
        )
    quotas = fair_shares(dict(Counter(photo.category for photo in photos)), MOST_PHOTOS)
    lessons = list(_evenly([Lesson(p.path, p.category, _FOLDER) for p in photos], quotas))
    return _learn(session, lessons, "train", as_json=as_json)


def adapt(session: Session, paths: Sequence[Path], *, as_json: bool) -> int:
    """Learn a head from what the cache knows of the user's photos; return the exit code."""
    lessons = anyio.run(_own_lessons, session, paths)
    if not lessons:
        where = "below these paths" if paths else "of this machine"
        raise UsageError(
            f"cannot adapt: the cache has no label of a photo {where}, neither a person's nor an "
            "LLM's. Label some (xintu label PATH --as CATEGORY), or classify some with an LLM "
            "(--policy hybrid)."
        )
    return _learn(session, lessons, "adapt", as_json=as_json)


def take_back(session: Session) -> int:
    """Go back to the head before the present one, or to the model's own."""
    workspace = session.workspace
    from xintu_cli.providers.coverage import coverage

    manifest = find_model(workspace)
    shelf = head_shelf(workspace, manifest)
    name = shelf.take_back()
    where = f"{manifest.name}, for the taxonomy {workspace.taxonomy.name}"
    if not name:
        raise UsageError(f"there is nothing to take back: {where}, has learnt nothing here.")
    left = shelf.in_use()
    if left:
        now = f"the head of {left.notes.made_at[:10]} is in use"
    elif coverage(manifest, workspace.taxonomy).usable:
        now = "answers as it ships"
    else:
        now = "it knows none of its categories"
    say(display_text(f"taken back: {name}. Now {where}: {now}."))
    return int(ExitCode.DONE)


async def _own_lessons(session: Session, paths: Sequence[Path]) -> list[Lesson]:
    workspace, control = session.workspace, Control()
    async with open_shared(workspace) as cache:
        with open_local(workspace) as index:
            if paths:
                plan = WalkPlan(absolute_roots(paths), walk_rules(workspace))
                reading = read_rules(workspace.settings)
                batches = entries_below(plan, index=index, reading=reading, control=control)
            else:
                batches = known_entries(index, control)
            return await own_lessons(batches, cache, workspace.taxonomy, most=MOST_PHOTOS)


def _evenly(lessons: Sequence[Lesson], quotas: dict[str, int]) -> Iterator[Lesson]:
    """Take so many of each category, spread over its folders."""
    counts = Counter(lesson.category for lesson in lessons)
    seen = Counter[str]()
    for lesson in lessons:
        category = lesson.category
        before, after = seen[category], seen[category] + 1
        seen[category] = after
        quota, count = quotas[category], counts[category]
        if after * quota // count > before * quota // count:
            yield lesson


def _learn(session: Session, lessons: Sequence[Lesson], made_by: str, *, as_json: bool) -> int:
    # Many small products: threads of the BLAS only wait for each other, and beside other work
    # they took 18 times as long (110 s instead of 6). It reads this when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from xintu_cli.cli.verdicts import show_verdict
    from xintu_cli.jobs.learning import learn
    from xintu_cli.providers.head_files import pack_head
    from xintu_cli.providers.onnx_model import OnnxModel

    workspace = session.workspace
    manifest = find_model(workspace)
    _check_embedding(manifest)
    shelf = head_shelf(workspace, manifest)
    present = _present(session, manifest)
    album = anyio.run(_look, session, lessons, OnnxModel.load(manifest))
    _tell_failures(album)
    if not workspace.settings.quiet:
        say(f"learning from {len(album.pages):,} photos")
    taxonomy = workspace.taxonomy
    kept = workspace.settings.kept_local(taxonomy.keep_local)
    learnt = learn(album, manifest, taxonomy, present=present, kept=kept)
    if not learnt.refused:
        notes = _notes(session, manifest, album, learnt, made_by)
        shelf.adopt(notes, pack_head(learnt.head, learnt.held_out))
    show_verdict(learnt, album, session, as_json=as_json)
    return int(ExitCode.SOME_FAILED if album.failures else ExitCode.DONE)


def _check_embedding(manifest: ModelManifest) -> None:
    if manifest.embedding is None:
        raise ConfigurationError(
            f"cannot learn with the local model {manifest.name}: it gives no embedding. Name one "
            f"of its outputs as `embedding` in [output] of {manifest.directory / 'model.toml'}, "
            "or choose another model."
        )


def _present(session: Session, manifest: ModelManifest) -> KeptHead | None:
    """Read the head in use; one that cannot be used ends it before anything is looked at."""
    workspace = session.workspace
    present = head_shelf(workspace, manifest).in_use()
    if present is not None:
        present.check(base=manifest.sha256, taxonomy=workspace.taxonomy.name)
    return present


async def _look(session: Session, lessons: Sequence[Lesson], model: OnnxModel) -> Album:
    with shown_progress(session, "looking at the photos") as advance:
        return await look_at(
            lessons, model, read_rules(session.workspace.settings), advance=advance
        )


def _tell_failures(album: Album) -> None:
    for path, reason in album.failures[:_NAMED_FAILURES]:
        say(f"left out: {display_text(path)}: {display_text(reason)}")
    if len(album.failures) > _NAMED_FAILURES:
        say(f"… and {len(album.failures) - _NAMED_FAILURES:,} more")


def _notes(
    session: Session, manifest: ModelManifest, album: Album, learnt: Learnt, made_by: str
) -> HeadNotes:
    from xintu_cli.providers.head_files import HeadNotes

    taxonomy = session.workspace.taxonomy
    new = learnt.new
    return HeadNotes(
        model=manifest.name,
        base=manifest.sha256,
        taxonomy=taxonomy.name,
        task=taxonomy.task,
        categories=learnt.head.categories,
        prior=learnt.head.prior,
        cascade=learnt.cascade,
        keep_local=learnt.keep_local,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        made_by=made_by,
        photos=dict(Counter(page.lesson.category for page in album.pages)),
        labels=dict(Counter(page.lesson.giver for page in album.pages)),
        figures={
            "accuracy": round(new.accuracy, 4),
            "macro_f1": round(new.macro_f1, 4),
            "ece": round(new.ece, 4),
            "share": round(new.share, 4),
            "alone": round(new.alone, 4),
        }
        | ({} if new.alone_right is None else {"alone_right": round(new.alone_right, 4)}),
    )
