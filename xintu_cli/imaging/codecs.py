"""Which codecs work here: those that come in packages of their own are tried on a real file.

JPEG, PNG, WebP, GIF, TIFF and BMP are in every Pillow; HEIC is pillow-heif's, AVIF is there
only where Pillow was built with it.
"""

from __future__ import annotations

from base64 import b64decode

from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.formats import ImageFormat

_SAMPLES = {
    ImageFormat.HEIC: (
        b"AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAA"
        b"AAAAAAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAACYAAAAjaWluZgAAAAAAAQAAABVp"
        b"bmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAA"
        b"AAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAA"
        b"AwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNw"
        b"ZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAA"
        b"AAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAALm1kYXQAAAAiKAGvBBITTOD46cJoP9hl+B5V/u8n"
        b"7asr40mfd7EYkqn/oA=="
    ),
    ImageFormat.AVIF: (
        b"AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGlj"
        b"dAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAJgAAAChp"
        b"aW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAA"
        b"AAAAEAAAABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAABdpcG1h"
        b"AAAAAAAAAAEAAQQBAoMEAAAALm1kYXQSAAoJGAz/2iAhoNCAMhcex4eFWd///+LAAAB1fVm9zTNmzClL4A=="
    ),
}
"""16 x 16 red pixels each."""


def broken_codecs() -> dict[ImageFormat, str]:
    """Return the formats that cannot be decoded here, and why; blocks."""
    broken = {}
    for image_format, sample in _SAMPLES.items():
        try:
            decode(b64decode(sample), image_hash="", edge=16)
        except (UnreadablePhotoError, ImportError) as error:
            broken[image_format] = str(error)
    return broken
