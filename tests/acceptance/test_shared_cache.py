"""A shared cache through the command: what is shown, what is stored, which rights suffice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.databases import CacheDatabase, MariaDb
from tests.support.fleet import KEY, count, everything, machine
from tests.support.invariants import check_litter, check_streams
from tests.support.photos import make_jpeg, make_tree
from tests.support.vendor_process import VendorProcess
from xintu_cli.storage.schema import TABLES

PHOTOS = 6
PASSWORD = "canary/pass@word"
RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_tree(folder, PHOTOS)
    return folder


@pytest.fixture
def guest(mariadb: MariaDb, mysql_database: CacheDatabase) -> Iterator[str]:
    """Return the URL of the database for a user with the four rights and a password."""
    name = mysql_database.url.rpartition("/")[2]
    mariadb.execute(f"CREATE USER guest@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
    mariadb.execute(f"GRANT {RIGHTS} ON {name}.* TO guest@'127.0.0.1'")
    yield f"mysql://guest:{quote(PASSWORD, safe='')}@127.0.0.1:{mariadb.port}/{name}"
    mariadb.execute("DROP USER guest@'127.0.0.1'")


@pytest.mark.row("D16")
def test_four_rights_do_for_everything_but_making_the_tables(
    tmp_path: Path, photos: Path, mysql_database: CacheDatabase, guest: str
) -> None:
    """And a password in the URL, where it does not belong, is never shown."""
    with VendorProcess() as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor, cache=guest)
        refused = home.run("classify", photos)
        assert refused.exit_code == 77, refused
        assert "has no tables yet" in refused.stderr
        assert "xintu cache migrate" in refused.stderr
        refused = home.run("cache", "migrate")
        assert refused.exit_code == 77, refused
        assert "CREATE, ALTER and INDEX" in refused.stderr
        assert vendor.received() == []
        made = home.run("cache", "migrate", "--cache", mysql_database.url)
        assert made.exit_code == 0, made
        elsewhere = f"sqlite:///{tmp_path / 'copy.db'}"
        for arguments in (
            ("classify", photos),
            ("classify", photos, "--refresh", "all"),
            ("export", photos, "-o", tmp_path / "labels.csv"),
            ("label", photos, "--as", "foods"),
            ("label", photos, "--clear"),
            ("stats",),
            ("stats", "--json"),
            ("report", photos, "-o", tmp_path / "page.html"),
            ("config", "show"),
            ("cache", "info"),
            ("cache", "check", photos),
            ("cache", "prune", "--log-days", "0"),
            ("cache", "migrate"),
            ("cache", "copy", guest, elsewhere),
            ("cache", "copy", elsewhere, guest),
            ("doctor",),
        ):
            finished = home.run(*arguments)
            assert finished.exit_code == 0, finished
            check_streams(finished, [KEY, PASSWORD, quote(PASSWORD, safe="")])
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert PASSWORD not in page
        assert quote(PASSWORD, safe="") not in page
        check_litter(home)


def test_whoever_may_only_read_can_look_and_plan(
    tmp_path: Path, photos: Path, mariadb: MariaDb, mysql_database: CacheDatabase, guest: str
) -> None:
    name = mysql_database.url.rpartition("/")[2]
    with VendorProcess() as vendor:
        machine(tmp_path / "a", mysql_database, vendor).summary(photos)
        (photos / "new.jpg").write_bytes(make_jpeg(77))
        mariadb.execute(f"REVOKE INSERT, UPDATE, DELETE ON {name}.* FROM guest@'127.0.0.1'")
        reader = machine(tmp_path / "b", mysql_database, vendor, cache=guest)
        finished, summary = reader.summary(photos, "--dry-run")
        assert finished.exit_code == 0, finished
        assert (summary["cached"], summary["pending"]) == (PHOTOS, 1)
        for arguments in (
            ("cache", "check", photos),
            ("cache", "info"),
            ("export", photos, "-o", tmp_path / "labels.csv"),
            ("report", photos, "-o", tmp_path / "page.html"),
            ("stats",),
        ):
            finished = reader.run(*arguments)
            assert finished.exit_code == 0, finished
        refused = reader.run("classify", photos)
        assert refused.exit_code == 77, refused
        assert vendor.summary()["requests"] == PHOTOS


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readmes_sql_makes_a_cache_that_machines_can_join(
    tmp_path: Path, photos: Path, mariadb: MariaDb, mysql_database: CacheDatabase, readme: str
) -> None:
    name = mysql_database.url.rpartition("/")[2]
    text = (Path(__file__).parents[2] / readme).read_text(encoding="utf-8")
    lines = text.partition("```sql\n")[2].partition("```")[0].splitlines()
    mariadb.execute(f"DROP DATABASE {name}")
    try:
        for line in lines:
            mariadb.execute(line.replace("xintu.*", f"{name}.*").replace("E xintu ", f"E {name} "))
        with VendorProcess() as vendor:
            home = machine(tmp_path / "a", mysql_database, vendor)
            url = mysql_database.url.replace("root:@", "{}@")
            admin = {"XINTU_CACHE": url.format("xintu_admin"), "XINTU_CACHE_PASSWORD": "a password"}
            guest = {"XINTU_CACHE": url.format("xintu"), "XINTU_CACHE_PASSWORD": "another"}
            refused = home.run("classify", photos, env=guest)
            assert refused.exit_code == 77, refused
            made = home.run("cache", "migrate", env=admin)
            assert made.exit_code == 0, made
            joined = home.run("classify", photos, env=guest)
            assert joined.exit_code == 0, joined
    finally:
        mariadb.execute("DROP USER IF EXISTS 'xintu_admin'@'%', 'xintu'@'%'")


@pytest.mark.parametrize("shares", ["true", "false"])
def test_no_table_holds_a_path_a_user_a_picture_or_a_description_kept_at_home(
    tmp_path: Path, database: CacheDatabase, shares: str
) -> None:
    folder = tmp_path / "canary-folder"
    folder.mkdir()
    (folder / "canary-name.jpg").write_bytes(make_jpeg(1))
    description = {"category": "pets", "confidence": 0.9, "description": "canary-description"}
    with VendorProcess({"answer": description}) as vendor:
        home = machine(
            tmp_path / "a", database, vendor, share_descriptions=shares, provider="openai"
        )
        user = {"USER": "canary-user", "LOGNAME": "canary-user"}
        for arguments in (
            ("classify", folder),
            ("classify", folder, "--refresh", "all"),
            ("export", folder, "-o", tmp_path / "labels.csv"),
            ("label", folder, "--as", "foods"),
        ):
            finished = home.run(*arguments, env=user)
            assert finished.exit_code == 0, finished
    exported = (tmp_path / "labels.csv").read_text(encoding="utf-8")
    assert "canary-description" in exported, "this machine knows it either way"
    stored = everything(database, TABLES)
    assert ("canary-description" in stored) == (shares == "true")
    for canary in ("canary-folder", "canary-name", "canary-user", KEY, str(tmp_path)):
        assert canary not in stored
    assert "JFIF" not in stored
    assert "/9j/" not in stored, "a JPEG in base64"


@pytest.mark.row("D13")
@pytest.mark.parametrize(
    "change",
    [
        "confidence = 'abc'",
        "category = X'fffe'",
        "created_at = 'yesterday'",
        "tokens_in = 1099511627776",
        "cost = 9e999",
        "description = hex(zeroblob(40000))",
        "source = 'administrators_own_word'",
        "image_hash = X'00'",
    ],
)
def test_rows_that_a_server_would_refuse_do_not_stop_a_copy(
    tmp_path: Path, photos: Path, mysql_database: CacheDatabase, change: str
) -> None:
    with VendorProcess() as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor, cache="")
        home.summary(photos)
        cache = home.state / "cache.db"
        with closing(sqlite3.connect(cache)) as connection, connection:
            connection.execute(f"UPDATE classification SET {change} WHERE rowid = 1")
        copied = home.run("cache", "copy", f"sqlite:///{cache}", mysql_database.url)
        assert copied.exit_code == 0, copied
        assert f"{PHOTOS - 1} rows copied" in copied.stderr
        assert "1 row left out" in copied.stderr
    assert count(mysql_database, "classification") == PHOTOS - 1


@pytest.mark.row("D13")
def test_stats_leave_out_what_xintu_never_wrote(
    tmp_path: Path, photos: Path, database: CacheDatabase
) -> None:
    with VendorProcess() as vendor:
        home = machine(tmp_path / "a", database, vendor)
        home.summary(photos)
        for number, change in enumerate(
            ("source = 'admin'", "confidence = 7.5", "hit_count = 3, currency = '\x1b[3'")
        ):
            (image,) = database.fetch(
                f"SELECT image_hash FROM classification ORDER BY 1 LIMIT 1 OFFSET {number}"
            )[0]
            database.fetch(f"UPDATE classification SET {change} WHERE image_hash = '{image}'")
        database.fetch(
            "INSERT INTO daily (day, provider, model, source)"
            " VALUES ('2026-01-01', '\x1b[31m', '[red]', 'llm')"
        )
        database.fetch(
            "INSERT INTO run (run_id, host, version, policy, started_at, status)"
            " VALUES ('1', '\x1b[31m', '1', '\x1b[31m', '2026-01-01 00:00:00.000', '\x1b[31m')"
        )
        if database.kind == "sqlite":
            # SQLite stores any type in any column.
            database.fetch(
                "INSERT INTO run (run_id, host, version, policy, started_at, found, cost)"
                " VALUES ('2', X'ff', 1, '', 'yesterday', 'many', 'free')"
            )
            database.fetch(
                "INSERT INTO daily (day, provider, model, source, attempts)"
                " VALUES ('yesterday', X'ff', 2, 'llm', 'many')"
            )
            database.fetch("UPDATE classification SET hit_count = 'lots' WHERE hit_count = 0")
            database.fetch("UPDATE request_log SET latency_ms = 'slow', outcome = X'ff'")
        for arguments in (("stats",), ("stats", "--days", "3"), ("stats", "--json")):
            finished = home.run(*arguments)
            assert finished.exit_code == 0, finished
            check_streams(finished)


def test_a_laptops_descriptions_stay_on_it_when_its_cache_is_copied_to_a_server(
    tmp_path: Path, photos: Path, mysql_database: CacheDatabase
) -> None:
    description = {"category": "pets", "confidence": 0.9, "description": "canary-description"}
    at_home = f"sqlite:///{tmp_path / 'laptop.db'}"
    with VendorProcess({"answer": description}) as vendor:
        home = machine(tmp_path / "a", mysql_database, vendor, share_descriptions="false")
        before = {"XINTU_CACHE": at_home, "XINTU_SHARE_DESCRIPTIONS": "true"}
        assert home.run("classify", photos, env=before).exit_code == 0
        copied = home.run("cache", "copy", at_home, mysql_database.url)
        assert copied.exit_code == 0, copied
        assert "canary" not in everything(mysql_database, TABLES)
        exported = home.run("export", photos, "-o", "-", "--format", "csv")
        assert exported.stdout.count("canary-description") == PHOTOS
        shared = home.run(
            "cache", "copy", at_home, mysql_database.url, env={"XINTU_SHARE_DESCRIPTIONS": "true"}
        )
        assert shared.exit_code == 0, shared


OTHER_LIST = """
name = "other"
fallback = "rest"
[[category]]
key = "cats"
en = "Cats"
zh = "猫"
[[category]]
key = "rest"
en = "Rest"
zh = "其它"
"""


@pytest.mark.row("F6")
def test_machines_with_other_categories_do_not_get_in_each_others_way(
    tmp_path: Path, photos: Path, database: CacheDatabase
) -> None:
    (tmp_path / "other.toml").write_text(OTHER_LIST, encoding="utf-8")
    with VendorProcess() as vendor:
        ours = machine(tmp_path / "a", database, vendor)
        theirs = machine(tmp_path / "b", database, vendor, taxonomy=str(tmp_path / "other.toml"))
        _, first = ours.summary(photos)
        vendor.play({"answer": {"category": "cats", "confidence": 0.9, "description": ""}})
        _, second = theirs.summary(photos)
        assert (first["categories"], second["categories"]) == ({"pets": PHOTOS}, {"cats": PHOTOS})
        assert vendor.summary()["requests"] == 2 * PHOTOS
        for home, key in ((ours, "pets"), (theirs, "cats")):
            _, again = home.summary(photos)
            assert (again["cached"], again["categories"]) == (PHOTOS, {key: PHOTOS})
        assert vendor.summary()["requests"] == 2 * PHOTOS


@pytest.mark.row("F7")
def test_a_machine_without_an_llm_neither_hides_nor_replaces_what_another_paid_for(
    tmp_path: Path, photos: Path, database: CacheDatabase
) -> None:
    with VendorProcess() as vendor:
        poor = machine(tmp_path / "a", database, vendor, policy="local")
        rich = machine(tmp_path / "b", database, vendor)
        _, first = poor.summary(photos)
        assert first["local"] == PHOTOS
        _, second = rich.summary(photos)
        assert second["llm"] == PHOTOS
        _, third = poor.summary(photos)
        assert (third["cached"], third["categories"]) == (PHOTOS, {"pets": PHOTOS})
        _, fourth = rich.summary(photos)
        assert (fourth["cached"], fourth["calls"]) == (PHOTOS, 0)


@pytest.mark.row("F9")
def test_an_export_during_a_run_is_never_partial(
    tmp_path: Path, photos: Path, database: CacheDatabase
) -> None:
    with VendorProcess({"together": PHOTOS}) as vendor:  # it holds its replies back
        home = machine(tmp_path / "a", database, vendor, concurrency="1")
        seen = []
        with home.start("classify", photos) as running:
            vendor.wait_for(1)
            while running.process.poll() is None:
                finished = home.run("export", photos, "-o", tmp_path / "labels.json")
                assert finished.exit_code == 0, finished
                rows = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
                assert len(rows) == PHOTOS
                seen.append(sum(row["category"] != "" for row in rows))
                vendor.play({"latency_seconds": 0.5})
            running.finish()
    assert seen == sorted(seen)
    assert seen[0] == 0, "nothing was answered yet"


@pytest.mark.row("D13")
def test_rows_that_somebody_else_wrote_are_misses_and_are_replaced(
    tmp_path: Path, photos: Path, database: CacheDatabase
) -> None:
    with VendorProcess() as vendor:
        home = machine(tmp_path / "a", database, vendor)
        home.summary(photos)
        database.fetch("UPDATE classification SET category = 'no such', description = '\x1b[31m'")
        exported = home.run("export", photos, "-o", "-", "--format", "csv")
        check_streams(exported)
        finished, summary = home.summary(photos)
        assert finished.exit_code == 0, finished
        check_streams(finished)
        assert (summary["llm"], summary["categories"]) == (PHOTOS, {"pets": PHOTOS})
    rows = database.fetch("SELECT DISTINCT category FROM classification")
    assert rows == [("pets",)]
