"""Cache URLs: which database a URL names, the URL without its secrets, and how to open it.

A file is `sqlite:////srv/xintu/cache.db`; with three slashes the path is relative. A server
is `mysql://user@host:3306/xintu`; a password may follow the user, but then it stands in every
shell history: `credentials` has better places. A server's URL may end in options named as
the mysql client names them: `?ssl-mode=VERIFY_IDENTITY&ssl-ca=/etc/ssl/db-ca.pem`,
`?unix-socket=/run/mysqld/mysqld.sock`.
"""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from xintu_cli.errors import ConfigurationError, RootMissingError
from xintu_cli.interfaces import LeaseKeeper
from xintu_cli.locations import expand_home
from xintu_cli.storage.cache import SqlCache

_MODULES = {
    "sqlite": "xintu_cli.storage.sqlite",
    "mysql": "xintu_cli.storage.mysql",
    "mariadb": "xintu_cli.storage.mysql",
}
"""Scheme to the module that opens it; drivers are imported when a URL asks for one."""

_EXAMPLES = "Use sqlite:////path/cache.db or mysql://user@host:3306/database."
_MYSQL_PORT = 3306
_IN_MEMORY = ":memory:"
"""SQLite's word for a database that is no file; a file of that name nobody wants."""
_PASSWORD = re.compile(r"^((?:\w*:?/+)?+[^:/@]*):.*@", re.DOTALL)
"""Of a URL that is mistyped, too: it is shown when it is refused."""


class TlsMode(StrEnum):
    """How a connection to MySQL is protected; the names are the mysql client's."""

    DISABLED = "DISABLED"
    REQUIRED = "REQUIRED"
    VERIFY_CA = "VERIFY_CA"
    VERIFY_IDENTITY = "VERIFY_IDENTITY"


@dataclass(frozen=True, slots=True)
class MysqlAddress:
    """What a `mysql://` URL says; `user` and `password` None where it does not."""

    host: str
    port: int
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    unix_socket: str = ""
    tls: TlsMode = TlsMode.DISABLED
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        """The address without its password."""
        user = f"{quote(self.user)}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _MYSQL_PORT else f":{self.port}"
        return f"mysql://{user}{host}{port}/{quote(self.database)}"


class _Opener(Protocol):
    """What a module that opens caches has."""

    def open_cache(
        self, url: str, *, descriptions: SqlCache | None = None, must_exist: bool = False
    ) -> AbstractAsyncContextManager[SqlCache]:
        """Return a context that opens the cache."""

    def open_lease_keeper(self, url: str) -> AbstractContextManager[LeaseKeeper]:
        """Return a context that opens a lease keeper."""

    async def migrate(self, url: str) -> int:
        """Bring the cache to the present schema; return how many steps that took."""


def open_cache(
    url: str, *, descriptions: SqlCache | None = None, must_exist: bool = False
) -> AbstractAsyncContextManager[SqlCache]:
    """Return a context that opens the cache `url` names.

    With `descriptions`, a cache of this machine, descriptions are kept there and not in the
    cache. Raises `ConfigurationError`, and on entry `StorageError`, `SchemaError`,
    `CacheUnreachableError` or `CredentialsError`; `RootMissingError` instead of making a cache
    that `must_exist`.
    """
    return _opener(url).open_cache(url, descriptions=descriptions, must_exist=must_exist)


def open_lease_keeper(url: str) -> AbstractContextManager[LeaseKeeper]:
    """Return a context that opens a connection for renewing claims from a thread."""
    return _opener(url).open_lease_keeper(url)


async def migrate_cache(url: str) -> int:
    """Create the cache's tables or upgrade them; return how many steps that took."""
    return await _opener(url).migrate(url)


def no_such_cache(url: str) -> RootMissingError:
    """Return the error of a cache that is to be read, and is not there."""
    return RootMissingError(f"there is no cache in {masked(url)}. Check the name.")


def masked(url: str) -> str:
    """Return a URL as it may be shown: without a password."""
    return _PASSWORD.sub(r"\1:***@", url)


def sqlite_path(url: str) -> Path:
    """Return the absolute path that a `sqlite:///` URL names."""
    _scheme, _, rest = url.partition(":///")
    if not rest:
        raise ConfigurationError(f"the cache {masked(url)} names no file. {_EXAMPLES}")
    if rest == _IN_MEMORY:
        raise ConfigurationError(
            f"the cache {url} would end with the program, and every answer with it. {_EXAMPLES}"
        )
    return expand_home(unquote(rest)).absolute()


def mysql_address(url: str) -> MysqlAddress:
    """Take a `mysql://` URL apart."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = unquote(parts.path.removeprefix("/"))
    unix_socket = _take(options, "unix-socket")
    host = parts.hostname or ("localhost" if unix_socket else "")
    if not host or not database or "/" in database:
        raise ConfigurationError(
            f"the cache {masked(url)} must name a host and a database. {_EXAMPLES}"
        )
    authority = _take(options, "ssl-ca")
    address = MysqlAddress(
        host=host,
        port=_port(parts),
        database=database,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password is not None else None,
        unix_socket=unix_socket,
        ca=authority,
        certificate=_take(options, "ssl-cert"),
        key=_take(options, "ssl-key"),
        tls=_tls_mode(_take(options, "ssl-mode"), has_ca=bool(authority)),
    )
    if options:
        raise ConfigurationError(
            f"the cache {address.url} has an unknown option {min(options)!r}. "
            "It may have ssl-mode, ssl-ca, ssl-cert, ssl-key and unix-socket."
        )
    return address


def _opener(url: str) -> _Opener:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in _MODULES:
        raise ConfigurationError(f"the cache {masked(url)!r} is no URL of a cache. {_EXAMPLES}")
    return cast("_Opener", import_module(_MODULES[scheme.lower()]))


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _MYSQL_PORT
    except ValueError as error:
        # What stands in the port's place may be half a password: it is not shown.
        raise ConfigurationError(
            "the cache's mysql:// URL has a port that is no number. A password with : / # ? or @ "
            "in it must be percent-encoded, or given in XINTU_CACHE_PASSWORD."
        ) from error


def _take(options: dict[str, str], name: str) -> str:
    """Take an option out, spelled with hyphens or underscores."""
    return options.pop(name, "") or options.pop(name.replace("-", "_"), "")


def _tls_mode(word: str, *, has_ca: bool) -> TlsMode:
    """Read ssl-mode; a CA without a mode asks for all it can give, a verified host."""
    if not word:
        return TlsMode.VERIFY_IDENTITY if has_ca else TlsMode.DISABLED
    try:
        return TlsMode(word.upper())
    except ValueError as error:
        raise ConfigurationError(
            f"the cache's ssl-mode {word!r} is unknown. Use one of {', '.join(TlsMode)}."
        ) from error
