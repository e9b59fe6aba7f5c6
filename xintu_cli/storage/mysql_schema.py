"""Make, check and upgrade the cache's tables on a server.

MySQL commits every DDL statement by itself. So each can be repeated, and one named lock
keeps two migrations apart; should the lock be lost with its connection, both do the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from xintu_cli.errors import CredentialsError, OldSchemaError, SchemaError
from xintu_cli.storage.dialect import Dialect
from xintu_cli.storage.schema import META_MYSQL, STEPS, TABLES, Step, usable_version
from xintu_cli.storage.script import Connector, Script, Statement
from xintu_cli.storage.verbs.clock import read_meta

_LOCK_SECONDS = 60
_COLLATIONS = ("utf8mb4_bin", "ascii_bin")


async def has_tables(connector: Connector) -> bool:
    """Tell whether the database has any table of ours."""
    return bool(await connector.read(_our_tables, doing="open"))


async def ensure_usable(connector: Connector, steps: Sequence[Step] = STEPS) -> None:
    """Make the tables of an empty database; raise `SchemaError` unless this xintu can use them.

    An older schema is not upgraded on the way: on a shared server that is a decision, made
    by `xintu cache migrate`.
    """
    cache = f"the cache {connector.url}"
    meta = await connector.read(_read_meta_if_any, doing="open")
    if not meta:
        # An empty `meta` is a migration under way, which the lock makes this one wait for.
        try:
            await take_missing_steps(connector, steps)
        except CredentialsError as error:
            raise CredentialsError(
                f"{cache} has no tables yet, and this user may not create them. Run "
                "`xintu cache migrate` once as a user who may, then SELECT, INSERT, UPDATE and "
                "DELETE suffice."
            ) from error
        return
    version = usable_version(cache, meta, steps)
    if version < steps[-1].number:
        raise OldSchemaError(
            f"{cache} has schema {version}, this xintu wants {steps[-1].number}. "
            "Dump the database, then run: xintu cache migrate"
        )
    await _refuse_foreign_text(connector)


async def take_missing_steps(connector: Connector, steps: Sequence[Step] = STEPS) -> int:
    """Take the database through the steps it lacks; return how many those were.

    Where it lacks none, reading is enough, and the right to read.
    """
    cache = f"the cache {connector.url}"
    meta = await connector.read(_read_meta_if_any, doing="migrate")
    if meta and usable_version(cache, meta, steps) == steps[-1].number:
        await _refuse_foreign_text(connector)
        return 0

    def take(dialect: Dialect) -> Script[int]:
        return _take_steps(dialect, cache, steps)

    try:
        return await connector.write(take, doing="migrate")
    except CredentialsError as error:
        raise CredentialsError(
            f"cannot make the tables of {cache}: this user may not ({error.__cause__}). Run "
            "`xintu cache migrate` as a user who has CREATE, ALTER and INDEX there as well."
        ) from error


def _read_meta_if_any(dialect: Dialect) -> Script[dict[str, str]]:
    """Read `meta`; empty where the database has no such table."""
    tables = yield from _our_tables(dialect)
    return (yield from read_meta(dialect)) if "meta" in tables else {}


def _our_tables(dialect: Dialect) -> Script[list[str]]:
    """List the tables that the database has of the names of ours."""
    among, names = dialect.one_of("table_name", TABLES)
    reply = yield Statement(
        "SELECT table_name FROM information_schema.tables"
        f" WHERE table_schema = DATABASE() AND {among} ORDER BY table_name",
        names,
    )
    return [str(row[0]) for row in reply.rows]


def _take_steps(dialect: Dialect, cache: str, steps: Sequence[Step]) -> Script[int]:
    lock = "CONCAT('xintu.', LEFT(DATABASE(), 50))"
    reply = yield Statement(f"SELECT GET_LOCK({lock}, {_LOCK_SECONDS})")
    if reply.rows[0][0] != 1:
        raise SchemaError(
            f"{cache} is being migrated by someone else since {_LOCK_SECONDS} s. Try again later."
        )
    tables = yield from _our_tables(dialect)
    if tables and "meta" not in tables:
        # `meta` is made first: these are somebody else's, among which ours have no business.
        raise SchemaError(
            f"{cache} has tables of another program ({', '.join(tables)}). "
            "Name a database of its own."
        )
    yield Statement(META_MYSQL)
    meta = yield from read_meta(dialect)
    version = usable_version(cache, meta, steps) if meta else 0
    missing = [step for step in steps if step.number > version]
    for step in missing:
        for statement in step.mysql:
            yield Statement(statement)
        written = {
            "schema": str(step.number),
            "oldest_reader": str(step.oldest_reader),
            "cache_id": meta.setdefault("cache_id", secrets.token_hex(16)),
        }
        # One statement, and so all or nothing: the steps' DDL has ended the transaction.
        yield Statement(
            dialect.upsert("meta", ("name", "value"), ("name",), replace=("value",)),
            sorted(written.items()),
            many=True,
        )
    yield Statement(f"SELECT RELEASE_LOCK({lock})")
    return len(missing)


async def _refuse_foreign_text(connector: Connector) -> None:
    """Refuse tables whose text somebody converted.

    In latin1 Chinese is lost; in a case-insensitive collation two different keys are one.
    """

    def find(dialect: Dialect) -> Script[list[str]]:
        among, names = dialect.one_of("table_name", TABLES)
        fitting, collations = dialect.one_of("collation_name", _COLLATIONS)
        reply = yield Statement(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            f" WHERE table_schema = DATABASE() AND {among} AND NOT {fitting} ORDER BY 1, 2",
            (*names, *collations),
        )
        return [f"{table}.{column} is {collation}" for table, column, collation in reply.rows]

    wrong = await connector.read(find, doing="open")
    if wrong:
        raise SchemaError(
            f"the cache {connector.url} has text in the wrong collation: {wrong[0]}"
            f"{f' and {len(wrong) - 1} more' if wrong[1:] else ''}. "
            "Convert it back to utf8mb4_bin (hashes to ascii_bin), or copy it to a new database."
        )
