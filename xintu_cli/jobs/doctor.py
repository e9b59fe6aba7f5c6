"""Doctor: look at everything a run stands on, and say of each part how it is.

In: what the settings name. Out: findings, one after another as they are known. Writes nothing
that stays; asks each provider in use one tiny question.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from xintu_cli.errors import (
    CredentialsError,
    DamagedError,
    ModelFileError,
    OldSchemaError,
    XintuError,
)
from xintu_cli.jobs import surroundings
from xintu_cli.jobs.findings import Finding, broken, mend_provider, ok, warning
from xintu_cli.jobs.surroundings import Terminal
from xintu_cli.locations import Locations
from xintu_cli.providers.coverage import coverage
from xintu_cli.providers.head_files import HeadNotes
from xintu_cli.providers.heads import HeadShelf
from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.reporting.doctor_phrases import Found, Mend
from xintu_cli.reporting.escape import shell_word
from xintu_cli.reporting.phrases import Say, speaker
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.credentials import PASSWORD_VARIABLE
from xintu_cli.storage.index import SqliteFileIndex
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.upkeep import check
from xintu_cli.storage.urls import open_cache, sqlite_path
from xintu_cli.storage.verbs.clock import as_utc, clock
from xintu_cli.taxonomy import Taxonomy

_CLOCKS_APART_SECONDS = 60.0
_NO_PHOTO = "0" * 32
_CLAIM_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """One provider: `ask` makes a tiny real call and says how it went, or raises."""

    name: str
    ask: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at. `model` is the local model's manifest, or why it has none."""

    locations: Locations
    taxonomy: Taxonomy
    cache_url: str
    model: ModelManifest | XintuError
    terminal: Terminal
    own_model: bool = False
    """The model is a directory of the user's, not one that ships."""
    providers: Sequence[ProviderCheck | Finding] = ()
    secrets: Sequence[Path] = ()
    """Files that hold a password."""
    key_files: Sequence[Path] = ()
    outputs: Sequence[Path] = ()
    say: Say = field(default_factory=lambda: speaker("en"))
    disk: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))


async def examine(patient: Patient) -> AsyncGenerator[Finding, None]:
    """Yield what is found, the things that matter most first; to be closed (`aclosing`)."""
    for look in (_look_at_cache, _look_at_index, _look_at_model, _look_at_providers):
        async with aclosing(look(patient)) as found:
            async for finding in found:
                yield finding
    state, locations, say = patient.locations.state, patient.locations, patient.say
    databases = [locations.cache_file, locations.index_file, locations.spool_file]
    private = [state, *databases, *patient.secrets]
    for check_machine in (
        partial(surroundings.look_at_clock, state, say),
        partial(surroundings.look_at_disk, state, say),
        partial(surroundings.look_at_permissions, private, patient.key_files, say),
        partial(surroundings.look_at_codecs, say),
        partial(surroundings.look_at_terminal, patient.terminal, say),
        partial(surroundings.look_at_outputs, patient.outputs, say),
    ):
        findings = await to_thread.run_sync(_all, check_machine, limiter=patient.disk)
        for finding in findings:
            yield finding


def _all(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    return list(look())


async def _look_at_cache(patient: Patient) -> AsyncGenerator[Finding, None]:
    """Open the cache, read it, write to it, and see what waits for it."""
    try:
        async with open_cache(patient.cache_url) as cache:
            yield await _reachable(cache, patient.say)
            async for finding in _odd_rows(cache, patient.say):
                yield finding
            yield await _writable(cache, patient.taxonomy.task, patient.say)
            async for finding in _clocks(cache, patient.say):
                yield finding
            yield await _spool(cache, patient)
    except XintuError as error:
        yield broken("cache", error, _mend_cache(error, patient))
        if patient.locations.spool_file.exists():
            yield warning("spool", patient.say(Found.MAY_WAIT), patient.say(Mend.WRITES_ONCE_BACK))


def _mend_cache(error: XintuError, patient: Patient) -> str:
    """Return the command that helps most often; the error's own words say the rest."""
    match error:
        case OldSchemaError():
            return "xintu cache migrate"
        case CredentialsError() if PASSWORD_VARIABLE in str(error):
            return f"export {PASSWORD_VARIABLE}=…"
        case DamagedError() if patient.cache_url.startswith("sqlite:"):
            command = _away(sqlite_path(patient.cache_url))
            return patient.say(Mend.OR_BACKUP, command=command)
        case _:
            return ""


async def _reachable(cache: SqlCache, say: Say) -> Finding:
    started = time.monotonic()
    info = await cache.info()
    milliseconds = (time.monotonic() - started) * 1000
    answers = sum(info.sources.values())
    size = info.size_bytes
    said = say(
        Found.CACHE,
        url=info.url,
        answers=answers,
        schema=info.schema_version,
        size="" if size is None else say(Found.CACHE_SIZE, megabytes=size / 1e6),
        ms=milliseconds,
    )
    return ok("cache", said)


def _away(database: Path) -> str:
    """Return the command that moves a database away, with what belongs to it."""
    word = shell_word(os.fsencode(database))
    return f'for f in {word}*; do mv "$f" "$f.away"; done'


async def _odd_rows(cache: SqlCache, say: Say) -> AsyncIterator[Finding]:
    """Check a file page by page; a server's tables are its administrator's, and may be huge."""
    if not cache.url.startswith("sqlite:"):
        return
    for problem in await check(cache):
        yield warning("cache", problem, say(Mend.REPLACES))


async def _writable(cache: SqlCache, task: str, say: Say) -> Finding:
    """Claim a photo that does not exist, and give it back: an insert, an update, a delete."""
    run_id = secrets.token_hex(16)
    host = socket.gethostname()
    await cache.claim(task, [_NO_PHOTO], run_id=run_id, host=host, seconds=_CLAIM_SECONDS)
    await cache.release(task, [_NO_PHOTO], run_id=run_id)
    expired = await cache.expired_claims()
    if expired:
        return warning("cache", say(Found.DEAD_CLAIMS, n=expired), say(Mend.TAKES_OVER))
    return ok("cache", say(Found.CACHE_WRITABLE))


async def _clocks(cache: SqlCache, say: Say) -> AsyncIterator[Finding]:
    """Compare a server's clock with this machine's; a file's is the same one."""
    if cache.url.startswith("sqlite:"):
        return
    theirs = as_utc(await cache.connector.read(clock, doing="read from"))
    apart = (datetime.now(UTC) - theirs).total_seconds()
    if abs(apart) > _CLOCKS_APART_SECONDS:
        said = say(Found.SERVER_CLOCK_APART, seconds=apart)
        yield warning("clock", said, say(Mend.BOTH_CLOCKS))
    else:
        yield ok("clock", say(Found.SERVER_CLOCK, seconds=abs(apart)))


async def _spool(cache: SqlCache, patient: Patient) -> Finding:
    say = patient.say
    spool = LocalSpool(patient.locations.spool_file, cache.cache_id)
    waiting = await to_thread.run_sync(spool.waiting, limiter=patient.disk)
    if waiting:
        return warning("spool", say(Found.WAITING, n=waiting), say(Mend.WRITES_FIRST))
    others = await to_thread.run_sync(spool.waiting_elsewhere, limiter=patient.disk)
    if others:
        return warning("spool", say(Found.WAITING_ELSEWHERE, n=others), say(Mend.OTHER_CACHE))
    return ok("spool", say(Found.NOTHING_WAITS))


async def _look_at_index(patient: Patient) -> AsyncGenerator[Finding, None]:
    path = patient.locations.index_file

    def count() -> tuple[int, int]:
        with SqliteFileIndex(path) as index:
            return index.count_under(b"/"), sum(index.unreadable_reasons().values())

    try:
        files, unreadable = await to_thread.run_sync(count, limiter=patient.disk)
    except XintuError as error:
        yield broken("index", error, _away(path) if isinstance(error, DamagedError) else "")
        return
    say = patient.say
    cannot = say(Found.INDEX_UNREADABLE, n=unreadable) if unreadable else ""
    yield ok("index", say(Found.INDEX, path=path, files=files) + cannot)


async def _look_at_model(patient: Patient) -> AsyncGenerator[Finding, None]:
    """Check the file against its manifest and run it once."""
    from xintu_cli.providers.onnx_model import OnnxModel

    manifest, say = patient.model, patient.say
    try:
        if isinstance(manifest, XintuError):
            raise manifest
        started = time.monotonic()
        model = await to_thread.run_sync(OnnxModel.load, manifest, limiter=patient.disk)
        milliseconds = (time.monotonic() - started) * 1000
        size = model.embedding_size
    except ModelFileError as error:
        yield broken("model", error, say(_mend_model(patient)))
        return
    except XintuError as error:
        yield broken("model", error, "xintu models list")
        return
    yield ok("model", say(Found.MODEL, fingerprint=manifest.fingerprint, ms=milliseconds))
    learnt = _learnt(patient, manifest, size)
    if isinstance(learnt, ModelFileError):
        yield broken("model", learnt, "xintu models adapt --take-back")
        return
    if learnt:
        day = learnt.made_at[:10]
        said = say(Found.LEARNT, taxonomy=learnt.taxonomy, photos=learnt.total, day=day)
        yield ok("model", said)
    served = coverage(manifest, patient.taxonomy, head=learnt.categories if learnt else ())
    if not served.complete:
        yield warning("model", str(served), say(Mend.TRAIN))


def _mend_model(patient: Patient) -> Mend:
    """Say where a model comes from again: what does not ship with xintu is the user's own."""
    return Mend.OTHER_MODEL if patient.own_model else Mend.REINSTALL


def _learnt(
    patient: Patient, manifest: ModelManifest, embedding_size: int
) -> HeadNotes | ModelFileError | None:
    """Read the head in use as a run does, or return what is wrong with it."""
    taxonomy = patient.taxonomy.name
    try:
        head = HeadShelf.of(patient.locations.heads, manifest.name, taxonomy).in_use()
        if head is None:
            return None
        head.check(base=manifest.sha256, taxonomy=taxonomy)
        head.head(embedding_size)
    except ModelFileError as error:
        return error
    return head.notes


async def _look_at_providers(patient: Patient) -> AsyncGenerator[Finding, None]:
    """Ask each provider in use one tiny question."""
    for provider in patient.providers:
        if isinstance(provider, Finding):
            yield provider
            continue
        part = f"provider {provider.name}"
        try:
            yield ok(part, await provider.ask())
        except XintuError as error:
            yield broken(part, error, mend_provider(error, patient.say))
