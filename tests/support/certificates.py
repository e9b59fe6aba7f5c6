"""Certificates for servers that are not to be trusted, and for one that is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Authority:
    """A private certificate authority; `file` is what SSL_CERT_FILE names to trust it."""

    authority: trustme.CA
    file: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Authority:
        """Make an authority whose certificate lies in `directory`."""
        authority = trustme.CA()
        file = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        return cls(authority, file)

    def server(self, name: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """Return a server's context with a certificate for `name`."""
        ended = datetime.now(UTC) - timedelta(days=1)
        begun = ended - timedelta(days=30)
        certificate = (
            self.authority.issue_cert(name, not_before=begun, not_after=ended)
            if expired
            else self.authority.issue_cert(name)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context
