"""What vendors say beside their codes: how long to wait, and messages a person may see. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from xintu_cli.providers.profile import ApiKey

_KEY_LIKE = re.compile(r"\b(?:sk|pk|ak|key|api)-[A-Za-z0-9_*.-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
_LONGEST_MESSAGE = 200


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return how long the vendor asks to wait, None where it says nothing that can be meant.

    Forms: `retry-after-ms`, seconds (whole or not), an HTTP date (RFC 9110, 10.2.3). A date is
    taken against the reply's own Date header, so that a clock that is off does no harm.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    if (until := _date(value)) is None:
        return None
    seconds = (until - (_date(headers.get("date")) or now or datetime.now(UTC))).total_seconds()
    return seconds if seconds >= 0 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shown(text: object, *, secret: str) -> str:
    """Return a vendor's words as one short line without the key, or what looks like one.

    Vendors echo the key in their 401, whole or with stars in the middle.
    """
    if not isinstance(text, str):
        return ""
    line = text[:2000]
    if len(secret) >= ApiKey.SHORTEST_SECRET:
        line = line.replace(secret, "***")
    line = _KEY_LIKE.sub("***", line)
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in line)
    line = " ".join(visible.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
