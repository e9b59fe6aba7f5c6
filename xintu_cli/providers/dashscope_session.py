"""The HTTP session that the dashscope SDK is given: what its arguments cannot ask for.

The SDK's time-out is one per socket operation; it reads replies of any size, follows redirects
(the photo would go along), and sends a request a second time when a connection breaks, which can
be billed twice. One adapter ends all four: it lets one request pass per call, reads its reply up
to a limit and a deadline, and raises `WireError`, which the SDK takes for no dropped connection.

It also makes a blocking call cancellable: `WireCall.abort` shuts the socket down, which ends the
thread at once. Without it a process would wait at its exit for every call in flight, since
anyio's worker threads are no daemons.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from xintu_cli.providers.endpoint import CONNECT_SECONDS, LARGEST_REPLY, certificates, proxy_for

_CHUNK = 65_536
_HANDOVER = threading.Lock()
"""Held while a connection changes hands: a call may cut off no socket that is another's by now."""


class WireError(Exception):
    """The request got no reply; the cause says why.

    Not a `requests.ConnectionError` on purpose: that one the SDK answers with a second request.
    """


class UnreadableReplyError(Exception):
    """A reply that is not read to its end, and why."""


class StatusError(Exception):
    """A reply the SDK would stumble over (not JSON, no output) or follow (a redirect)."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers
        self.content = content


class WireCall:
    """One request on its way: how long it may take, whether it left, the socket it is on."""

    def __init__(self, timeout_seconds: float) -> None:
        self.sent = False
        self._deadline = time.monotonic() + timeout_seconds
        self._is_used = False
        self._is_aborted = False
        self._connection: _Connection | _TLSConnection | None = None
        self._socket: socket.socket | None = None

    def use(self) -> None:
        """Let one request pass, and refuse the second one that the SDK would send silently."""
        if self._is_used:
            raise WireError("a second request for one call is not sent")
        self._is_used = True

    def remaining(self) -> float:
        """Return the seconds left, or raise `WireError`."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._is_aborted:
            raise WireError("the time is up")
        return left

    def take(self, connection: _Connection | _TLSConnection) -> None:
        """Go on this connection from now on."""
        with _HANDOVER:
            self._connection, self._socket = connection, connection.sock
            connection.carries = self
        self.remaining()
        self.sent = True

    def rearm(self) -> None:
        """Let the next read wait for as long as is left."""
        left = self.remaining()
        with _HANDOVER:
            if self._socket is not None and self._is_carried():
                self._socket.settimeout(left)

    def leave(self) -> None:
        """Be on no connection any more."""
        with _HANDOVER:
            if self._connection is not None and self._is_carried():
                self._connection.carries = None
            self._connection = self._socket = None

    def abort(self) -> None:
        """End the call from another thread: whatever its socket waits for returns at once."""
        with _HANDOVER:
            self._is_aborted = True
            if self._socket is None or not self._is_carried():
                return
            try:
                # Not SSLSocket's own method: it takes the TLS state away from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                # The other side closed it in this very moment.
                return

    def _is_carried(self) -> bool:
        return self._connection is not None and self._connection.carries is self


current_call: ContextVar[WireCall] = ContextVar("current_call")
"""Set where the SDK is called; the adapter and its connections, deep below, find it there."""


def _set_out(connection: _Connection | _TLSConnection) -> None:
    """Put the current call on a connection that is about to send its request."""
    call = current_call.get()
    if connection.sock is None:
        connection.connect()
    # urllib3 would leave the connect time-out in place, and a socket's time-out holds for all of
    # sendall: on a slow line a photo takes longer than a handshake.
    connection.timeout = call.remaining()
    call.take(connection)


class _Connection(HTTPConnection):
    carries: WireCall | None = None

    def request(self, *args: Any, **options: Any) -> None:
        _set_out(self)
        super().request(*args, **options)


class _TLSConnection(HTTPSConnection):
    carries: WireCall | None = None

    def request(self, *args: Any, **options: Any) -> None:
        _set_out(self)
        super().request(*args, **options)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[mutable-override]  # as urllib3's own pools do


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection  # type: ignore[mutable-override]


_POOLS = {"http": _Pool, "https": _TLSPool}


class _BoundedAdapter(HTTPAdapter):
    """Sends one request per call, and reads a bounded reply to its end."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        call = current_call.get()
        call.use()
        request.headers["accept-encoding"] = "identity"
        left = call.remaining()
        options |= {"stream": True, "timeout": (min(CONNECT_SECONDS, left), left)}
        try:
            response = super().send(request, **options)
            content = _read(response, call)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise WireError(type(error).__name__) from error
        finally:
            call.leave()
        _check(response, content)
        # What the SDK reads next is what has been read here.
        response.raw = io.BytesIO(content)
        return response


def open_session(base_url: str, *, concurrency: int) -> requests.Session:
    """Return a session that keeps as many connections as there can be calls."""
    session = requests.Session()
    adapter = _BoundedAdapter(pool_connections=2, pool_maxsize=concurrency, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    # With trust_env requests looks into ~/.netrc, whose entry would replace the key.
    session.trust_env = False
    session.verify = certificates()
    if proxy := proxy_for(base_url):
        session.proxies = {"http": proxy, "https": proxy}
    return session


def _read(response: requests.Response, call: WireCall) -> bytes:
    """Return the body as it is on the wire, up to the limit."""
    try:
        return b"".join(_chunks(response, call))
    finally:
        # A reply read to its end has given its connection back by itself; of any other, what is
        # left must not be read as the next one.
        response.raw.close()


def _chunks(response: requests.Response, call: WireCall) -> Iterator[bytes]:
    # A megabyte of gzip can hold a gigabyte. None was asked for, so none is taken.
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise UnreadableReplyError(f"the reply is compressed ({encoding!r:.20}), unasked")
    size = 0
    call.rearm()
    # read1 returns what is there; read would wait for a whole chunk, however slowly it drips.
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > LARGEST_REPLY:
            raise UnreadableReplyError(f"the reply is longer than {LARGEST_REPLY} bytes")
        yield chunk
        call.rearm()


def _check(response: requests.Response, content: bytes) -> None:
    """Let pass only what the SDK reads without an exception of its own making."""
    status = response.status_code
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    fits = isinstance(document, dict) and not 300 <= status < 400
    if not fits or (status == requests.codes.ok and not isinstance(document.get("output"), dict)):
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise StatusError(status, headers, content)
