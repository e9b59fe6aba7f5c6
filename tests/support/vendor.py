"""One real HTTP server on loopback that speaks the vendors' three wire formats.

In a test: `async with open_vendor(Script(...)) as vendor`. For a command in a subprocess:
`VendorProcess` (`vendor_process`), which runs `python -m tests.support.vendor --script FILE`.
What arrived is in `vendor.received`, over HTTP at `/_vendor/received`; `/_vendor/script` takes
another script, `/_vendor/arrived` replies when so many requests have arrived.
A request of 200 kB takes it one millisecond.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, create_task_group
from anyio.abc import ByteStream, Listener, SocketAttribute
from anyio.streams.tls import TLSListener

from tests.support import vendor_wire as wire
from tests.support.vendor_script import Fault, Script, Then

_CHUNK = 262_144
_DRIP_SECONDS = 0.01
_ENDLESS_BYTES = 200_000_000


@dataclass(slots=True)
class Received:
    """One request; `jpeg` is dropped after its facts were taken where pictures are not kept."""

    number: int
    at_seconds: float
    kind: str
    path: str
    headers: Mapping[str, str]
    in_flight: int
    body: bytes = b""
    jpeg: bytes = b""
    picture: str = ""
    facts: wire.JPEGFacts = field(default_factory=lambda: wire.JPEGFacts(0, 0, ()))
    outcome: str = ""
    seconds: float = 0.0
    sent_bytes: int = 0

    @property
    def document(self) -> Any:
        """The request's JSON."""
        return json.loads(self.body)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the bodies."""
        return {
            "number": self.number,
            "at_seconds": self.at_seconds,
            "kind": self.kind,
            "path": self.path,
            "headers": dict(self.headers),
            "in_flight": self.in_flight,
            "picture": self.picture,
            "width": self.facts.width,
            "height": self.facts.height,
            "holds_metadata": self.facts.holds_metadata,
            "outcome": self.outcome,
            "seconds": self.seconds,
        }


class Vendor:
    """The server's state: its script, and what it has received."""

    def __init__(self, script: Script, *, keeps_bodies: bool, scheme: str = "http") -> None:
        self.script = script
        self.received: list[Received] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0
        self._scheme = scheme
        self._keeps_bodies = keeps_bodies
        self.connections = 0
        self._started = 0.0
        self._tokens, self._filled = script.burst, time.monotonic()
        self._news = anyio.Event()

    def base_url(self, kind: str, *, host: str = "127.0.0.1") -> str:
        """Return the base_url that a provider of this kind wants."""
        return f"{self._scheme}://{host}:{self.port}{wire.base_path(kind)}"

    async def until(self, holds: Callable[[Vendor], bool]) -> None:
        """Wait for something to be true of the server; it is looked at whenever that may change."""
        while not holds(self):
            await self._news.wait()

    @property
    def arrived(self) -> int:
        """How many requests have arrived to their last byte."""
        return sum(bool(request.picture) for request in self.received)

    def _changed(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def serve(self, listener: Listener[Any]) -> None:
        """Answer until cancelled."""
        await listener.serve(self._connected)

    async def _connected(self, stream: ByteStream) -> None:
        self.connections += 1
        async with stream:
            if self.connections <= self.script.reset_connections:
                _reset_on_close(stream)
                return
            with suppress(BrokenResourceError, ClosedResourceError, EndOfStream, ssl.SSLError):
                while await self._exchange(_Reader(stream), stream):
                    pass

    async def _exchange(self, reader: _Reader, stream: ByteStream) -> bool:
        """Answer one request; False where the connection is not to be used again."""
        path, headers = await reader.head()
        length = int(headers.get("content-length", "0"))
        if path.startswith("/_vendor/"):
            await stream.send(await self._control(path, await reader.exactly(length)))
            return True
        request = self._new_request(path, headers)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        started = time.monotonic()
        try:
            early = self._rule_for(request, with_body=False)
            if early is not None and early.fault is Fault.RESET_IN_UPLOAD:
                request.outcome = early.fault
                await reader.exactly(min(length, 1000))
                _reset_on_close(stream)
                return False
            self._take(request, await reader.exactly(length))
            return await self._reply(request, stream)
        finally:
            request.seconds = time.monotonic() - started
            self.in_flight -= 1
            self._changed()

    def _new_request(self, path: str, headers: Mapping[str, str]) -> Received:
        self._started = self._started or time.monotonic()
        request = Received(
            number=len(self.received) + 1,
            at_seconds=time.monotonic() - self._started,
            kind=wire.kind_of(path),
            path=path,
            headers=headers,
            in_flight=self.in_flight + 1,
        )
        self.received.append(request)
        return request

    def _take(self, request: Received, body: bytes) -> None:
        jpeg = wire.picture_in(body)
        request.picture = hashlib.sha256(jpeg).hexdigest()
        request.facts = wire.jpeg_facts(jpeg)
        if self._keeps_bodies or any(rule.when.needs_body for rule in self.script.rules):
            request.body = body
        if self._keeps_bodies:
            request.jpeg = jpeg
        self._changed()

    async def _reply(self, request: Received, stream: ByteStream) -> bool:
        then = self._decide(request)
        latency = self.script.latency_seconds
        await anyio.sleep(latency if then.latency_seconds is None else then.latency_seconds)
        await self.until(lambda vendor: vendor.most_in_flight >= self.script.together)
        request.outcome = then.fault or str(then.status)
        if then.fault is not None:
            await _fail(_Counted(stream, request), then.fault, self._response(request, then))
            return False
        await stream.send(self._response(request, then))
        return request.headers.get("connection", "").lower() != "close"

    def _decide(self, request: Received) -> Then:
        if not request.kind:
            return Then(status=404, code="not_found", message="no such path")
        if not self._has_token():
            return self.script.throttled
        return self._rule_for(request, with_body=True) or Then(answer=self._answer(request))

    def _rule_for(self, request: Received, *, with_body: bool) -> Then | None:
        for rule in self.script.rules:
            if rule.when.needs_body and not with_body:
                continue
            if rule.when.holds(
                number=request.number,
                at_seconds=request.at_seconds,
                picture=request.picture,
                body=request.body,
            ):
                return rule.then
        return None

    def _answer(self, request: Received) -> Mapping[str, Any]:
        categories = self.script.categories
        if not categories:
            return self.script.answer
        chosen = categories[int(request.picture[:8], 16) % len(categories)]
        return {**self.script.answer, "category": chosen}

    def _has_token(self) -> bool:
        if not self.script.per_second:
            return True
        now = time.monotonic()
        filled = self._tokens + (now - self._filled) * self.script.per_second
        self._tokens, self._filled = min(self.script.burst, filled), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _response(self, request: Received, then: Then) -> bytes:
        if then.body is not None:
            body = then.body.encode() if isinstance(then.body, str) else then.body
        elif then.status == 200:
            answer = then.answer if then.answer is not None else self._answer(request)
            text = json.dumps(answer) if then.content == "" else then.content
            body = wire.encoded(wire.reply(request.kind, then, text))
        else:
            body = wire.encoded(wire.error(request.kind, then) | dict(then.members))
        headers = {"content-type": then.content_type, "content-length": str(len(body))}
        return wire.response(then.status, headers | dict(then.headers), body)

    async def _control(self, path: str, body: bytes) -> bytes:
        match path.removeprefix("/_vendor/"):
            case "arrived":
                count = json.loads(body)
                await self.until(lambda vendor: vendor.arrived >= count)
                document: Any = {}
            case "script":
                self.script = Script.from_json(json.loads(body))
                self._changed()
                document = {}
            case "received":
                document = [request.to_json() for request in self.received]
            case "forget":
                self.received.clear()
                self.most_in_flight, self._started = 0, 0.0
                document = {}
            case _:
                document = {"requests": len(self.received), "most_in_flight": self.most_in_flight}
        content = wire.encoded(document)
        return wire.response(200, {"content-length": str(len(content))}, content)


class _Counted:
    """Notes how much of a reply the other side has taken."""

    def __init__(self, stream: ByteStream, request: Received) -> None:
        self.stream = stream
        self._request = request

    async def send(self, content: bytes) -> None:
        await self.stream.send(content)
        self._request.sent_bytes += len(content)


class _Reader:
    """Reads HTTP/1.1 requests with a Content-Length, which is what the clients send."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def head(self) -> tuple[str, dict[str, str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._buffer += await self._stream.receive(_CHUNK)
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        pairs = (line.partition(":") for line in lines)
        return first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs}

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += await self._stream.receive(_CHUNK)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


async def _fail(reply: _Counted, fault: Fault, response: bytes) -> None:
    """Send what of the reply is to arrive; the caller closes the connection."""
    if fault in (Fault.RESET_IN_UPLOAD, Fault.RESET_BEFORE_REPLY, Fault.RESET_IN_REPLY):
        _reset_on_close(reply.stream)
    head_size = response.index(b"\r\n\r\n") + 4
    match fault:
        case Fault.CLOSE_IN_REPLY | Fault.RESET_IN_REPLY:
            await reply.send(response[: head_size + 10])
        case Fault.DRIP | Fault.DRIP_HEADERS:
            await reply.send(response[: head_size if fault is Fault.DRIP else 20])
            while True:
                await anyio.sleep(_DRIP_SECONDS)
                await reply.send(b" ")
        case Fault.BLACK_HOLE:
            await reply.stream.receive()
        case Fault.ENDLESS | Fault.ENDLESS_CHUNKS:
            await _send_endlessly(reply, chunked=fault is Fault.ENDLESS_CHUNKS)
        case Fault.GARBAGE:
            await reply.send(b"\x00\xff this is no HTTP \r\n\r\n")
        case _:
            return


async def _send_endlessly(reply: _Counted, *, chunked: bool) -> None:
    length = {"transfer-encoding": "chunked"} if chunked else {"content-length": _ENDLESS_BYTES}
    await reply.send(wire.response(200, {k: str(v) for k, v in length.items()}, b""))
    blanks = b" " * _CHUNK
    chunk = b"%x\r\n%b\r\n" % (_CHUNK, blanks) if chunked else blanks
    for _ in range(_ENDLESS_BYTES // _CHUNK):
        await reply.send(chunk)


def _reset_on_close(stream: ByteStream) -> None:
    """Make the kernel answer with RST instead of FIN."""
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 (no Django)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def open_vendor(
    script: Script | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
    keeps_bodies: bool = True,
) -> AsyncIterator[Vendor]:
    """Serve on a free port of 127.0.0.1 for as long as the block lasts."""
    vendor = Vendor(
        script or Script(), keeps_bodies=keeps_bodies, scheme="https" if tls else "http"
    )
    listener: Listener[Any] = await anyio.create_tcp_listener(
        local_host="127.0.0.1", local_port=port, backlog=1024
    )
    vendor.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no Django)
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)
    async with listener, create_task_group() as tasks:
        tasks.start_soon(vendor.serve, listener)
        yield vendor
        tasks.cancel_scope.cancel()


async def _serve(script: Script, port: int) -> None:
    async with open_vendor(script, port=port, keeps_bodies=False) as vendor:
        sys.stdout.write(f"{vendor.port}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def main() -> None:
    """Serve until killed; the port is the first line on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--latency", type=float)
    arguments = parser.parse_args()
    script = Script()
    if arguments.script:
        script = Script.from_json(json.loads(arguments.script.read_text(encoding="utf-8")))
    if arguments.latency is not None:
        script = replace(script, latency_seconds=arguments.latency)
    anyio.run(_serve, script, arguments.port)


if __name__ == "__main__":
    main()
