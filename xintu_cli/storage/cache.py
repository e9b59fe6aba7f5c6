"""The cache over any connector: turns the `Cache` interface into scripts and runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from xintu_cli.records import (
    CachedAnswer,
    CachedRow,
    CacheInfo,
    LeftTo,
    RunRow,
    RunSummary,
    Settlement,
    Source,
)
from xintu_cli.storage import keyset
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.privacy import described, only_answers, without_descriptions
from xintu_cli.storage.schema import CLASSIFICATION_KEY, TABLES
from xintu_cli.storage.script import Connector, Script, Statement
from xintu_cli.storage.verbs import claiming, clock, labelling, reading, running, settling
from xintu_cli.storage.verbs.absences import Witness, saw_none


class SqlCache:
    """A `Cache` in an SQL database; `cache_id` is its own, wherever it is moved.

    With `descriptions`, a cache on this machine, the answers' descriptions stay there.
    """

    def __init__(
        self, connector: Connector, cache_id: str, descriptions: SqlCache | None = None
    ) -> None:
        self.connector = connector
        self.cache_id = cache_id
        self.descriptions = descriptions
        self.saw: Witness = saw_none
        """What this machine knows of the database's absences."""

    @property
    def url(self) -> str:
        """Where it is, without any secret."""
        return self.connector.url

    async def look_up(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedRow]]:
        """Return every row about these images (manual labels too, source `manual`)."""
        return await self.connector.read(
            lambda dialect: reading.look_up(dialect, task, taxonomy, hashes), doing="read from"
        )

    async def details(
        self, task: str, taxonomy: str, hashes: Sequence[str]
    ) -> Mapping[str, Sequence[CachedAnswer]]:
        """Like `look_up`, with every column."""
        found = await self.connector.read(
            lambda dialect: reading.details(dialect, task, taxonomy, hashes), doing="read from"
        )
        if self.descriptions is None:
            return found
        return described(found, await self.descriptions.details(task, taxonomy, hashes))

    async def settle(self, settlement: Settlement) -> None:
        """Write answers, attempts, refusals, hits and released claims in one transaction."""
        if self.descriptions is not None:
            await self.descriptions.settle(only_answers(settlement))
            settlement = without_descriptions(settlement)
        await self.connector.write(
            lambda dialect: settling.settle(dialect, settlement), doing="write to"
        )

    async def claim(
        self, task: str, hashes: Sequence[str], *, run_id: str, host: str, seconds: float
    ) -> frozenset[str]:
        """Claim images for `seconds`, taking over expired claims; return those that are ours."""
        return await self.connector.write(
            lambda dialect: claiming.claim(
                dialect, task, hashes, run_id, host, seconds, saw=self.saw
            ),
            doing="claim photos in",
        )

    async def left_to(self, task: str, hashes: Sequence[str]) -> Mapping[str, LeftTo]:
        """Return which of these images have run out and are left to their runs all the same."""
        return await self.connector.read(
            lambda dialect: claiming.left_to(dialect, task, hashes, self.saw), doing="read from"
        )

    async def release(self, task: str, hashes: Sequence[str], *, run_id: str) -> None:
        """Give claims back without an answer."""
        await self.connector.write(
            lambda dialect: claiming.release(dialect, task, hashes, run_id),
            doing="release photos in",
        )

    async def run_out(self, task: str, hashes: Sequence[str]) -> frozenset[str]:
        """Return which of these images have claims that ran out without a result."""
        return await self.connector.read(
            lambda dialect: claiming.run_out(dialect, task, hashes), doing="read from"
        )

    async def expired_claims(self) -> int:
        """Count claims that ran out without a result: calls that may have been paid for."""
        return await self.connector.read(
            lambda dialect: claiming.expired_claims(dialect, self.saw), doing="read from"
        )

    async def bury(self, run_id: str) -> int:
        """Delete every claim of a run that is known to be dead; return how many had no result."""
        return await self.connector.write(
            lambda dialect: claiming.bury(dialect, run_id), doing="release photos in"
        )

    async def note_lease(self, seconds: float) -> None:
        """Let other machines know how long the leases here are."""
        await self.connector.write(
            lambda dialect: claiming.note_lease(dialect, seconds), doing="write to"
        )

    async def refused(self, task: str, hashes: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return, per image, the providers whose refusal is not yet over."""
        return await self.connector.read(
            lambda dialect: reading.refused(dialect, task, hashes), doing="read from"
        )

    async def start_run(self, run: RunRow) -> None:
        """Write the run's row."""
        await self.connector.write(
            lambda dialect: running.start_run(dialect, run), doing="write to"
        )

    async def finish_run(self, summary: RunSummary) -> None:
        """Complete the run's row with its counts."""
        await self.connector.write(
            lambda dialect: running.finish_run(dialect, summary), doing="write to"
        )

    async def set_labels(
        self, taxonomy: str, labels: Sequence[tuple[str, str]], *, who: str
    ) -> None:
        """Store a person's word: (image hash, category) each."""
        await self.connector.write(
            lambda dialect: labelling.set_labels(dialect, taxonomy, labels, who), doing="write to"
        )

    async def clear_labels(self, taxonomy: str, hashes: Sequence[str]) -> int:
        """Take a person's word back; return how many there were."""
        return await self.connector.write(
            lambda dialect: labelling.clear_labels(dialect, taxonomy, hashes), doing="write to"
        )

    async def info(self) -> CacheInfo:
        """Count what is there."""
        return await self.connector.read(self._info, doing="read from", is_long=True)

    async def answers(self, task: str | None = None) -> AsyncIterator[tuple[str, CachedAnswer]]:
        """Stream (task, answer) of every classification, in key order; flat memory."""
        after = keyset.start(CLASSIFICATION_KEY)
        while page := await self.connector.read(
            partial(reading.answers_page, task=task, after=after), doing="read from"
        ):
            for (_image_hash, of_task, _source), answer in page:
                if answer is not None:
                    yield of_task, answer
            after = page[-1][0]

    def _info(self, dialect: Dialect) -> Script[CacheInfo]:
        # By source first: the largest table need not be read twice.
        reply = yield Statement("SELECT source, COUNT(*) FROM classification GROUP BY source")
        sources = {str(source): int(count) for source, count in reply.rows}
        rows = {TABLES[0]: sum(sources.values())}
        for table in TABLES[1:]:
            reply = yield Statement(f"SELECT COUNT(*) FROM {table}")
            rows[table] = int(reply.rows[0][0])
        reply = yield Statement("SELECT COUNT(DISTINCT image_hash) FROM manual_label")
        sources[Source.MANUAL.value] = int(reply.rows[0][0])
        meta = yield from clock.read_meta(dialect)
        reply = yield Statement(dialect.size)
        size = reply.rows[0][0]
        return CacheInfo(
            url=self.url,
            cache_id=self.cache_id,
            schema_version=int(meta["schema"]),
            size_bytes=int(size) if size is not None else None,
            rows=rows,
            sources=sources,
        )
