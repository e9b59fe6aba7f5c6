"""Say why a request got no reply, in words, whichever HTTP client it went through.

In: the client's exception. Out: a `ProviderUnavailableError`. Pure.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from xintu_cli.errors import ProviderUnavailableError

_DEEPEST_CAUSE = 12


def connection_error(
    error: BaseException, *, provider: str, host: str, sent: bool
) -> ProviderUnavailableError:
    """Return the error to raise; `sent`: a part of the request had left before it broke."""
    if sent:
        return ProviderUnavailableError(
            f"{provider} ({host}) broke the connection off: {_reason(error)}. "
            "The call may have been billed.",
            outcome_unknown=True,
        )
    return ProviderUnavailableError(
        f"cannot reach {provider} at {host}: {_reason(error)}. {_remedy(error)}",
        unreachable=True,
    )


def _reason(error: BaseException) -> str:
    reasons = (_reason_of(cause) for cause in _causes(error))
    return next((reason for reason in reasons if reason), "it was closed before the reply ended")


def _reason_of(cause: BaseException) -> str:
    """Return what one exception says; empty for the wrappers around it."""
    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted ({cause.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({cause.reason or cause.strerror or 'cut off'})"
        case socket.gaierror():
            return "no such host is known"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError():
            return "connection reset"
        case TimeoutError():
            return "timed out"
        case OSError() if cause.errno and cause.strerror:
            return cause.strerror
    return ""


def _remedy(error: BaseException) -> str:
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return (
            "Check the address and this machine's clock. Where your network has a certificate "
            "authority of its own, name its file in SSL_CERT_FILE."
        )
    return "Check the address (base_url), the network, and HTTPS_PROXY where there is one."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what lies under it; requests hides causes in arguments."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting and len(seen) < _DEEPEST_CAUSE:
        current = waiting.pop(0)
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None))
        waiting += [c for c in (*inner, *current.args) if isinstance(c, BaseException)]
