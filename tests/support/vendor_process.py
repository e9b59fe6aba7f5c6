"""The vendor server as a process of its own, for commands that run in a subprocess."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.support import vendor_wire as wire
from tests.support.command import TIMEOUT_SECONDS

_ROOT = Path(__file__).resolve().parents[2]
# No proxy of the environment stands between a test and its own server.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class VendorProcess:
    """A vendor in a subprocess: `with VendorProcess({"latency_seconds": 0.2}) as vendor`."""

    def __init__(self, script: dict[str, Any] | None = None) -> None:
        """Take a script as JSON (`vendor_script.Script.from_json`)."""
        self._script = script or {}
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.vendor"],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.play(self._script)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def base_url(self, kind: str) -> str:
        """Return the base_url that a provider of this kind wants."""
        return f"http://127.0.0.1:{self.port}{wire.base_path(kind)}"

    def play(self, script: dict[str, Any]) -> None:
        """Follow another script from now on."""
        self._ask("script", script)

    def forget(self) -> None:
        """Count from the beginning again."""
        self._ask("forget", {})

    def wait_for(self, requests: int) -> None:
        """Return when so many requests have arrived."""
        self._ask("arrived", requests)

    def received(self) -> list[dict[str, Any]]:
        """Return what has arrived, without bodies."""
        received: list[dict[str, Any]] = self._ask("received")
        return received

    def summary(self) -> dict[str, int]:
        """Return how many requests arrived, and how many were in flight at most."""
        summary: dict[str, int] = self._ask("summary")
        return summary

    def _ask(self, what: str, document: Any = None) -> Any:
        content = None if document is None else json.dumps(document).encode()
        url = f"http://127.0.0.1:{self.port}/_vendor/{what}"
        request = urllib.request.Request(url, data=content)
        with _DIRECT.open(request, timeout=TIMEOUT_SECONDS) as reply:
            return json.loads(reply.read())
