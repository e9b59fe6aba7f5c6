"""What goes over the wire to MySQL: encrypted where the URL says so, a password never in plain."""

from __future__ import annotations

import struct
from contextlib import suppress

import anyio
import pytest
from anyio import to_thread
from pymysql.constants import CLIENT

from tests.support.databases import MariaDb, port_of
from tests.support.settlements import RUN, TASK, photo
from xintu_cli.errors import ConfigurationError, CredentialsError
from xintu_cli.storage.script import Row, Script, Statement
from xintu_cli.storage.urls import open_cache, open_lease_keeper

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("options", ["ssl-mode=REQUIRED", "ssl-ca={ca}"])
async def test_a_connection_is_encrypted_where_the_url_says_so(
    mariadb: MariaDb, mysql_name: str, options: str
) -> None:
    url = f"{mariadb.url(mysql_name)}?{options.format(ca=mariadb.certificate)}"
    async with open_cache(url) as cache:
        reply = await cache.connector.read(
            lambda _dialect: one_row("SHOW SESSION STATUS LIKE 'Ssl_cipher'"), doing="ask"
        )
        assert reply[1] != ""
        await cache.claim(TASK, [photo(1)], run_id=RUN, host="here", seconds=60)
        with open_lease_keeper(url) as keeper:
            await to_thread.run_sync(keeper.renew, RUN, 60.0)


def one_row(sql: str) -> Script[Row]:
    reply = yield Statement(sql)
    return reply.rows[0]


async def test_a_server_with_another_name_is_refused(mariadb: MariaDb, mysql_name: str) -> None:
    url = mariadb.url(mysql_name).replace("127.0.0.1", "localhost")
    with pytest.raises(ConfigurationError, match="Hostname mismatch"):
        async with open_cache(f"{url}?ssl-ca={mariadb.certificate}"):
            pass
    async with open_cache(f"{url}?ssl-ca={mariadb.certificate}&ssl-mode=VERIFY_CA") as cache:
        await cache.info()


async def test_a_server_of_an_unknown_authority_is_refused(
    mariadb: MariaDb, mysql_name: str
) -> None:
    with pytest.raises(ConfigurationError, match="certificate verify failed"):
        async with open_cache(f"{mariadb.url(mysql_name)}?ssl-mode=VERIFY_CA"):
            pass


async def test_a_missing_authority_is_told(mariadb: MariaDb, mysql_name: str) -> None:
    with pytest.raises(ConfigurationError, match="Check ssl-ca"):
        async with open_cache(f"{mariadb.url(mysql_name)}?ssl-ca=/nowhere.pem"):
            pass


def greeting(plugin: bytes) -> bytes:
    """Return how a server without TLS opens a conversation (protocol version 10)."""
    capabilities = CLIENT.PROTOCOL_41 | CLIENT.SECURE_CONNECTION | CLIENT.PLUGIN_AUTH
    payload = (
        b"\x0a8.0.0\0"
        + struct.pack("<I", 1)
        + b"saltsalt\0"
        + struct.pack("<HBHHB", capabilities & 0xFFFF, 45, 2, capabilities >> 16, 21)
        + bytes(10)
        + b"saltsaltsalt\0"
        + plugin
        + b"\0"
    )
    return packet(payload, 0)


def packet(payload: bytes, number: int) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


@pytest.mark.parametrize(
    ("plugin", "options", "expected"),
    [
        (b"mysql_native_password", "", CredentialsError),
        (b"mysql_clear_password", "", CredentialsError),
        (b"mysql_native_password", "?ssl-mode=REQUIRED", ConfigurationError),
    ],
)
async def test_no_server_can_ask_for_the_password_in_plain_text(
    plugin: bytes, options: str, expected: type[Exception]
) -> None:
    heard = bytearray()

    async def pretend(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(greeting(plugin))
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                heard.extend(await stream.receive())
                await stream.send(packet(b"\xfemysql_clear_password\0", 2))
                heard.extend(await stream.receive())

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, pretend)
        url = f"mysql://me:hunter2@127.0.0.1:{port_of(listener)}/x{options}"
        with pytest.raises(expected):
            async with open_cache(url):
                pass
        group.cancel_scope.cancel()
    assert b"hunter2" not in heard


async def test_the_cache_holds_no_path_and_no_user(mariadb: MariaDb, mysql_name: str) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    columns = mariadb.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s", (mysql_name,)
    )
    assert not {"path", "file", "user", "root", "thumbnail"} & {row[0] for row in columns}
