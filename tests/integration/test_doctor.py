"""The doctor over real caches, disks and files, and the ways they break."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import CacheDatabase, MariaDb
from xintu_cli.errors import (
    ModelFileError,
    ProviderStoppedError,
    ProviderUnavailableError,
)
from xintu_cli.imaging.codecs import broken_codecs
from xintu_cli.jobs.doctor import Patient, ProviderCheck, examine
from xintu_cli.jobs.findings import Finding, Verdict, exit_code_of
from xintu_cli.jobs.surroundings import (
    Terminal,
    look_at_clock,
    look_at_disk,
    look_at_outputs,
    look_at_permissions,
)
from xintu_cli.locations import Locations
from xintu_cli.providers.manifest import load_manifest
from xintu_cli.records import Settlement
from xintu_cli.reporting.phrases import speaker
from xintu_cli.resources import data_directory
from xintu_cli.storage.spool import LocalSpool
from xintu_cli.storage.urls import open_cache
from xintu_cli.taxonomy import Category, Taxonomy, load_taxonomy

pytestmark = pytest.mark.anyio

TERMINAL = Terminal(is_terminal=False, encoding="utf-8", columns=80, kind="")
SAY = speaker("en")
MODEL = load_manifest(data_directory("models") / "xintu-lite")


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    found = Locations(tmp_path / "state", tmp_path / "state" / "config.toml")
    found.prepare()
    return found


def patient(locations: Locations, **changes: Any) -> Patient:
    plain: dict[str, Any] = {
        "locations": locations,
        "taxonomy": load_taxonomy("xintu"),
        "cache_url": f"sqlite:///{locations.cache_file}",
        "model": MODEL,
        "terminal": TERMINAL,
    }
    return Patient(**(plain | changes))


async def found_in(looked_at: Patient, part: str = "") -> list[Finding]:
    findings = [finding async for finding in examine(looked_at)]
    return [finding for finding in findings if not part or finding.part == part]


def verdicts(findings: list[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in findings]


async def test_all_is_well_on_every_cache(locations: Locations, database: CacheDatabase) -> None:
    findings = await found_in(patient(locations, cache_url=database.url))
    parts = {finding.part for finding in findings}
    assert parts >= {
        *("cache", "spool", "index", "model"),
        *("clock", "disk", "permissions", "codecs", "terminal"),
    }
    # A machine that tests run on may be short of disk space.
    assert set(verdicts([f for f in findings if f.part != "disk"])) == {Verdict.OK}
    # Looking has left no claim behind.
    assert database.fetch("SELECT COUNT(*) FROM claim") == [(0,)]


async def test_answers_that_wait_for_the_cache_are_told(locations: Locations) -> None:
    looked_at = patient(locations)
    async with open_cache(looked_at.cache_url) as cache:
        spool = LocalSpool(locations.spool_file, cache.cache_id)
        spool.append(Settlement("r", "t", released=("0" * 32,)))
    [finding] = await found_in(looked_at, "spool")
    assert (finding.verdict, finding.said[:9]) == (Verdict.WARNING, "1 batches")


async def test_answers_that_wait_for_another_cache_are_told(locations: Locations) -> None:
    LocalSpool(locations.spool_file, "another").append(Settlement("r", "t", released=("0" * 32,)))
    [finding] = await found_in(patient(locations), "spool")
    assert (finding.verdict, finding.said[:9]) == (Verdict.WARNING, "1 batches")
    assert "--cache URL" in finding.mend


async def test_a_dead_runs_claims_are_told(locations: Locations, database: CacheDatabase) -> None:
    async with open_cache(database.url) as cache:
        await cache.claim("t" * 16, ["1" * 32], run_id="r" * 32, host="h", seconds=60)
    database.fetch("UPDATE claim SET expires_at = '2020-01-01 00:00:00.000'")
    findings = await found_in(patient(locations, cache_url=database.url), "cache")
    [claims] = [finding for finding in findings if finding.verdict is Verdict.WARNING]
    assert "1 photos were claimed by runs that died" in claims.said


async def test_a_damaged_cache_is_broken_and_the_rest_is_looked_at(locations: Locations) -> None:
    locations.cache_file.write_bytes(b"no database at all" * 100)
    findings = await found_in(patient(locations))
    broken = [finding for finding in findings if finding.verdict is Verdict.BROKEN]
    assert [(f.part, int(f.exit_code)) for f in broken] == [("cache", 74)]
    assert int(exit_code_of(findings)) == 74
    assert len(findings) > 5


@pytest.mark.parametrize(
    ("change", "said", "mend"),
    [
        ("schema = 0", "this xintu wants", "xintu cache migrate"),
        ("oldest_reader = 99", "a newer xintu wrote it", ""),
        ("schema = 'none'", "does not say which schema", ""),
    ],
    ids=["older", "newer", "unknown"],
)
async def test_migrating_is_advised_where_it_helps(
    locations: Locations, mysql_database: CacheDatabase, change: str, said: str, mend: str
) -> None:
    async with open_cache(mysql_database.url):
        pass
    name, value = change.split(" = ")
    mysql_database.fetch(f"UPDATE meta SET value = {value} WHERE name = '{name}'")
    [finding] = await found_in(patient(locations, cache_url=mysql_database.url), "cache")
    assert (finding.verdict, finding.mend) == (Verdict.BROKEN, mend)
    assert said in finding.said


@pytest.mark.parametrize(
    ("password", "said", "mend"),
    [
        ("hunter2", "the user lacks a right", ""),
        ("hunter3", "refuses user or password", "export XINTU_CACHE_PASSWORD=…"),
    ],
    ids=["rights", "password"],
)
async def test_a_password_is_asked_for_where_it_was_refused(
    locations: Locations, mariadb: MariaDb, mysql_name: str, password: str, said: str, mend: str
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    mariadb.execute("CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'hunter2'")
    try:
        mariadb.execute(f"GRANT SELECT ON {mysql_name}.* TO reader@'127.0.0.1'")
        url = mariadb.url(mysql_name, user="reader", password=password)
        findings = await found_in(patient(locations, cache_url=url), "cache")
    finally:
        mariadb.execute("DROP USER reader@'127.0.0.1'")
    [broken] = [finding for finding in findings if finding.verdict is Verdict.BROKEN]
    assert (said in broken.said, broken.mend) == (True, mend)


async def test_a_file_of_another_program_is_not_to_be_migrated(locations: Locations) -> None:
    with closing(sqlite3.connect(locations.cache_file)) as connection:
        connection.execute("CREATE TABLE somebody (name TEXT)")
    [finding] = await found_in(patient(locations), "cache")
    assert (finding.verdict, finding.mend) == (Verdict.BROKEN, "")
    assert "not a xintu cache" in finding.said


async def test_a_server_that_is_away_is_broken_and_a_spool_is_remembered(
    locations: Locations,
) -> None:
    locations.spool_file.write_bytes(b"")
    looked_at = patient(locations, cache_url="mysql://nobody:secret@127.0.0.1:1/none")
    findings = await found_in(looked_at)
    [cache] = [finding for finding in findings if finding.part == "cache"]
    assert (cache.verdict, int(cache.exit_code)) == (Verdict.BROKEN, 74)
    assert "secret" not in cache.said
    assert [f.verdict for f in findings if f.part == "spool"] == [Verdict.WARNING]


async def test_a_user_without_rights_is_told(locations: Locations, mariadb: MariaDb) -> None:
    database = mariadb.create_database()
    async with open_cache(mariadb.url(database)):
        pass
    mariadb.execute("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'pw'")
    mariadb.execute(f"GRANT SELECT ON {database}.* TO reader@'127.0.0.1'")
    url = mariadb.url(database, user="reader", password="pw")
    findings = await found_in(patient(locations, cache_url=url), "cache")
    assert verdicts(findings) == [Verdict.OK, Verdict.BROKEN]
    assert int(exit_code_of(findings)) in (74, 77)


async def test_an_index_that_is_no_database_is_broken(locations: Locations) -> None:
    locations.index_file.write_bytes(b"no database at all" * 100)
    [finding] = await found_in(patient(locations), "index")
    assert (finding.verdict, int(finding.exit_code)) == (Verdict.BROKEN, 74)
    assert 'mv "$f"' in finding.mend


async def test_an_index_that_may_not_be_written_is_not_moved_away(locations: Locations) -> None:
    locations.index_file.mkdir()
    [finding] = await found_in(patient(locations), "index")
    assert (finding.verdict, finding.mend) == (Verdict.BROKEN, "")


async def test_a_cache_damaged_in_the_middle_is_broken_with_what_mends_it(
    locations: Locations,
) -> None:
    """A run over it ends 74: what it would read there, or miss, is chance."""
    looked_at = patient(locations)
    async with open_cache(looked_at.cache_url) as cache:
        for number in range(40):
            await cache.claim(
                f"{number:016x}", [f"{number:032x}"], run_id="r" * 32, host="h", seconds=0
            )
    content = bytearray(locations.cache_file.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 1] = b"\xee"
    locations.cache_file.write_bytes(content)
    findings = await found_in(looked_at, "cache")
    [broken] = [finding for finding in findings if finding.verdict is Verdict.BROKEN]
    assert "damaged" in broken.said
    assert "mv " in broken.mend
    assert int(broken.exit_code) == 74


async def test_a_model_whose_file_was_exchanged_is_broken(
    locations: Locations, tmp_path: Path
) -> None:
    for name in ("model.toml", "model.onnx"):
        content = (MODEL.directory / name).read_bytes()
        (tmp_path / name).write_bytes(content if name.endswith("toml") else content[:-1] + b"x")
    [finding] = await found_in(patient(locations, model=load_manifest(tmp_path)), "model")
    assert (finding.verdict, int(finding.exit_code)) == (Verdict.BROKEN, 78)


async def test_a_model_that_is_not_there_is_broken(locations: Locations) -> None:
    missing = ModelFileError("there is no local model 'nono'.")
    [finding] = await found_in(patient(locations, model=missing), "model")
    assert (finding.verdict, finding.said) == (Verdict.BROKEN, str(missing))


async def test_a_taxonomy_that_the_model_cannot_serve_is_a_warning(locations: Locations) -> None:
    taxonomy = Taxonomy(
        "garden",
        tuple(Category(key, key, key, "d") for key in ("pets", "roses", "rest")),
        "rest",
    )
    findings = await found_in(patient(locations, taxonomy=taxonomy), "model")
    assert verdicts(findings) == [Verdict.OK, Verdict.WARNING]
    assert "roses" in findings[1].said


async def test_each_provider_in_use_is_asked_once(locations: Locations) -> None:
    asked = []

    def check(name: str, error: Exception | None = None) -> ProviderCheck:
        async def ask() -> str:
            asked.append(name)
            if error is not None:
                raise error
            return "answered in 80 ms"

        return ProviderCheck(name, ask)

    looked_at = patient(
        locations,
        providers=[
            check("qwen"),
            check("openai", ProviderUnavailableError("openai does not answer")),
            check("claude", ProviderStoppedError("claude refuses the key")),
        ],
    )
    findings = [f for f in await found_in(looked_at) if f.part.startswith("provider")]
    assert [(f.part, f.verdict.value, int(f.exit_code)) for f in findings] == [
        ("provider qwen", "ok", 0),
        ("provider openai", "broken", 69),
        ("provider claude", "broken", 77),
    ]
    assert asked == ["qwen", "openai", "claude"]


# ---- the machine -----------------------------------------------------------------------------


def test_what_others_can_read_is_told_with_the_command_that_closes_it(tmp_path: Path) -> None:
    state, cache, key = tmp_path / "it's", tmp_path / "cache.db", tmp_path / "key"
    state.mkdir(mode=0o755)
    for file, mode in ((cache, 0o644), (key, 0o640)):
        file.write_text("x")
        file.chmod(mode)
    findings = list(look_at_permissions([state, cache, tmp_path / "none"], [key], SAY))
    assert [(f.verdict.value, int(f.exit_code)) for f in findings] == [
        ("warning", 0),
        ("warning", 0),
        ("broken", 78),
    ]
    assert findings[0].mend == f"chmod 700 '{tmp_path}/it'\"'\"'s'"
    for path, mode in ((state, 0o700), (cache, 0o600), (key, 0o400)):
        path.chmod(mode)
    [finding] = look_at_permissions([state, cache], [key], SAY)
    assert finding.verdict is Verdict.OK


def test_a_disk_that_is_nearly_full_is_broken(small_disk: Callable[[str], Path]) -> None:
    [finding] = look_at_disk(small_disk("4m"), SAY)
    assert (finding.verdict, int(finding.exit_code)) == (Verdict.BROKEN, 74)
    [finding] = look_at_disk(small_disk("100m"), SAY)
    assert finding.verdict is Verdict.WARNING


def test_a_state_directory_that_is_not_there_is_broken(tmp_path: Path) -> None:
    [finding] = look_at_disk(tmp_path / "none", SAY)
    assert (finding.verdict, finding.mend.split()[0]) == (Verdict.BROKEN, "export")
    assert list(look_at_clock(tmp_path / "none", SAY)) == []


def test_a_clock_that_cannot_be_right_is_told(tmp_path: Path) -> None:
    [finding] = look_at_clock(tmp_path, SAY)
    assert finding.verdict is Verdict.OK
    # A board without a battery wakes up in 1970.
    [finding] = look_at_clock(tmp_path, SAY, lambda: 86_400.0)
    assert (finding.verdict, "1970-01-02" in finding.said) == (Verdict.WARNING, True)


def test_stamps_of_another_clock_are_told(tmp_path: Path) -> None:
    [finding] = look_at_clock(tmp_path, SAY, lambda: time.time() - 3600)
    assert finding.verdict is Verdict.WARNING
    assert "+3600 s" in finding.said


def test_outputs_that_cannot_be_written_are_broken(tmp_path: Path) -> None:
    findings = list(look_at_outputs([tmp_path / "rows.csv", tmp_path / "no" / "rows.csv"], SAY))
    assert verdicts(findings) == [Verdict.OK, Verdict.BROKEN]
    assert list(tmp_path.iterdir()) == []


def test_the_codecs_of_phones_work_here() -> None:
    assert broken_codecs() == {}
