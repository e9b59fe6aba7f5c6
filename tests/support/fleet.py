"""Several machines over one cache: homes with separate state, and what their vendor was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.command import Home
from tests.support.databases import CacheDatabase
from tests.support.vendor_process import VendorProcess

KEY = "sk-fleet-4d11c0"


def machine(place: Path, database: CacheDatabase, vendor: VendorProcess, **settings: str) -> Home:
    """Make a machine whose runs share a cache; `settings` are XINTU_… without the prefix."""
    place.mkdir(exist_ok=True)
    environment = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": vendor.base_url("openai"),
        "XINTU_CACHE": database.url,
        "XINTU_POLICY": "cloud",
        # Without the local model in front a photo costs the test 10 ms instead of 60.
        "XINTU_KEEP_LOCAL": "none",
    }
    environment |= {f"XINTU_{name.upper()}": value for name, value in settings.items()}
    return Home(place, environment)


def calls_per_photo(vendor: VendorProcess) -> Counter[str]:
    """Return how often each picture reached the vendor."""
    return Counter(request["picture"] for request in vendor.received() if request["picture"])


def paid_twice(vendor: VendorProcess) -> int:
    """Return how many calls went to pictures that had been sent before."""
    return sum(times - 1 for times in calls_per_photo(vendor).values())


def count(database: CacheDatabase, table: str) -> int:
    """Return how many rows a table has."""
    ((rows,),) = database.fetch(f"SELECT COUNT(*) FROM {table}")
    return int(rows)


def everything(database: CacheDatabase, tables: Sequence[str]) -> str:
    """Return every value of every row, as one text to search."""
    return "\n".join(
        str(row) for table in tables for row in database.fetch(f"SELECT * FROM {table}")
    )
