"""Stats: what the cache and this machine's index tell about the past.

Reads only. Figures of the cache are those of every machine that shares it; paths and
unreadable files are this machine's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from anyio import CapacityLimiter, to_thread

from xintu_cli.records import Source
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.statistics import Statistics, read_statistics
from xintu_cli.storage.totals import Periods, read_periods
from xintu_cli.taxonomy import Taxonomy

_PARTICULARS = re.compile(r" \(|: ")
USUAL_DAYS = 30
"""The middle period where nobody has said how many days."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything `xintu stats` shows; `days` is None where the details are of all time."""

    cache_url: str
    days: int | None
    periods: Periods
    details: Statistics
    paths: Mapping[str, bytes]
    """Of the most reused images, those this machine has: image hash to a path."""
    labels: Mapping[str, str]
    """Of the most reused images, those a person has labelled: image hash to category."""
    unreadable: Mapping[str, int]
    """What is wrong, without its particulars, to the number of files on this machine."""

    @property
    def middle_days(self) -> int:
        """How many days the middle period has."""
        return self.days or USUAL_DAYS

    @property
    def sources(self) -> Mapping[str, int]:
        """Source to the images it is believed about."""
        found = dict.fromkeys((s.value for s in Source), 0)
        for line in self.details.categories:
            found[line.source] += line.photos
        return found

    @property
    def stand_in_share(self) -> float | None:
        """The share of what an LLM was to answer that the local model had to; None: nothing."""
        stand_ins = sum(line.photos for line in self.details.stand_ins)
        wanted = stand_ins + self.sources[Source.LLM]
        return stand_ins / wanted if wanted else None


async def overview(
    cache: SqlCache, index: SqliteFileIndex, taxonomy: Taxonomy, *, days: int | None
) -> Overview:
    """Collect the figures, the details of the last `days` days or of all time."""
    offset = datetime.now().astimezone().utcoffset()
    periods = await read_periods(
        cache,
        days=days or USUAL_DAYS,
        utc_offset_seconds=offset.total_seconds() if offset else 0.0,
    )
    details = await read_statistics(cache, taxonomy.task, taxonomy=taxonomy.name, days=days)
    reused = [line.image_hash for line in details.most_hit]
    said = await cache.look_up(taxonomy.task, taxonomy.name, reused)
    disk = CapacityLimiter(1)
    return Overview(
        cache_url=cache.url,
        days=days,
        periods=periods,
        details=details,
        paths=await to_thread.run_sync(index.paths_of, reused, limiter=disk),
        labels={
            image_hash: row.category
            for image_hash, rows in said.items()
            for row in rows
            if row.source == Source.MANUAL
        },
        unreadable=_kinds(await to_thread.run_sync(index.unreadable_reasons, limiter=disk)),
    )


def _kinds(reasons: Mapping[str, int]) -> Mapping[str, int]:
    """Add up reasons that differ in their particulars alone, the most frequent first.

    `too large (20000×20000)` and `cannot decode this PNG: broken …` would be a line a file.
    """
    kinds: Counter[str] = Counter()
    for reason, files in reasons.items():
        kinds[_PARTICULARS.split(reason, maxsplit=1)[0]] += files
    return dict(kinds.most_common())
