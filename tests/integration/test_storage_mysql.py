"""The cache on a real MariaDB: killed, deadlocked, refusing, hanging, in the wrong letters."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import count
from typing import TypeVar
from urllib.parse import quote

import anyio
import pymysql
import pytest
from anyio import to_thread

from tests.support.databases import MariaDb, port_of
from tests.support.next_schema import NEXT_STEPS
from tests.support.settlements import RUN, TASK, llm, photo, settlement
from xintu_cli.errors import (
    CacheUnreachableError,
    ConfigurationError,
    CredentialsError,
    SchemaError,
)
from xintu_cli.records import Classification, Settlement
from xintu_cli.storage.cache import SqlCache
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.mysql import MysqlConnector
from xintu_cli.storage.mysql_errors import mysql_errors
from xintu_cli.storage.mysql_schema import take_missing_steps
from xintu_cli.storage.schema import STEPS, TABLES
from xintu_cli.storage.script import Script, Verb
from xintu_cli.storage.statistics import read_statistics
from xintu_cli.storage.urls import (
    MysqlAddress,
    migrate_cache,
    mysql_address,
    open_cache,
    open_lease_keeper,
)

pytestmark = pytest.mark.anyio

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""Of a cache that is to give up, and later to be used: a busy machine must get that far in it."""


def answers(*numbers: int) -> Settlement:
    return settlement(*((photo(number), llm()) for number in numbers))


@pytest.fixture
def other(mariadb: MariaDb, mysql_name: str) -> Iterator[pymysql.Connection]:
    """Return another program's connection to that database, in a transaction."""
    with closing(
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database=mysql_name)
    ) as connection:
        yield connection


@pytest.fixture
def user(mariadb: MariaDb, mysql_name: str) -> Iterator[Callable[[str], str]]:
    """Return a maker of users with certain rights on the database; it returns their URL."""
    made = "someone"

    def make(rights: str, limits: str = "") -> str:
        mariadb.execute(f"CREATE USER {made}@'127.0.0.1' IDENTIFIED BY 'hunter2' {limits}")
        mariadb.execute(f"GRANT {rights} ON {mysql_name}.* TO {made}@'127.0.0.1'")
        return mariadb.url(mysql_name, user=made, password="hunter2")

    yield make
    mariadb.execute(f"DROP USER IF EXISTS {made}@'127.0.0.1'")


@asynccontextmanager
async def impatient(url: str, query_seconds: float) -> AsyncIterator[SqlCache]:
    """Open a cache whose calls end after so many seconds."""
    connector = MysqlConnector(mysql_address(url), query_seconds=query_seconds)
    try:
        yield SqlCache(connector, "")
    finally:
        await connector.close()


# ---- the server goes away --------------------------------------------------------------------


@pytest.mark.row("D5")
async def test_a_connection_that_was_killed_is_replaced(mariadb: MariaDb, mysql_name: str) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))
        mariadb.kill_connections(mysql_name)
        await cache.settle(answers(2))
        mariadb.kill_connections(mysql_name)
        assert len(await cache.look_up(TASK, "xintu", [photo(1), photo(2)])) == 2


async def test_a_lease_keeper_survives_a_killed_connection(
    mariadb: MariaDb, mysql_name: str
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.claim(TASK, [photo(1)], run_id=RUN, host="here", seconds=60)
        with open_lease_keeper(mariadb.url(mysql_name)) as keeper:
            await to_thread.run_sync(keeper.renew, RUN, 60.0)
            mariadb.kill_connections(mysql_name)
            await to_thread.run_sync(keeper.renew, RUN, 60.0)


@pytest.mark.row("D3")
async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    mariadb: MariaDb, mysql_name: str
) -> None:
    url = mariadb.url(mysql_name)
    settler = [sys.executable, "-m", "tests.support.settler", url, "100000"]
    try:
        async with await anyio.open_process(settler) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            told = b""
            while told.count(b"\n") < 40:
                told += await process.stdout.receive()
            mariadb.kill()
            async for more in process.stdout:
                told += more
            complaint = b"".join([chunk async for chunk in process.stderr])
        assert b"CacheUnreachableError" in complaint
    finally:
        mariadb.kill()
        await to_thread.run_sync(mariadb.start)
    stored = told.decode().split()
    async with open_cache(url) as cache:
        assert set(stored) == set(await cache.look_up(TASK, "xintu", stored))
        rows = (await cache.info()).rows
        assert rows["classification"] == rows["request_log"] == rows["settlement"]
        assert len(stored) <= rows["classification"] <= len(stored) + 1


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with closing(socket.socket()) as deaf:  # it is bound, so that nobody else listens there
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with pytest.raises(CacheUnreachableError, match="Connect call failed"):
            async with open_cache(f"mysql://root:@127.0.0.1:{port}/x"):
                pass


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def swallow(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for _ in stream:
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, swallow)
        port = port_of(listener)
        async with impatient(f"mysql://root:@127.0.0.1:{port}/x", 0.2) as cache:
            with pytest.raises(CacheUnreachableError, match="no answer in time"):
                await cache.look_up(TASK, "xintu", [photo(1)])
            with pytest.raises(CacheUnreachableError, match="no answer in time"):
                await cache.settle(answers(1))
        group.cancel_scope.cancel()


# ---- others are in the way -------------------------------------------------------------------


async def wait_until_someone_waits(mariadb: MariaDb) -> None:
    """Return when InnoDB says that one transaction waits for another.

    It renews what it says only after not having been asked for a tenth of a second.
    """
    with anyio.fail_after(20):
        while not await to_thread.run_sync(  # noqa: ASYNC110 - another process's state
            mariadb.execute, "SELECT * FROM information_schema.innodb_lock_waits"
        ):
            await anyio.sleep(0.12)


@pytest.mark.row("D4")
async def test_a_deadlock_is_tried_again(
    mariadb: MariaDb, mysql_name: str, other: pymysql.Connection
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(*range(1, 200)))
        cursor = other.cursor()
        change = "UPDATE classification SET category = 'theirs' WHERE image_hash "
        # Whoever changed more rows survives a deadlock: here, the other one.
        cursor.execute(f"{change} > '{photo(2)}'")
        async with anyio.create_task_group() as group:
            group.start_soon(cache.settle, answers(1, 2, 3))
            await wait_until_someone_waits(mariadb)
            await to_thread.run_sync(cursor.execute, f"{change} = '{photo(1)}'")
            other.commit()
        rows = await cache.look_up(TASK, "xintu", [photo(1), photo(3), photo(4)])
        assert [row.category for (row,) in rows.values()] == ["pets", "pets", "theirs"]


@pytest.mark.row("D4")
async def test_a_lock_that_is_never_given_back_ends_the_call_and_not_the_cache(
    mariadb: MariaDb, mysql_name: str, other: pymysql.Connection
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))
    other.cursor().execute("UPDATE classification SET category = 'theirs'")
    async with impatient(mariadb.url(mysql_name), PATIENCE_SECONDS) as cache:
        with pytest.raises(CacheUnreachableError, match="no answer in time"):
            await cache.settle(answers(1))
        other.rollback()
        await cache.settle(answers(1, 2))
        assert len(await cache.look_up(TASK, "xintu", [photo(1), photo(2)])) == 2


async def test_what_reads_whole_tables_may_take_longer_than_a_runs_calls(
    mariadb: MariaDb, mysql_name: str, other: pymysql.Connection
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1, 2))
    other.cursor().execute("LOCK TABLES classification WRITE")
    found: list[object] = []

    async def count(cache: SqlCache) -> None:
        found.append((await cache.info()).sources)
        found.append(len((await read_statistics(cache, TASK)).categories))

    async with (
        impatient(mariadb.url(mysql_name), PATIENCE_SECONDS) as cache,
        anyio.create_task_group() as group,
    ):
        group.start_soon(count, cache)
        # Both wait for the lock; only this one gives up.
        with pytest.raises(CacheUnreachableError, match="no answer in time"):
            await cache.look_up(TASK, "xintu", [photo(1)])
        other.cursor().execute("UNLOCK TABLES")
    assert found == [{"llm": 2, "manual": 0}, 1]


async def test_many_writers_of_the_same_rows_all_succeed(mariadb: MariaDb, mysql_name: str) -> None:
    async with (
        open_cache(mariadb.url(mysql_name)) as one,
        open_cache(mariadb.url(mysql_name)) as two,
        anyio.create_task_group() as group,
    ):
        for seed in range(24):
            numbers = random.Random(seed).sample(range(200), 100)
            group.start_soon((one, two)[seed % 2].settle, answers(*numbers))
    assert mariadb.execute("SELECT COUNT(*) FROM settlement", database=mysql_name) == ((24,),)


@pytest.mark.row("D5")
async def test_cancelled_calls_leave_every_connection_usable(
    mariadb: MariaDb, mysql_name: str
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:

        async def call(seed: int) -> None:
            patience = random.Random(seed).uniform(0.0, 0.01)
            with anyio.move_on_after(patience):
                if seed % 2:
                    await cache.settle(answers(seed))
                else:
                    await cache.look_up(TASK, "xintu", [photo(number) for number in range(500)])

        async with anyio.create_task_group() as group:
            for seed in range(120):
                group.start_soon(call, seed)
        with anyio.fail_after(20):
            await cache.settle(answers(1000))
            assert len(await cache.look_up(TASK, "xintu", [photo(1000)])) == 1


async def test_a_write_that_was_begun_is_finished_although_it_is_cancelled(
    mariadb: MariaDb, mysql_name: str, other: pymysql.Connection
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))
        other.cursor().execute("UPDATE classification SET category = 'theirs'")
        async with anyio.create_task_group() as group:
            group.start_soon(cache.settle, answers(1))
            await wait_until_someone_waits(mariadb)
            group.cancel_scope.cancel()
            other.rollback()
        assert mariadb.execute("SELECT COUNT(*) FROM settlement", database=mysql_name) == ((2,),)


# ---- rights and wrongs -----------------------------------------------------------------------


async def test_four_rights_suffice(
    mariadb: MariaDb, mysql_name: str, user: Callable[..., str]
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    async with open_cache(user("SELECT, INSERT, UPDATE, DELETE")) as cache:
        await cache.settle(answers(1))
        assert await cache.claim(TASK, [photo(2)], run_id=RUN, host="here", seconds=60)
        await cache.note_lease(60)
        # It asks the server since when it is up.
        mariadb.execute("UPDATE claim SET expires_at = '2020-01-01'", database=mysql_name)
        assert await cache.left_to(TASK, [photo(2)]) == {}
        assert await cache.claim(TASK, [photo(2)], run_id="b" * 32, host="here", seconds=60)
        assert await cache.bury("b" * 32) == 1
        assert (await cache.info()).rows["classification"] == 1


@pytest.mark.row("D16")
async def test_whoever_may_not_create_is_told_what_to_do(user: Callable[..., str]) -> None:
    with pytest.raises(CredentialsError, match="cache migrate"):
        async with open_cache(user("SELECT, INSERT, UPDATE, DELETE")):
            pass


@pytest.mark.row("D16")
async def test_a_user_who_may_only_read_is_told_the_missing_right(
    mariadb: MariaDb, mysql_name: str, user: Callable[..., str]
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    async with open_cache(user("SELECT")) as cache:
        with pytest.raises(CredentialsError, match="command denied to user"):
            await cache.settle(answers(1))


@pytest.mark.row("D16")
async def test_a_wrong_password_is_refused_and_not_shown(user: Callable[..., str]) -> None:
    url = user("SELECT").replace("hunter2", "hunter3")
    with pytest.raises(CredentialsError, match="Access denied") as caught:
        async with open_cache(url):
            pass
    shown = []
    error: BaseException | None = caught.value
    while error is not None:
        shown.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    assert "hunter" not in "".join(shown)


@pytest.mark.parametrize("password", ["geheimnüs", "密码 🐈"])
async def test_a_password_may_have_any_letters(
    mariadb: MariaDb, user: Callable[..., str], password: str
) -> None:
    url = user("ALL").replace("hunter2", quote(password))
    mariadb.execute("SET PASSWORD FOR someone@'127.0.0.1' = PASSWORD(%s)", (password,))
    async with open_cache(url) as cache:
        await cache.settle(answers(1))


async def test_a_database_that_does_not_exist_is_told(mariadb: MariaDb) -> None:
    with pytest.raises(ConfigurationError, match="CREATE DATABASE"):
        async with open_cache(mariadb.url("nowhere")):
            pass


@pytest.mark.row("D4")
async def test_a_server_without_a_free_connection_is_tried_later(
    mariadb: MariaDb, mysql_name: str, user: Callable[..., str]
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    url = user("SELECT, INSERT, UPDATE, DELETE", "WITH MAX_USER_CONNECTIONS 1")
    async with open_cache(url) as cache:
        await cache.info()
        with pytest.raises(CacheUnreachableError, match="max_user_connections"):
            async with open_cache(url):
                pass


@pytest.mark.row("D4")
async def test_a_server_full_of_connections_is_tried_later(
    mariadb: MariaDb, mysql_name: str, user: Callable[..., str]
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    url = user("SELECT, INSERT, UPDATE, DELETE")
    ((usually,),) = mariadb.execute("SELECT @@max_connections")
    mariadb.execute("SET GLOBAL max_connections = 10")
    try:
        async with AsyncExitStack() as stack:

            async def crowd() -> None:
                for _ in range(12):
                    await stack.enter_async_context(open_cache(url))

            with pytest.raises(CacheUnreachableError, match="Too many connections"):
                await crowd()
    finally:
        mariadb.execute(f"SET GLOBAL max_connections = {usually}")


@pytest.mark.row("D4")
async def test_a_lock_that_the_server_waits_for_in_vain_is_tried_again_and_then_told(
    mariadb: MariaDb, mysql_name: str, other: pymysql.Connection
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))
    ((usually,),) = mariadb.execute("SELECT @@innodb_lock_wait_timeout")
    mariadb.execute("SET GLOBAL innodb_lock_wait_timeout = 1")
    try:
        other.cursor().execute("UPDATE classification SET category = 'theirs'")
        async with open_cache(mariadb.url(mysql_name)) as cache:
            with pytest.raises(CacheUnreachableError, match="Lock wait timeout"):
                await cache.settle(answers(1))
            async with anyio.create_task_group() as group:
                group.start_soon(cache.settle, answers(1))
                await wait_until_someone_waits(mariadb)
                other.rollback()
            assert len(await cache.look_up(TASK, "xintu", [photo(1)])) == 1
    finally:
        mariadb.execute(f"SET GLOBAL innodb_lock_wait_timeout = {usually}")


@pytest.mark.row("D4")
async def test_a_read_only_server_is_told(
    mariadb: MariaDb, mysql_name: str, user: Callable[..., str]
) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    async with open_cache(user("SELECT, INSERT, UPDATE, DELETE")) as cache:
        mariadb.execute("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(CacheUnreachableError, match="read-only"):
                await cache.settle(answers(1))
        finally:
            mariadb.execute("SET GLOBAL read_only = 0")


async def test_a_server_whose_binary_log_is_of_statements_is_told_what_to_set() -> None:
    told = pytest.raises(ConfigurationError, match="ROW or MIXED")
    with told, mysql_errors("mysql://db/x", doing="write to"):
        raise pymysql.err.InternalError(1665, "Cannot execute statement")


# ---- schema and letters ----------------------------------------------------------------------


@pytest.mark.row("D14")
async def test_text_is_kept_on_a_server_that_would_make_it_latin1(
    mariadb: MariaDb, mysql_name: str
) -> None:
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))
        (answer,) = (await cache.details(TASK, "xintu", [photo(1)]))[photo(1)]
        assert answer.description == "a pets 🐈"
        await cache.set_labels("été", [(photo(1), "a")], who="me")
        await cache.set_labels("ETE", [(photo(1), "b")], who="me")
        assert (await cache.info()).rows["manual_label"] == 2


@pytest.mark.row("D14")
async def test_converted_tables_are_refused(mariadb: MariaDb, mysql_name: str) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    mariadb.execute(
        "ALTER TABLE manual_label CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        database=mysql_name,
    )
    with pytest.raises(SchemaError, match=r"manual_label\.category is utf8mb4_general_ci"):
        async with open_cache(mariadb.url(mysql_name)):
            pass


async def test_migrating_tells_of_converted_tables_too(mariadb: MariaDb, mysql_name: str) -> None:
    await migrate_cache(mariadb.url(mysql_name))
    mariadb.execute(
        "ALTER TABLE classification MODIFY image_hash CHAR(32) CHARACTER SET latin1 NOT NULL",
        database=mysql_name,
    )
    with pytest.raises(SchemaError, match=r"classification\.image_hash is latin1_swedish_ci"):
        await migrate_cache(mariadb.url(mysql_name))


async def test_a_database_of_another_program_gets_no_tables(
    mariadb: MariaDb, mysql_name: str
) -> None:
    mariadb.execute("CREATE TABLE run (a INT)", database=mysql_name)
    mariadb.execute("CREATE TABLE theirs (a INT)", database=mysql_name)
    for open_or_migrate in (open_and_close, migrate_cache):
        with pytest.raises(SchemaError, match=r"tables of another program \(run\)"):
            await open_or_migrate(mariadb.url(mysql_name))
    assert len(mariadb.execute("SHOW TABLES", database=mysql_name)) == 2


async def open_and_close(url: str) -> None:
    async with open_cache(url):
        pass


@pytest.mark.row("D11")
async def test_an_older_schema_waits_for_a_decision(mariadb: MariaDb, mysql_name: str) -> None:
    connector = MysqlConnector(mysql_address(mariadb.url(mysql_name)))
    try:
        await take_missing_steps(connector)
        mariadb.execute("UPDATE meta SET value = '0' WHERE name = 'schema'", database=mysql_name)
        with pytest.raises(SchemaError, match="Dump the database, then run: xintu cache migrate"):
            async with open_cache(mariadb.url(mysql_name)):
                pass
        assert await take_missing_steps(connector) == len(STEPS), "steps can be repeated"
        assert await take_missing_steps(connector, NEXT_STEPS) == 1
    finally:
        await connector.close()
    async with open_cache(mariadb.url(mysql_name)) as cache:
        await cache.settle(answers(1))


class PowerCutError(Exception):
    """Ends a migration."""


class ShortLivedConnector(MysqlConnector):
    """A connector whose transactions end, with their connection, after so many statements."""

    def __init__(self, address: MysqlAddress, statements: int) -> None:
        super().__init__(address)
        self._statements = statements

    async def write(self, verb: Verb[T], *, doing: str) -> T:
        def cut_short(dialect: Dialect) -> Script[T]:
            script = verb(dialect)
            statement = next(script)
            for _ in range(self._statements):
                reply = yield statement
                try:
                    statement = script.send(reply)
                except StopIteration as end:
                    result: T = end.value
                    return result
            raise PowerCutError

        return await super().write(cut_short, doing=doing)


async def was_cut_short(url: str, statements: int) -> bool:
    """Migrate, with a power cut after so many statements; False where there are no more."""
    connector = ShortLivedConnector(mysql_address(url), statements)
    try:
        await take_missing_steps(connector, NEXT_STEPS)
    except PowerCutError:
        return True
    finally:
        await connector.close()
    return False


@pytest.mark.row("D11")
async def test_a_migration_may_end_after_any_statement(mariadb: MariaDb) -> None:
    for statements in count():
        name = mariadb.create_database()
        try:
            if not await was_cut_short(mariadb.url(name), statements):
                assert statements > len(TABLES)
                break
            # The next one has all the time it needs.
            assert not await was_cut_short(mariadb.url(name), 100)
            meta = dict(mariadb.execute("SELECT name, value FROM meta", database=name))
            assert meta["schema"] == str(NEXT_STEPS[-1].number), statements
            assert len(mariadb.execute("SHOW TABLES", database=name)) == len(TABLES) + 1
        finally:
            mariadb.execute(f"DROP DATABASE {name}")


@pytest.mark.row("D10")
async def test_a_newer_schema_is_refused(mariadb: MariaDb, mysql_name: str) -> None:
    async with open_cache(mariadb.url(mysql_name)):
        pass
    mariadb.execute("UPDATE meta SET value = '99' WHERE name <> 'cache_id'", database=mysql_name)
    with pytest.raises(SchemaError, match="newer xintu"):
        async with open_cache(mariadb.url(mysql_name)):
            pass


@pytest.mark.row("D15")
async def test_big_batches_fit_small_packets(mariadb: MariaDb, mysql_name: str) -> None:
    long = llm(classification=Classification("pets", 0.9, "猫" * 5_000))
    many = settlement(*((photo(number), long) for number in range(1_000)))
    mariadb.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        async with open_cache(mariadb.url(mysql_name)) as cache:
            await cache.settle(many)
            hashes = [photo(number) for number in range(1_000)]
            assert len(await cache.details(TASK, "xintu", hashes)) == 1_000
    finally:
        mariadb.execute("SET GLOBAL max_allowed_packet = 16777216")
