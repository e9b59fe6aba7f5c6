"""Providers over the local vendor server, for contract and integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from tests.support.vendor import Vendor, open_vendor
from tests.support.vendor_script import Script
from xintu_cli.errors import ProviderError
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.providers.llm import LLMClassifier
from xintu_cli.providers.opening import open_provider
from xintu_cli.providers.profile import ApiKey, Kind, ProviderProfile
from xintu_cli.records import Answer
from xintu_cli.taxonomy import Taxonomy, load_taxonomy

CANARY = "cnry-4f9a81c2e7"
"""The key of every provider under test: it may appear in nothing but the request's header."""

TAXONOMY: Taxonomy = load_taxonomy("xintu")


def photo(*, edge: int = 640, color: tuple[int, int, int] = (200, 120, 40)) -> Decoded:
    """Decode a JPEG that knows where and by whom it was taken, and lies on its side."""
    image = Image.new("RGB", (edge, edge * 3 // 4), color)
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif[Base.Artist] = "Somebody"
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    stream = BytesIO()
    image.save(stream, "JPEG", exif=exif)
    return decode(stream.getvalue(), image_hash="0" * 32, edge=1024)


@dataclass(frozen=True, slots=True)
class Rig:
    """A provider, and the server it talks to."""

    kind: Kind
    vendor: Vendor
    provider: LLMClassifier

    async def ask(self) -> Answer:
        """Ask about a photo."""
        return await self.provider.classify(photo())

    async def fail(self) -> ProviderError:
        """Ask about a photo, and return the error it ends in."""
        try:
            answer = await self.ask()
        except ProviderError as error:
            return error
        raise AssertionError(f"it answered: {answer}")


def profile_for(kind: Kind, base_url: str, **changes: Any) -> ProviderProfile:
    """Return the profile of a provider under test."""
    values: dict[str, Any] = {"api_key": ApiKey(CANARY), "timeout_seconds": 20.0}
    return ProviderProfile(
        name="vendor", kind=kind, model="m-1", base_url=base_url, **(values | changes)
    )


@asynccontextmanager
async def open_rig(
    kind: Kind, script: Script | None = None, *, concurrency: int = 8, **changes: Any
) -> AsyncIterator[Rig]:
    """Open a server that follows the script, and a provider of this kind that talks to it."""
    async with open_vendor(script) as vendor:
        profile = profile_for(kind, vendor.base_url(kind), **changes)
        async with open_provider(profile, TAXONOMY, concurrency=concurrency) as provider:
            yield Rig(kind, vendor, provider)
