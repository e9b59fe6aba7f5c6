"""A metadata editor does not make a new photo; a picture editor does.

Real files under the real exiftool. Design, section 5: writing keywords, ratings or GPS into a
file with another program must not cost a new call.
"""

from __future__ import annotations

import subprocess
from io import BytesIO

import pytest
from PIL import Image

from tests.support import photos
from tests.support.machine import require_tool
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.identity import image_hash

SIZE = (64, 48)
PICTURE = photos.make_picture(1, SIZE)
FRAMES = [photos.make_picture(seed, SIZE) for seed in (2, 3)]
EXIF = photos.make_exif(orientation=1, taken_at="2024:05:01 12:30:00", gps=True)


def srgb_profile() -> bytes:
    from PIL.ImageCms import ImageCmsProfile, createProfile

    return ImageCmsProfile(createProfile("sRGB")).tobytes()


def transparent() -> Image.Image:
    picture = PICTURE.copy()
    picture.putalpha(Image.linear_gradient("L").resize(SIZE))
    return picture


def with_private_chunk(png: bytes) -> bytes:
    """Put a chunk that no program knows behind the header."""
    return png[:33] + b"\0\0\0\x04xiNt0123\xf5\x1e\x87\x59" + png[33:]


PHOTOS = {
    "plain.jpg": photos.make_jpeg(1, SIZE),
    "camera.jpg": photos.make_jpeg(1, SIZE, exif=EXIF, icc_profile=srgb_profile(), comment=b"x"),
    "progressive.jpg": photos.make_jpeg(1, SIZE, progressive=True, exif=EXIF),
    "restarts.jpg": photos.make_jpeg(1, SIZE, restart_marker_rows=1),
    "grey.jpg": photos.encoded(PICTURE.convert("L"), "JPEG"),
    "cmyk.jpg": photos.encoded(PICTURE.convert("CMYK"), "JPEG"),
    "two-eyes.jpg": photos.make_mpo(1, SIZE),
    "motion.jpg": photos.make_jpeg(1, SIZE, exif=EXIF) + b"\0\0\0\x18ftypmp42" + bytes(500),
    "plain.png": photos.make_png(1, SIZE),
    "camera.png": photos.make_png(1, SIZE, exif=EXIF, icc_profile=srgb_profile(), dpi=(72, 72)),
    "palette.png": photos.encoded(PICTURE.convert("P"), "PNG", transparency=3),
    "transparent.png": photos.encoded(transparent(), "PNG"),
    "private.png": with_private_chunk(photos.make_png(1, SIZE)),
    "animated.png": photos.encoded(PICTURE, "PNG", save_all=True, append_images=FRAMES),
    "many-chunks.png": photos.encoded(Image.effect_noise((400, 300), 90), "PNG"),
    "lossy.webp": photos.make_webp(1, SIZE),
    "lossless.webp": photos.make_webp(1, SIZE, lossless=True),
    "camera.webp": photos.make_webp(1, SIZE, exif=EXIF, icc_profile=srgb_profile()),
    "transparent.webp": photos.encoded(transparent(), "WEBP"),
    "animated.webp": photos.encoded(PICTURE, "WEBP", save_all=True, append_images=FRAMES),
}

EDITS = {
    "keywords": ["-keywords+=holiday", "-subject+=holiday"],
    "rating": ["-rating=4", "-ratingpercent=75"],
    "gps": [
        "-gpslatitude=39.9042",
        "-gpslatituderef=N",
        "-gpslongitude=116.4074",
        "-gpslongituderef=E",
    ],
    "comment": ["-comment=a word", "-usercomment=another"],
    "xmp of many segments": ["-xmp:description=" + "a long story, " * 6000],
    "names in Chinese": ["-xmp:title=夏天", "-artist=张三"],
    "time": ["-alldates=2020:01:01 00:00:00"],
    "orientation": ["-orientation#=6"],
    "colour profile": ["-icc_profile<=profile.icc"],
    "everything but the trailer removed": ["-all=", "--trailer:all"],
}


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], bytes]:
    """Run every edit over every photo; return the files it left, by edit and name."""
    exiftool = require_tool("exiftool", "libimage-exiftool-perl")
    home = tmp_path_factory.mktemp("exiftool")
    (home / "profile.icc").write_bytes(srgb_profile())
    after: dict[tuple[str, str], bytes] = {}
    for edit, arguments in EDITS.items():
        folder = home / edit
        folder.mkdir()
        for name, content in PHOTOS.items():
            (folder / name).write_bytes(content)
        command = [exiftool, "-q", "-m", "-overwrite_original", *arguments]
        files = [str(folder / name) for name in PHOTOS]
        subprocess.run([*command, *files], cwd=home, capture_output=True, check=False, timeout=60)
        for name in PHOTOS:
            after[edit, name] = (folder / name).read_bytes()
    return after


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_metadata_keeps_the_identity(
    edited: dict[tuple[str, str], bytes], edit: str, name: str
) -> None:
    assert image_hash(PHOTOS[name]) == image_hash(edited[edit, name])


def test_the_edits_were_made(edited: dict[tuple[str, str], bytes]) -> None:
    """Only where there is nothing to remove or to change, exiftool leaves the file alone."""
    untouched = [(edit, name) for (edit, name), after in edited.items() if after == PHOTOS[name]]
    assert {edit for edit, _ in untouched} <= {
        "colour profile",
        "everything but the trailer removed",
    }
    assert len(untouched) < len(PHOTOS)


def test_no_two_photos_have_one_identity() -> None:
    """But for a camera's JPEG and the plain one: they differ by metadata alone."""
    hashes = {name: image_hash(content) for name, content in PHOTOS.items()}
    assert hashes["plain.jpg"] == hashes["camera.jpg"]
    assert hashes["plain.png"] == hashes["camera.png"] == hashes["private.png"]
    assert hashes["lossy.webp"] == hashes["camera.webp"]
    assert len(set(hashes.values())) == len(PHOTOS) - 4


def pixel_flipped(picture: Image.Image) -> Image.Image:
    changed = picture.copy()
    changed.putpixel((5, 5), (255, 0, 255) if picture.getpixel((5, 5)) != (255, 0, 255) else 0)
    return changed


@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_an_edit_of_the_picture_makes_another_photo(pillow_format: str) -> None:
    options = {"lossless": True} if pillow_format == "WEBP" else {}
    original = photos.encoded(PICTURE, pillow_format, **options)
    edits = [
        pixel_flipped(PICTURE),
        PICTURE.crop((0, 0, 63, 48)),
        PICTURE.rotate(90, expand=True),
        PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    changed = [photos.encoded(picture, pillow_format, **options) for picture in edits]
    assert len({image_hash(content) for content in (original, *changed)}) == 5


@pytest.mark.parametrize("make", [photos.make_jpeg, photos.make_webp])
def test_a_reencoded_photo_is_another_one(make: type) -> None:
    original: bytes = make(1, SIZE, quality=90)
    with Image.open(BytesIO(original)) as picture:
        again = photos.encoded(picture, picture.format or "", quality=60)
    assert image_hash(original) != image_hash(again)


def test_one_identity_is_one_picture(edited: dict[tuple[str, str], bytes]) -> None:
    """What the edits left decodes to the same pixels, but for how the camera was held."""
    for (edit, name), after in edited.items():
        if edit != "orientation":
            before = decode(PHOTOS[name], image_hash="", edge=64).image()
            now = decode(after, image_hash="", edge=64).image()
            assert before.tobytes() == now.tobytes(), (edit, name)
