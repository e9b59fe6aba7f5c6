"""A shared cache through the command: what is shown, what is stored, which rights suffice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.databases import CacheDatabase, MariaDb
from tests.support.fleet import KEY, everything, machine
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
