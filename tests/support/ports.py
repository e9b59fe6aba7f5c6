"""Ports of the loopback for servers that go away in a test, and come back."""

from __future__ import annotations

import random
import socket
from contextlib import closing, suppress
from pathlib import Path

_LEAST_PORT = 10_000


def free_port() -> int:
    """Return a port that is free, and stays so while nobody listens on it.

    Those that the kernel gives out by itself, to listeners and to every connection that is made,
    do not: one from below them.
    """
    for port in random.sample(range(_LEAST_PORT, _lowest_given_out()), 100):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def _lowest_given_out() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return 32_768
    return max(int(text.split()[0]), _LEAST_PORT + 1_000)
