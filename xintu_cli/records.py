"""Frozen records that travel between the stages.

The hot ones (one a file, a hundred thousand in a rescan) are NamedTuples: making one takes
0.3 µs where a frozen dataclass takes 1.1 µs.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Source(StrEnum):
    """Who said it, in the order a reader believes them."""

    MANUAL = "manual"
    LLM = "llm"
    LOCAL = "local"


class Reason(StrEnum):
    """Why the local model answered a photo; stored in `classification.reason`.

    The empty reason: the policy asked the local model. `KEPT_LOCAL` is final while it is
    configured; every other one makes the answer provisional under a policy with an LLM.
    """

    ASKED = ""
    KEPT_LOCAL = "kept_local"
    OUTAGE = "outage"
    BUDGET = "budget"
    REFUSED = "refused"
    OFF_LIST = "off_list"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    STOPPED = "stopped"


_FINAL_REASONS = frozenset({Reason.ASKED, Reason.KEPT_LOCAL})


def _stands_in(source: str, reason: str) -> bool:
    """Tell whether the local model spoke in place of an LLM that was to be asked."""
    return source == Source.LOCAL and reason not in _FINAL_REASONS


class FileStatus(StrEnum):
    """What the index remembers of a file's content."""

    PHOTO = "photo"
    UNREADABLE = "unreadable"
    NOT_PHOTO = "not_photo"


class Photo(NamedTuple):
    """One file the walk found: an absolute path and its `lstat`, times in nanoseconds."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class IndexEntry(NamedTuple):
    """What this machine knows of one file; `image_hash` is "" unless status is `photo`.

    `hashed_at_ns` is the wall clock when the file had been read. `width`, `height` are the
    upright picture's pixels, `taken_at` the camera's naive ISO 8601 time, `background_color`
    a name of `imaging.color`; all None until a decode has filled them.
    """

    path: bytes
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    image_hash: str
    hash_version: int
    hashed_at_ns: int
    status: str
    reason: str
    width: int | None = None
    height: int | None = None
    taken_at: str | None = None
    background_color: str | None = None


class PhotoFacts(NamedTuple):
    """What decoding a photo tells about it, for the index and the export."""

    width: int
    height: int
    taken_at: str | None
    background_color: str


@dataclass(frozen=True, slots=True)
class HashedBatch:
    """Photos that have an image hash (XXH3-128 of the image-bearing bytes, 32 hex digits).

    `unchanged`: the index was trusted for all of them, no file was opened. `new_here`: the
    paths under which this machine's index did not have the image before.
    """

    photos: tuple[IndexEntry, ...]
    unchanged: bool
    new_here: frozenset[bytes] = frozenset()


class CachedRow(NamedTuple):
    """One row of the cache about one image: the columns that decide whether it answers.

    A `local` row that was kept back has the category that kept it as its second one, where
    the first is another.
    """

    image_hash: str
    source: str
    category: str
    confidence: float
    model: str
    reason: str
    prompt_version: str
    preparation_version: str
    second_category: str | None = None


class Task(NamedTuple):
    """One image of the backlog that is to be classified.

    `provisional`: it has a stand-in in the cache, whose category is `category`.
    """

    image_hash: str
    path: bytes
    size_bytes: int
    provisional: bool
    category: str = ""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classifier says: `confidence` is 0..1, categories are keys of the taxonomy."""

    category: str
    confidence: float
    description: str = ""
    second_category: str | None = None


NOT_SENT = "unreachable"
"""The outcome of an attempt that found nobody to send to."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an answer; each becomes a `request_log` row.

    `outcome` is `ok`, or why not: `unavailable`, `throttled`, `rejected`, `not_understood`,
    `stopped`, `unknown` (the request left, no reply came: it may have been billed), `unreachable`
    (nothing left: no call), `failed` (the local model). `cost` None: the price is unknown.
    Latency in milliseconds.
    """

    source: Source
    provider: str
    model: str
    outcome: str
    latency_ms: float
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    currency: str = ""
    number: int = 1
    error: str = ""

    @property
    def was_sent(self) -> bool:
        """False where nobody was there to take it: that is no call, and costs nothing."""
        return self.outcome != NOT_SENT


@dataclass(frozen=True, slots=True)
class Answer:
    """A classification, where it came from, every attempt it took, and who refused on the way."""

    classification: Classification
    source: Source
    provider: str
    model: str
    reason: str = Reason.ASKED
    prompt_version: str = ""
    preparation_version: str = ""
    attempts: tuple[Attempt, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def stands_in(self) -> bool:
        """True where the local model spoke in place of an LLM that was to be asked."""
        return _stands_in(self.source, self.reason)

    def total_tokens(self) -> tuple[int | None, int | None]:
        """Tokens in and out over all attempts; None where no attempt told."""
        inward = [a.tokens_in for a in self.attempts if a.tokens_in is not None]
        outward = [a.tokens_out for a in self.attempts if a.tokens_out is not None]
        return (sum(inward) if inward else None, sum(outward) if outward else None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider will not take this photo; it is not offered to it again for 30 days."""

    provider: str
    reason: str


# ---- what the cache takes and gives ----------------------------------------------------------


class LeftTo(NamedTuple):
    """Whose run a claim is left to although it ran out, and until when (the database's UTC).

    That run may hold an answer, paid for, that an absence of the database kept it from storing.
    """

    host: str
    until: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """One transaction's worth of news for the cache, all of one run and one task."""

    run_id: str
    task: str
    answers: tuple[tuple[str, Answer], ...] = ()
    """(image hash, answer): upserted by (image hash, task, source), the latest wins."""
    attempts: tuple[tuple[str, Attempt], ...] = ()
    """(image hash, attempt) of photos that ended without an answer; an answer brings its own."""
    refusals: tuple[tuple[str, Refusal], ...] = ()
    hits: tuple[str, ...] = ()
    """Image hashes whose look-up saved a call: `hit_count` grows."""
    released: tuple[str, ...] = ()
    """Image hashes whose claims end without an answer; an answer releases its own."""
    has_claims: bool = True
    """False for a run that pays for nothing and so has claimed nothing: none is looked for."""
    ends_run: bool = False
    """Nothing more comes of this run: whatever it still claims is free."""
    settlement_id: str = field(default_factory=lambda: secrets.token_hex(16), compare=False)
    """By which the cache knows that it has written this very settlement before."""

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to tell."""
        news = (self.answers, self.attempts, self.refusals, self.hits, self.released)
        return not any(news) and not self.ends_run


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """Everything the cache says of one image from one source; for exports and copies."""

    image_hash: str
    source: str
    category: str
    confidence: float
    description: str
    second_category: str | None
    provider: str
    model: str
    reason: str
    prompt_version: str
    preparation_version: str
    created_at: datetime
    """UTC, aware."""
    who: str = ""
    """Of a manual label: who set it."""

    @property
    def stands_in(self) -> bool:
        """True where the local model spoke in place of an LLM that was to be asked."""
        return _stands_in(self.source, self.reason)


@dataclass(frozen=True, slots=True)
class RunRow:
    """The row of one run when it starts; its counts follow when it ends."""

    run_id: str
    host: str
    version: str
    policy: str


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What `cache info` shows. `size_bytes` None where the server does not tell."""

    url: str
    cache_id: str
    schema_version: int
    size_bytes: int | None
    rows: dict[str, int]
    """Table name to number of rows."""
    sources: dict[str, int]
    """Source to number of answered images."""


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """One provider's share of a run."""

    calls: int = 0
    ok: int = 0
    failed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    cost: float | None = 0.0


@dataclass(frozen=True, slots=True)
class ProviderState:
    """How a provider is doing at this moment, for the display.

    `paused_until_seconds` is the reading of the monotonic clock at which it sends again
    (None: it is not paused); `open`: its breaker keeps photos from it, for now; `stopped`: it
    is not asked again in this run. `spent` None: the price is unknown.
    """

    name: str
    in_flight: int
    limit: int
    paused_until_seconds: float | None = None
    open: bool = False
    stopped: bool = False
    spent: float | None = 0.0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The counts of one run; `found` is the sum of the six that follow it.

    `spared` of `local` needed no call: the local model of a cascade was sure of them.
    `pending_reason` is the commonest one of those that are `pending`, in words.
    """

    run_id: str
    status: str
    exit_code: int
    found: int
    cached: int
    llm: int
    local: int
    failed: int
    skipped: int
    pending: int
    unchanged: int = 0
    duplicates: int = 0
    manual: int = 0
    provisional: int = 0
    upgraded: int = 0
    kept_local: int = 0
    spared: int = 0
    calls: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    currency: str = ""
    seconds: float = 0.0
    photos_per_second: float = 0.0
    categories: dict[str, int] = field(default_factory=dict)
    providers: dict[str, ProviderFigures] = field(default_factory=dict)
    failures: tuple[tuple[bytes, str], ...] = ()
    failures_total: int = 0
    pending_reason: str = ""
