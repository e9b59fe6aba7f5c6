"""Which cache a URL names, what of it may be shown, and where its password comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from xintu_cli.errors import ConfigurationError
from xintu_cli.storage.credentials import with_credentials
from xintu_cli.storage.filesystems import mount_type
from xintu_cli.storage.urls import (
    MysqlAddress,
    TlsMode,
    masked,
    mysql_address,
    open_cache,
    sqlite_path,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////srv/x/cache.db", Path("/srv/x/cache.db")),
        ("sqlite:///cache.db", Path.cwd() / "cache.db"),
        ("sqlite:///~/cache.db", Path.home() / "cache.db"),
        ("sqlite:////srv/a%20b.db", Path("/srv/a b.db")),
        ("sqlite:///~nobody-of-that-name/cache.db", Path.cwd() / "~nobody-of-that-name/cache.db"),
    ],
)
def test_sqlite_urls_name_a_file(url: str, expected: Path) -> None:
    assert expected == sqlite_path(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://db/x", MysqlAddress("db", 3306, "x")),
        ("mysql://me@db:3307/x", MysqlAddress("db", 3307, "x", "me")),
        ("mysql://me:@db/x", MysqlAddress("db", 3306, "x", "me", "")),
        ("mysql://me:p%40s%2Fs@db/x", MysqlAddress("db", 3306, "x", "me", "p@s/s")),
        ("mysql://me@[::1]:3307/x", MysqlAddress("::1", 3307, "x", "me")),
        ("mariadb://db/x", MysqlAddress("db", 3306, "x")),
        (
            "mysql://me@/x?unix-socket=/run/db.sock",
            MysqlAddress("localhost", 3306, "x", "me", unix_socket="/run/db.sock"),
        ),
        ("mysql://db/x?ssl-mode=required", MysqlAddress("db", 3306, "x", tls=TlsMode.REQUIRED)),
        (
            "mysql://db/x?ssl_ca=/ca.pem&ssl_cert=/me.pem&ssl_key=/me.key",
            MysqlAddress(
                *("db", 3306, "x"),
                tls=TlsMode.VERIFY_IDENTITY,
                ca="/ca.pem",
                certificate="/me.pem",
                key="/me.key",
            ),
        ),
    ],
)
def test_mysql_urls_name_a_server(url: str, expected: MysqlAddress) -> None:
    assert expected == mysql_address(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("cache.db", "no URL of a cache"),
        ("postgres://me:hunter2@db/x", "no URL of a cache"),
        ("mysql:/db/x", "no URL of a cache"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "would end with the program"),
        ("mysql://me:hunter2@db", "must name a host and a database"),
        ("mysql://me:hunter2@db/x/y", "must name a host and a database"),
        ("mysql:///x", "must name a host and a database"),
        ("mysql://me:hun#hunter2@db/x", "must name a host and a database"),
        ("mysql://me:hunter2@db:port/x", "percent-encoded"),
        ("mysql://me:hunter2@db/x?ssl-mode=maybe", "Use one of DISABLED"),
        ("mysql://me:hunter2@db/x?timeout=5", "unknown option 'timeout'"),
    ],
)
@pytest.mark.anyio
async def test_a_wrong_url_is_told_without_its_password(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        async with open_cache(url):
            pass
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://me:hunter2@db:3307/x", "mysql://me:***@db:3307/x"),
        ("mysql://me:hun@ter2@db/x", "mysql://me:***@db/x"),
        ("mysql://me@db/x", "mysql://me@db/x"),
        ("sqlite:////srv/cache.db", "sqlite:////srv/cache.db"),
        ("sqlite:////srv/a:b@c/cache.db", "sqlite:////srv/a:b@c/cache.db"),
        ("mysql//me:hunter2@db/x", "mysql//me:***@db/x"),
        ("mysql:/me:hunter2@db/x", "mysql:/me:***@db/x"),
        ("me:hunter2@db/x", "me:***@db/x"),
        ("//me:hunter2@db/x", "//me:***@db/x"),
    ],
)
def test_a_shown_url_has_no_password(url: str, expected: str) -> None:
    assert expected == masked(url)


def test_an_address_is_shown_without_its_password() -> None:
    address = mysql_address(f"mysql://me:{SECRET}@[::1]:3307/x")
    assert address.url == "mysql://me@[::1]:3307/x"
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    ("url", "environ", "options", "expected"),
    [
        ("mysql://me:url@db/x", {"XINTU_CACHE_PASSWORD": "env"}, "", ("me", "url")),
        ("mysql://me@db/x", {"XINTU_CACHE_PASSWORD": "env"}, "password=file", ("me", "env")),
        ("mysql://me@db/x", {}, "user = you\npassword = 'file #1'", ("me", "file #1")),
        ("mysql://db/x", {}, 'user = "you"\npassword = file', ("you", "file")),
        ("mysql://me@db/x", {}, "!include /etc/x\nskip-auto-rehash\npassword=file", ("me", "file")),
        ("mysql://me:@db/x", {"XINTU_CACHE_PASSWORD": "env"}, "", ("me", "")),
        ("mysql://me@db/x", {"XINTU_CACHE_PASSWORD": ""}, "password=file", ("me", "file")),
        ("mysql://me@db/x", {}, "password=file # mine", ("me", "file")),
        ("mysql://me@db/x", {}, 'password = "fi#le"  # mine', ("me", "fi#le")),
        ("mysql://me@db/x", {}, r'password="a\\b\"c\sd\e"', ("me", r'a\b"c d\e')),
        ("mysql://me@db/x", {}, "password='", ("me", "'")),
    ],
)
def test_a_password_comes_from_the_nearest_place(
    tmp_path: Path, url: str, environ: dict[str, str], options: str, expected: tuple[str, str]
) -> None:
    option_file = tmp_path / "my.cnf"
    # Some editors begin a file with a mark.
    option_file.write_text(f"[client]\n{options}\n", encoding="utf-8-sig")
    found = with_credentials(mysql_address(url), environ, option_file)
    assert expected == (found.user, found.password)


def test_the_programs_own_group_wins_over_the_common_one(tmp_path: Path) -> None:
    option_file = tmp_path / "my.cnf"
    option_file.write_text("[xintu]\npassword=ours\n[client]\npassword=common\n", encoding="utf-8")
    assert with_credentials(mysql_address("mysql://me@db/x"), {}, option_file).password == "ours"


class Memory(KeyringBackend):
    """A keyring that knows one password."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return "ring" if (service, username) == ("xintu", "me@db:3306") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("backend", "expected"), [(Memory, "ring"), (fail.Keyring, "")], ids=["some", "none"]
)
def test_the_keyring_is_asked_last(
    tmp_path: Path, backend: Callable[[], KeyringBackend], expected: str
) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(backend())
    try:
        found = with_credentials(mysql_address("mysql://me@db/x"), {}, tmp_path / "none")
    finally:
        keyring.set_keyring(before)
    assert expected == found.password


class Broken(Memory):
    """A keyring whose backend raises what its libraries raise, with anything in it."""

    def get_password(self, service: str, username: str) -> str | None:
        raise ConnectionResetError(f"no bus for {service} {username} hunter2")


def test_a_keyring_that_fails_is_an_error_in_words_without_its_own(tmp_path: Path) -> None:
    backend: Callable[[], KeyringBackend] = Broken
    before = keyring.get_keyring()
    keyring.set_keyring(backend())
    try:
        with pytest.raises(ConfigurationError, match=r"\(ConnectionResetError\)") as caught:
            with_credentials(mysql_address("mysql://me@db/x"), {}, tmp_path / "none")
    finally:
        keyring.set_keyring(before)
    assert "me@db:3306" in str(caught.value)
    assert "XINTU_CACHE_PASSWORD" in str(caught.value)
    assert "hunter2" not in str(caught.value)


MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
36 22 0:30 / /mnt/nas rw - nfs4 nas:/export rw
37 22 0:31 / /mnt/my\\040share rw - cifs //win/x rw
38 36 0:32 / /mnt/nas/local rw - xfs /dev/sdb1 rw
39 22 0:33 / /mnt/over rw - ext4 /dev/sdc1 rw
40 22 0:34 / /mnt/over rw - fuse.sshfs me@there:/ rw
broken line
"""


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/home/me", "ext4"),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/photos", "nfs4"),
        ("/mnt/nasty", "ext4"),
        ("/mnt/nas/local/x", "xfs"),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/over/x", "fuse.sshfs"),
        ("relative", ""),
    ],
)
def test_the_nearest_mount_tells_the_file_system(directory: str, expected: str) -> None:
    assert expected == mount_type(MOUNTS, directory)
