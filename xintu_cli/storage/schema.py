"""The cache's tables, as forward-only numbered steps for both databases.

`meta` says which schema a database has and the oldest one a program must know to use it
(`oldest_reader`): steps that only add leave it alone, so that machines with an older xintu
go on working beside newer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xintu_cli.errors import SchemaError

_TEXT_TABLE = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_HASH = "CHAR(32) CHARACTER SET ascii COLLATE ascii_bin"
_TASK = "CHAR(16) CHARACTER SET ascii COLLATE ascii_bin"
_WORD = "VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin"


@dataclass(frozen=True, slots=True)
class Step:
    """What takes a database from schema `number - 1` to `number`.

    MySQL commits every DDL statement by itself, so its statements can be repeated.
    """

    number: int
    oldest_reader: int
    sqlite: tuple[str, ...]
    mysql: tuple[str, ...]


CLASSIFICATION_KEY = ("image_hash", "task", "source")
RUN_COUNTS = (
    *("found", "cached", "llm", "local", "failed", "skipped", "pending"),
    *("unchanged", "duplicates", "manual", "provisional", "upgraded", "kept_local"),
    *("calls", "retries", "tokens_in", "tokens_out"),
)
"""The summary's counts that `run` keeps, named as in `RunSummary`."""

RUN_COLUMNS = tuple("by_hand" if count == "manual" else count for count in RUN_COUNTS)
"""Their columns, in the same order: MANUAL is a reserved word of MySQL since 8.4."""

_SQLITE_1 = (
    # With a rowid, so that rows lie in the order they were written, which is nearly the order
    # later walks ask for them: look-ups of 100 000 photos 0.28 s, counting their hits 0.4 s;
    # laid out by hash (WITHOUT ROWID) 0.44 s and 1.6 s, since every row is on a page of its own.
    """CREATE TABLE classification (
        image_hash TEXT NOT NULL, task TEXT NOT NULL, source TEXT NOT NULL,
        category TEXT NOT NULL, confidence REAL NOT NULL,
        description TEXT NOT NULL DEFAULT '', second_category TEXT,
        provider TEXT NOT NULL, model TEXT NOT NULL,
        prompt_version TEXT NOT NULL DEFAULT '', preparation_version TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        tokens_in INTEGER, tokens_out INTEGER, cost REAL, currency TEXT NOT NULL DEFAULT '',
        hit_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, last_hit_at TEXT,
        run_id TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (image_hash, task, source)
    )""",
    """CREATE TABLE manual_label (
        image_hash TEXT NOT NULL, taxonomy TEXT NOT NULL, category TEXT NOT NULL,
        who TEXT NOT NULL, labelled_at TEXT NOT NULL,
        PRIMARY KEY (image_hash, taxonomy)
    ) WITHOUT ROWID""",
    """CREATE TABLE refusal (
        image_hash TEXT NOT NULL, task TEXT NOT NULL, provider TEXT NOT NULL,
        reason TEXT NOT NULL, retry_after TEXT NOT NULL,
        PRIMARY KEY (image_hash, task, provider)
    ) WITHOUT ROWID""",
    """CREATE TABLE claim (
        image_hash TEXT NOT NULL, task TEXT NOT NULL,
        owner TEXT NOT NULL, host TEXT NOT NULL, expires_at TEXT NOT NULL,
        PRIMARY KEY (image_hash, task)
    ) WITHOUT ROWID""",
    "CREATE INDEX claim_expires_at ON claim (expires_at)",
    """CREATE TABLE request_log (
        id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, image_hash TEXT NOT NULL,
        task TEXT NOT NULL, source TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
        outcome TEXT NOT NULL, latency_ms REAL NOT NULL,
        tokens_in INTEGER, tokens_out INTEGER, cost REAL, currency TEXT NOT NULL DEFAULT '',
        attempt INTEGER NOT NULL, error TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL
    )""",
    "CREATE INDEX request_log_created_at ON request_log (created_at)",
    "CREATE INDEX request_log_run_id ON request_log (run_id)",
    f"""CREATE TABLE run (
        run_id TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, version TEXT NOT NULL,
        policy TEXT NOT NULL, started_at TEXT NOT NULL, finished_at TEXT,
        status TEXT NOT NULL DEFAULT 'running', exit_code INTEGER,
        {" ".join(f"{count} INTEGER NOT NULL DEFAULT 0," for count in RUN_COLUMNS)}
        cost REAL, currency TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "CREATE INDEX run_started_at ON run (started_at)",
    """CREATE TABLE daily (
        day TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, source TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, ok INTEGER NOT NULL DEFAULT 0,
        latency_ms REAL NOT NULL DEFAULT 0,
        tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0,
        cost REAL NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0,
        currency TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (day, provider, model)
    ) WITHOUT ROWID""",
    """CREATE TABLE settlement (
        settlement_id TEXT NOT NULL PRIMARY KEY, settled_at TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX settlement_settled_at ON settlement (settled_at)",
)

_MYSQL_1 = (
    f"""CREATE TABLE IF NOT EXISTS classification (
        image_hash {_HASH} NOT NULL, task {_TASK} NOT NULL, source {_WORD} NOT NULL,
        category VARCHAR(64) NOT NULL, confidence DOUBLE NOT NULL,
        description TEXT NOT NULL, second_category VARCHAR(64),
        provider VARCHAR(64) NOT NULL, model VARCHAR(128) NOT NULL,
        prompt_version VARCHAR(32) NOT NULL DEFAULT '',
        preparation_version VARCHAR(32) NOT NULL DEFAULT '',
        reason VARCHAR(32) NOT NULL DEFAULT '',
        tokens_in INT, tokens_out INT, cost DECIMAL(18, 9), currency VARCHAR(8) NOT NULL DEFAULT '',
        hit_count INT NOT NULL DEFAULT 0, created_at DATETIME(3) NOT NULL, last_hit_at DATETIME(3),
        run_id {_HASH} NOT NULL DEFAULT '',
        PRIMARY KEY (image_hash, task, source)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS manual_label (
        image_hash {_HASH} NOT NULL, taxonomy VARCHAR(64) NOT NULL,
        category VARCHAR(64) NOT NULL, who VARCHAR(64) NOT NULL, labelled_at DATETIME(3) NOT NULL,
        PRIMARY KEY (image_hash, taxonomy)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS refusal (
        image_hash {_HASH} NOT NULL, task {_TASK} NOT NULL, provider VARCHAR(64) NOT NULL,
        reason VARCHAR(255) NOT NULL, retry_after DATETIME(3) NOT NULL,
        PRIMARY KEY (image_hash, task, provider)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS claim (
        image_hash {_HASH} NOT NULL, task {_TASK} NOT NULL,
        owner {_HASH} NOT NULL, host VARCHAR(255) NOT NULL, expires_at DATETIME(3) NOT NULL,
        PRIMARY KEY (image_hash, task), KEY claim_expires_at (expires_at), KEY claim_owner (owner)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS request_log (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, run_id {_HASH} NOT NULL,
        image_hash {_HASH} NOT NULL, task {_TASK} NOT NULL, source {_WORD} NOT NULL,
        provider VARCHAR(64) NOT NULL, model VARCHAR(128) NOT NULL, outcome {_WORD} NOT NULL,
        latency_ms DOUBLE NOT NULL, tokens_in INT, tokens_out INT, cost DECIMAL(18, 9),
        currency VARCHAR(8) NOT NULL DEFAULT '', attempt INT NOT NULL,
        error VARCHAR(500) NOT NULL DEFAULT '', created_at DATETIME(3) NOT NULL,
        KEY request_log_created_at (created_at), KEY request_log_run_id (run_id)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS run (
        run_id {_HASH} NOT NULL PRIMARY KEY, host VARCHAR(255) NOT NULL,
        version VARCHAR(32) NOT NULL, policy {_WORD} NOT NULL,
        started_at DATETIME(3) NOT NULL, finished_at DATETIME(3),
        status {_WORD} NOT NULL DEFAULT 'running', exit_code INT,
        {" ".join(f"{count} BIGINT NOT NULL DEFAULT 0," for count in RUN_COLUMNS)}
        cost DECIMAL(18, 9), currency VARCHAR(8) NOT NULL DEFAULT '',
        seconds DOUBLE NOT NULL DEFAULT 0, KEY run_started_at (started_at)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS daily (
        day DATE NOT NULL, provider VARCHAR(64) NOT NULL, model VARCHAR(128) NOT NULL,
        source {_WORD} NOT NULL,
        attempts BIGINT NOT NULL DEFAULT 0, ok BIGINT NOT NULL DEFAULT 0,
        latency_ms DOUBLE NOT NULL DEFAULT 0,
        tokens_in BIGINT NOT NULL DEFAULT 0, tokens_out BIGINT NOT NULL DEFAULT 0,
        cost DECIMAL(18, 9) NOT NULL DEFAULT 0, unpriced BIGINT NOT NULL DEFAULT 0,
        currency VARCHAR(8) NOT NULL DEFAULT '',
        PRIMARY KEY (day, provider, model)
    ) {_TEXT_TABLE}""",
    f"""CREATE TABLE IF NOT EXISTS settlement (
        settlement_id {_HASH} NOT NULL PRIMARY KEY, settled_at DATETIME(3) NOT NULL,
        KEY settlement_settled_at (settled_at)
    ) {_TEXT_TABLE}""",
)

META_SQLITE = (
    "CREATE TABLE IF NOT EXISTS meta"
    " (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
)
META_MYSQL = (
    "CREATE TABLE IF NOT EXISTS meta"
    f" (name VARCHAR(64) NOT NULL PRIMARY KEY, value VARCHAR(255) NOT NULL) {_TEXT_TABLE}"
)

STEPS: tuple[Step, ...] = (Step(1, 1, _SQLITE_1, _MYSQL_1),)
"""Every step there is, in order; a step that was released never changes."""

TABLES = (
    "classification",
    "manual_label",
    "refusal",
    "claim",
    "request_log",
    "run",
    "daily",
    "settlement",
    "meta",
)


def usable_version(cache: str, meta: Mapping[str, str], steps: Sequence[Step]) -> int:
    """Return the schema that `meta` tells of, at most the present one; raise if it is newer."""
    try:
        version, oldest_reader = int(meta["schema"]), int(meta["oldest_reader"])
    except (KeyError, ValueError) as error:
        raise SchemaError(
            f"{cache} does not say which schema it has. Restore it from a backup."
        ) from error
    present = steps[-1].number
    if oldest_reader > present:
        raise SchemaError(
            f"{cache} has schema {version}, this xintu knows {present}: a newer xintu wrote it. "
            "Upgrade xintu, or name another cache."
        )
    return min(version, present)
