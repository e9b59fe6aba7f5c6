"""One machine's real cache, index, backlog and spool, on which the pipeline runs in process.

Only the classifier is not the real one: an `Oracle` answers by image, as a test tells it to,
and remembers what it was asked and what it was paid for.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio import to_thread

from tests.support.classifiers import answer
from xintu_cli import pipeline
from xintu_cli.errors import CacheUnreachableError
from xintu_cli.imaging.identity import image_hash
from xintu_cli.interfaces import Classifier, DecodedPhoto, Leases
from xintu_cli.jobs.classify import Terms, classify
from xintu_cli.jobs.signals import SignalWatch
from xintu_cli.outcomes import Settled
from xintu_cli.records import (
    Answer,
    Attempt,
    CachedRow,
    Classification,
    Reason,
    RunRow,
    RunSummary,
    Settlement,
    Source,
)
from xintu_cli.routing import Acceptance, Policy, Refresh
from xintu_cli.stages.claiming import ClaimRules
from xintu_cli.stages.classify import Desk, Encoding
from xintu_cli.stages.control import Control
from xintu_cli.stages.hashing import RACY_NS
from xintu_cli.stages.lookup import Question, Shelves
from xintu_cli.stages.persist import Store
from xintu_cli.stages.reading import ReadRules
from xintu_cli.stages.walk import WalkPlan, WalkRules
from xintu_cli.storage.backlog import SqliteBacklog
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.sqlite import open_cache
from xintu_cli.tally import Tally
from xintu_cli.taxonomy import Taxonomy, load_taxonomy

LOCAL_MODEL = "lite-1"
PARTS = ("cached", "llm", "local", "failed", "skipped", "pending")

Behaviour = Answer | Exception | Callable[[DecodedPhoto], Answer | Exception]
Before = Callable[[int, DecodedPhoto], Awaitable[None]]


def local_answer(
    category: str = "foods", confidence: float = 0.9, reason: Reason = Reason.ASKED
) -> Answer:
    """Return what the present local model says."""
    made = Attempt(Source.LOCAL, "local", LOCAL_MODEL, "ok", 5.0)
    said = Classification(category, confidence)
    return Answer(said, Source.LOCAL, "local", LOCAL_MODEL, reason, attempts=(made,))


class Oracle:
    """Answers as it was told per image (the last behaviour for ever), else as `usually`."""

    name = "qwen"

    def __init__(self, usually: Behaviour | None = None, before: Before | None = None) -> None:
        self.usually: Behaviour = answer() if usually is None else usually
        self.about: dict[str, list[Behaviour]] = {}
        self.asked: list[str] = []
        self.paid: list[str] = []
        """Images in the order in which they were answered."""
        self._before = before

    def tell(self, image: str, *behaviours: Behaviour) -> None:
        """Say what becomes of an image, call by call."""
        self.about[image] = list(behaviours)

    async def classify(self, photo: DecodedPhoto) -> Answer:
        self.asked.append(photo.image_hash)
        number = len(self.asked)
        await anyio.lowlevel.checkpoint()
        if self._before is not None:
            await self._before(number, photo)
        told = self.about.get(photo.image_hash, [self.usually])
        behaviour = told.pop(0) if len(told) > 1 else told[0]
        result = behaviour(photo) if callable(behaviour) else behaviour
        if isinstance(result, Exception):
            raise result
        # From here to the pipeline nothing is awaited: the answer is in hand.
        self.paid.append(photo.image_hash)
        return result


class FaultyCache(SqlCache):
    """The real cache, until a verb of it is told to fail."""

    def __init__(self, real: SqlCache) -> None:
        super().__init__(real.connector, real.cache_id)
        self.calls: Counter[str] = Counter()
        self.fails_from: dict[str, int] = {}
        """Verb to the number of its call (from 1) from which on it fails."""
        self.news = anyio.Event()

    async def look_up(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedRow]]:
        self._maybe_fail("look_up")
        return await super().look_up(task, taxonomy, hashes)

    async def settle(self, settlement: Settlement) -> None:
        self._maybe_fail("settle")
        await super().settle(settlement)

    async def claim(
        self, task: str, hashes: Sequence[str], *, run_id: str, host: str, seconds: float
    ) -> frozenset[str]:
        self._maybe_fail("claim")
        return await super().claim(task, hashes, run_id=run_id, host=host, seconds=seconds)

    def _maybe_fail(self, verb: str) -> None:
        self.calls[verb] += 1
        self.news.set()
        self.news = anyio.Event()
        if self.calls[verb] >= self.fails_from.get(verb, 1 << 30):
            raise CacheUnreachableError(f"the cache is away ({verb})")


@dataclass(slots=True)
class RecordingReporter:
    """Remembers what it was told."""

    batches: list[Sequence[Settled]] = field(default_factory=list)
    summaries: list[RunSummary] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    is_walked: bool = False
    is_closed: bool = False
    on_settled: Callable[[RunSummary], None] | None = None
    language: str = "en"

    def start(self) -> None:
        """Begin."""

    def settled(self, batch: Sequence[Settled], summary: RunSummary, *, waiting: int) -> None:
        self.batches.append(batch)
        self.summaries.append(summary)
        if self.on_settled is not None:
            self.on_settled(summary)

    def doing(self, what: str) -> None:
        """Be told what is being done."""

    def walked(self) -> None:
        self.is_walked = True

    def notice(self, message: str, *, problem: bool = False) -> None:
        self.notices.append(message)

    def finish(self, summary: RunSummary) -> None:
        """End."""

    def close(self) -> None:
        self.is_closed = True


@dataclass(slots=True)
class Lab:
    """A machine: its state directory, its cache, its index."""

    state: Path
    cache: SqlCache
    index: SqliteFileIndex
    spool: LocalSpool
    taxonomy: Taxonomy
    runs: int = 0

    @asynccontextmanager
    async def parts(
        self,
        *roots: Path,
        classifier: Classifier,
        acceptance: Mapping[str, Any] | None = None,
        rules: WalkRules | None = None,
        workers: int = 4,
        claims: bool = False,
        leases: Leases | None = None,
        lease_seconds: float = 180.0,
        batch: int = 64,
        file_timeout_seconds: float = 60.0,
        dry_run: bool = False,
    ) -> AsyncIterator[pipeline.Parts]:
        """Put one run together, as the composition root does."""
        self.runs += 1
        run_id = f"{self.runs:032x}"
        control = Control()
        reading = ReadRules(256 << 20, follow_symlinks=False, timeout_seconds=file_timeout_seconds)
        with SqliteBacklog(self.state) as backlog:
            desk = Desk(
                classifier=classifier,
                index=self.index,
                backlog=backlog,
                rules=reading,
                edge=64,
                to_send=Encoding(64, 1 << 20),
                control=control,
            )
            question = Question(
                self.taxonomy.task, self.taxonomy.name, self.acceptance(**(acceptance or {}))
            )
            yield pipeline.Parts(
                plan=WalkPlan(tuple(map(os.fsencode, roots)), rules or WalkRules()),
                reading=reading,
                shelves=Shelves(self.cache, backlog, question),
                claims=ClaimRules(
                    run_id,
                    "lab",
                    needed=claims,
                    lease_seconds=lease_seconds,
                    look_again_seconds=0.01,
                    batch=batch,
                    leases=leases,
                ),
                desk=desk,
                workers=workers,
                store=Store(
                    cache=self.cache,
                    index=self.index,
                    backlog=backlog,
                    spool=self.spool,
                    run_id=run_id,
                    task=self.taxonomy.task,
                    leases=leases,
                    is_dry_run=dry_run,
                ),
                tally=Tally(run_id),
                reporter=RecordingReporter(),
                control=control,
            )

    async def run(self, *roots: Path, classifier: Classifier, **options: Any) -> RunSummary:
        """Run the pipeline once, to its end; return what it counted."""
        async with self.parts(*roots, classifier=classifier, **options) as parts:
            await pipeline.run(parts)
            assert parts.control.error is None
            summary = parts.tally.summary("done", 0, 1.0)
        check_sum(summary)
        return summary

    async def classify(
        self,
        *roots: Path,
        classifier: Classifier,
        dry_run: bool = False,
        grace_seconds: float = 30.0,
        signals: SignalWatch | None = None,
        **options: Any,
    ) -> tuple[RunSummary, Exception | None]:
        """Do the whole job, from the run's row to its summary."""
        options["dry_run"] = dry_run
        async with self.parts(*roots, classifier=classifier, **options) as parts:
            run = RunRow(parts.store.run_id, "lab", "0", Policy.HYBRID)
            terms = Terms(run, grace_seconds, fallback_ok=False, dry_run=dry_run)
            if dry_run:
                parts.control.stop_feeding("a dry run asks nobody")
            summary, error = await classify(parts, terms, signals or SignalWatch())
        check_sum(summary)
        return summary, error

    def acceptance(
        self,
        policy: Policy = Policy.HYBRID,
        refresh: Refresh = Refresh.NONE,
        keep_local: frozenset[str] = frozenset(),
    ) -> Acceptance:
        """Return what a run accepts: by default what a hybrid one does."""
        return Acceptance(
            policy=policy,
            categories=self.taxonomy.keys,
            local_model=LOCAL_MODEL,
            keep_local=keep_local,
            refresh=refresh,
            llm_models=frozenset({"vl"}),
        )

    async def store(self, **answers: Answer) -> None:
        """Put answers into the cache as another run would: image hash to answer."""
        await self.cache.settle(
            Settlement("f" * 32, self.taxonomy.task, answers=tuple(answers.items()))
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the cache's file behind its back."""
        with closing(sqlite3.connect(self.state / "cache.db")) as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        """Change the cache's file behind its back."""
        with closing(sqlite3.connect(self.state / "cache.db")) as connection, connection:
            connection.execute(sql)

    def answered(self) -> dict[str, str]:
        """Image hash to category of every classification."""
        return dict(self.rows("SELECT image_hash, category FROM classification"))


@asynccontextmanager
async def open_lab(state: Path) -> AsyncIterator[Lab]:
    """Open a machine whose state lies in a directory."""
    state.mkdir(exist_ok=True)  # noqa: ASYNC240  # a test's own disk
    async with open_cache(f"sqlite:///{state / 'cache.db'}") as cache:
        with SqliteFileIndex(state / "index.db") as index:
            spool = LocalSpool(state / "spool.db", cache.cache_id)
            yield Lab(state, cache, index, spool, load_taxonomy("xintu"))


def check_sum(summary: RunSummary) -> None:
    """Assert that what was found is the sum of what became of it."""
    assert summary.found == sum(getattr(summary, part) for part in PARTS), summary


def counts(summary: RunSummary, *names: str) -> dict[str, int]:
    """Return the counts that are not zero, of the six parts and of `names`."""
    values = {name: getattr(summary, name) for name in ("found", *PARTS, *names)}
    return {name: value for name, value in values.items() if value}


def hash_of(path: Path) -> str:
    """Return a file's image hash."""
    return image_hash(path.read_bytes())


async def let_age(*paths: Path) -> None:
    """Wait until the index may trust what it hashes of these files: they are 2 s old.

    Nothing can date a ctime back, and the rule is about real time: so this one wait is real.
    """
    youngest = await to_thread.run_sync(_last_touched_ns, paths)
    await anyio.sleep(max(0.0, (youngest + RACY_NS + 100_000_000 - time.time_ns()) / 1e9))


def _last_touched_ns(paths: Sequence[Path]) -> int:
    return max(path.stat().st_ctime_ns for path in paths)
