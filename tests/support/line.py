"""The line between a program and a server on the loopback, which a test can cut and mend."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.support.ports import free_port

_LOOK_UP_SECONDS = 0.02


class Line:
    """Passes TCP connections on to a port: `with Line(server.port) as line: … line.port`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = free_port()

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        """Take connections, on the same port every time."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._listen, self._listener)

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            self._threads.pop(0).join()
            listener.close()
        for end in self._ends:
            _end(end)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()
        self._ends.clear()
        self._threads.clear()

    def _start(self, target: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=target, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, listener: socket.socket) -> None:
        listener.settimeout(_LOOK_UP_SECONDS)
        while self._listener is listener:
            with suppress(OSError):  # nobody has come
                inner, _address = listener.accept()
                self._ends.append(inner)
                outer = socket.create_connection(("127.0.0.1", self._target))
                self._ends.append(outer)
                self._start(_carry, inner, outer)
                self._start(_carry, outer, inner)


def _carry(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while block := here.recv(65_536):
            there.sendall(block)
    _end(here)
    _end(there)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
