"""Whatever a photo is, what comes out is upright, RGB, small, and tells nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.support import photos
from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging import pixels
from xintu_cli.imaging.decode import Decoded, decode
from xintu_cli.imaging.encode import size_within

# Pillow warns of damage, and the product ignores it; here a warning would be an error.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

QUARTERS = ("red", "green", "blue", "white")
Size = tuple[int, int]


def decoded(data: bytes, *, edge: int = 1024, **options: Any) -> Decoded:
    return decode(data, image_hash="0" * 32, edge=edge, **options)


def quartered(size: Size = (64, 48)) -> Image.Image:
    """Make a picture of four colours: upper left, upper right, lower left, lower right."""
    width, height = size
    picture = Image.new("RGB", size)
    for number, color in enumerate(QUARTERS):
        left, top = number % 2 * width // 2, number // 2 * height // 2
        picture.paste(color, (left, top, left + width // 2, top + height // 2))
    return picture


def quarters(picture: Image.Image) -> list[str]:
    """Name the colours of a picture's four quarters."""
    names = []
    for number in range(4):
        at = (
            picture.width * (1 + number % 2 * 2) // 4,
            picture.height * (1 + number // 2 * 2) // 4,
        )
        pixel = picture.getpixel(at)
        assert isinstance(pixel, tuple)
        red, green, blue = (channel > 100 for channel in pixel)
        by_bits = {
            (True, False, False): "red",
            (False, True, False): "green",
            (False, False, True): "blue",
            (True, True, True): "white",
        }
        names.append(by_bits[red, green, blue])
    return names


def turned(orientation: int, size: Size = (64, 48)) -> Image.Image:
    """Lay the picture as a camera does that is held so that the orientation mends it."""
    as_stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    picture = quartered(size).convert("RGB")
    return picture if as_stored is None else picture.transpose(as_stored)


# ---- which way is up ----


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pillow_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_comes_out_upright(pillow_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decoded(photos.encoded(turned(orientation), pillow_format, exif=exif))
    assert list(QUARTERS) == quarters(photo.image())
    assert photo.image().size == (64, 48)
    assert photo.facts[:2] == (64, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heics_own_rotation_is_applied_once(orientation: int) -> None:
    import pillow_heif

    stream = BytesIO()
    exif = photos.make_exif(orientation=orientation)
    pillow_heif.from_pillow(turned(orientation, (128, 96))).save(stream, exif=exif)
    photo = decoded(stream.getvalue())
    assert list(QUARTERS) == quarters(photo.image())
    assert photo.facts[:2] == (128, 96)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    data = photos.encoded(quartered(), "JPEG", exif=photos.make_exif(orientation=orientation))
    assert list(QUARTERS) == quarters(decoded(data).image())


def test_facts_are_the_upright_originals_even_where_less_was_decoded() -> None:
    exif = photos.make_exif(orientation=6, taken_at="2024:05:01 12:30:00", gps=True)
    photo = decoded(photos.make_jpeg(1, (800, 600), exif=exif), edge=100)
    assert photo.facts[:3] == (600, 800, "2024-05-01T12:30:00")
    assert photo.image().size == (75, 100)


@pytest.mark.parametrize("make", [photos.make_png, photos.make_webp, photos.make_tiff])
def test_the_camera_time_is_read_from_every_format(make: Any) -> None:
    exif = photos.make_exif(taken_at="2024:05:01 12:30:00")
    assert decoded(make(1, exif=exif)).facts.taken_at == "2024-05-01T12:30:00"


def test_the_camera_time_of_a_heic_is_read() -> None:
    exif = photos.make_exif(taken_at="2024:05:01 12:30:00")
    assert decoded(photos.make_heic(1, exif=exif)).facts.taken_at == "2024-05-01T12:30:00"


# ---- how large ----


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((100, 50), 1024, (100, 50)),
        ((1024, 10), 1024, (1024, 10)),
        ((2000, 1000), 1000, (1000, 500)),
        ((1000, 3000), 1000, (333, 1000)),
        ((30000, 2), 1024, (1024, 1)),
        ((1, 1), 1, (1, 1)),
    ],
)
def test_sizes_keep_their_proportion_and_a_pixel(size: Size, edge: int, expected: Size) -> None:
    assert expected == size_within(size, edge)


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((400, 300), 1024, (400, 300)),
        ((800, 600), 200, (200, 150)),
        ((800, 600), 150, (150, 112)),
        ((600, 800), 150, (112, 150)),
        # A scale of the JPEG's own that is near enough is taken as it is.
        ((800, 600), 103, (100, 75)),
        ((806, 604), 103, (101, 76)),
        ((800, 600), 104, (104, 78)),
        ((3000, 2), 100, (100, 1)),
    ],
)
def test_a_jpeg_is_decoded_no_larger_than_wanted(size: Size, edge: int, expected: Size) -> None:
    photo = decoded(photos.make_jpeg(1, size), edge=edge)
    assert expected == photo.image().size
    assert size == photo.facts[:2]


@pytest.mark.parametrize("make", [photos.make_png, photos.make_webp, photos.make_gif])
def test_other_formats_are_shrunk_to_the_edge(make: Any) -> None:
    photo = decoded(make(1, (210, 150)), edge=70)
    assert photo.image().size == (70, 50)
    assert photo.facts[:2] == (210, 150)


def test_a_phones_embedded_thumbnail_serves_where_it_is_large_enough() -> None:
    data = photos.make_heic(1, (512, 384), thumbnails=[256])
    assert decoded(data, edge=128).image().size == (128, 96)
    assert decoded(data, edge=400).image().size == (400, 300)


def test_too_many_pixels_are_refused_before_any_is_decoded() -> None:
    data = photos.make_png(1, (40, 30))
    with pytest.raises(UnreadablePhotoError, match=r"^too large \(40×30\)$"):
        decoded(data, pixel_limit=1199)
    assert decoded(data, pixel_limit=1200).facts[:2] == (40, 30)


def test_a_jpeg_that_is_shrunk_while_it_is_decoded_may_have_more_pixels() -> None:
    """Phones take 108 and 200 megapixels; shrunk band by band they cost less than 12 otherwise."""
    size = (200, 100)
    assert decoded(photos.make_jpeg(1, size), edge=20, pixel_limit=8000).facts[:2] == size
    for data, edge, limit in (
        (photos.make_jpeg(1, size), 20, 7999),
        (photos.make_jpeg(1, size), 200, 8000),
        (photos.make_jpeg(1, size, progressive=True), 20, 8000),
        (photos.make_png(1, size), 20, 8000),
    ):
        with pytest.raises(UnreadablePhotoError, match=r"^too large \(200×100\)$"):
            decoded(data, edge=edge, pixel_limit=limit)


# ---- every kind of pixel ----


def with_alpha(picture: Image.Image) -> Image.Image:
    """Make the left half transparent."""
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, picture.width // 2, picture.height))
    picture.putalpha(alpha)
    return picture


def palette_with_transparency() -> bytes:
    picture = Image.new("P", (64, 48), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(0, (0, 0, 32, 48))
    return photos.encoded(picture, "PNG", transparency=b"\0\xff")


GREY_16 = Image.frombytes("I;16", (64, 48), b"\x34\x12" * (32 * 48) + b"\xff\xff" * (32 * 48))
RAMP = Image.linear_gradient("L")

KINDS = {
    "RGB": photos.encoded(quartered(), "PNG"),
    "grey": photos.encoded(RAMP, "JPEG"),
    "CMYK": photos.encoded(quartered().convert("CMYK"), "JPEG"),
    "CMYK tiff": photos.encoded(quartered().convert("CMYK"), "TIFF"),
    "YCbCr tiff": photos.encoded(quartered().convert("YCbCr"), "TIFF"),
    "Lab tiff": photos.encoded(Image.new("LAB", (64, 48)), "TIFF"),
    "palette": photos.encoded(quartered().convert("P"), "PNG"),
    "palette with transparency": palette_with_transparency(),
    "palette gif": photos.make_gif(1, frames=3),
    "grey with alpha": photos.encoded(with_alpha(RAMP.copy()), "PNG"),
    "RGBA": photos.encoded(with_alpha(quartered()), "PNG"),
    "RGBA webp": photos.encoded(with_alpha(quartered()), "WEBP"),
    "one bit": photos.encoded(quartered().convert("1"), "PNG"),
    "fax": photos.encoded(quartered().convert("1"), "TIFF", compression="group4"),
    "16 bit": photos.encoded(GREY_16, "PNG"),
    "16 bit tiff": photos.encoded(GREY_16, "TIFF"),
    "16 bit big-endian tiff": photos.encoded(Image.new("I;16B", (64, 48), 999), "TIFF"),
    "32 bit": photos.encoded(Image.new("I", (64, 48), 70_000), "TIFF"),
    "float": photos.encoded(RAMP.convert("F"), "TIFF"),
    "float without a number": photos.encoded(Image.new("F", (64, 48), float("nan")), "TIFF"),
    "key colour": photos.encoded(quartered(), "PNG", transparency=(255, 0, 0)),
    "1 x 1": photos.make_png(1, (1, 1)),
    "a line": photos.make_png(1, (30000, 2)),
    "a column": photos.make_png(1, (1, 20000)),
    "bmp": photos.make_bmp(1),
    "avif": photos.make_avif(1),
    "heic": photos.make_heic(1),
    "mpo": photos.make_mpo(1),
}


@pytest.mark.parametrize("edge", [16, 1024])
@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_every_kind_of_pixel_becomes_rgb(data: bytes, edge: int) -> None:
    image = decoded(data, edge=edge).image()
    assert image.mode == "RGB"
    assert max(image.size) <= edge
    assert image.info == {}


@pytest.mark.parametrize("edge", [16, 1024])
@pytest.mark.parametrize(
    "kind", ["RGBA", "RGBA webp", "palette with transparency", "grey with alpha"]
)
def test_what_is_transparent_becomes_white(kind: str, edge: int) -> None:
    image = decoded(KINDS[kind], edge=edge).image()
    assert image.getpixel((image.width // 4, image.height // 2)) == (255, 255, 255)
    assert image.getpixel((image.width - 1, image.height // 4)) != (255, 255, 255)


@pytest.mark.parametrize("kind", ["16 bit", "16 bit tiff"])
def test_deep_greys_keep_their_proportion(kind: str) -> None:
    image = decoded(KINDS[kind]).image()
    assert image.getpixel((10, 10)) == (18, 18, 18)
    assert image.getpixel((10, 40)) == (255, 255, 255)


def test_floats_from_zero_to_one_are_a_picture_too() -> None:
    ramp = RAMP.convert("F").point(lambda value: value * (1 / 255))
    image = decoded(photos.encoded(ramp, "TIFF")).image()
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((0, 255)) == (255, 255, 255)


@pytest.mark.parametrize("band_pixels", [1, 1_000, 50_000])
def test_large_pictures_are_converted_in_bands_without_a_seam(
    monkeypatch: pytest.MonkeyPatch, band_pixels: int
) -> None:
    """With alpha a picture goes through in bands, without as a whole: both come out the same."""
    monkeypatch.setattr(pixels, "_BAND_PIXELS", band_pixels)
    plain = photos.make_picture(1, (400, 333))
    expected = decoded(photos.encoded(plain, "PNG"), edge=40).image()
    actual = decoded(photos.encoded(plain.convert("RGBA"), "PNG"), edge=40).image()
    assert expected.tobytes() == actual.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        photos.make_gif(7, frames=4),
        photos.encoded(
            photos.make_picture(7),
            "WEBP",
            save_all=True,
            append_images=[photos.make_picture(8)],
            lossless=True,
        ),
        photos.encoded(
            photos.make_picture(7), "PNG", save_all=True, append_images=[photos.make_picture(8)]
        ),
        photos.encoded(
            photos.make_picture(7), "TIFF", save_all=True, append_images=[photos.make_picture(8)]
        ),
    ],
    ids=["gif", "webp", "apng", "tiff"],
)
def test_of_an_animation_the_first_frame_counts(data: bytes) -> None:
    expected = photos.make_picture(7)
    actual = decoded(data).image()
    differences = (
        abs(one - other) for one, other in zip(expected.tobytes(), actual.tobytes(), strict=True)
    )
    assert max(differences) < 64  # a GIF has 256 colours; another frame differs by more


# ---- what is no photo ----


@pytest.mark.parametrize("percent", [5, 10, 30, 50, 70, 90, 99])
@pytest.mark.parametrize("make", [photos.make_jpeg, photos.make_webp, photos.make_avif])
def test_a_cut_photo_is_truncated(make: Callable[..., bytes], percent: int) -> None:
    data = make(1, (64, 64))
    with pytest.raises(UnreadablePhotoError, match=r"^truncated$"):
        decoded(data[: len(data) * percent // 100])


CUT = {
    "png": photos.make_png(1),
    "webp": photos.make_webp(1),
    "gif": photos.make_gif(1),
    "tiff": photos.make_tiff(1),
    "tiff lzw": photos.make_tiff(1, compression="tiff_lzw"),
    "bmp": photos.make_bmp(1),
    "heic": photos.make_heic(1),
    "avif": photos.make_avif(1),
}


@pytest.mark.parametrize("percent", [15, 50, 85])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_a_cut_file_is_refused_in_words(data: bytes, percent: int) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"^(truncated|damaged|cannot decode this) ?"):
        decoded(data[: len(data) * percent // 100])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", r"not a supported image \(looks like PostScript\)"),
        (b"\0" * 100, r"not a supported image \(looks like nothing but zeros\)"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=expected):
        decoded(data)


def test_endless_scans_are_refused() -> None:
    """Every scan of a progressive JPEG costs a pass over all pixels."""
    data = photos.make_jpeg(1, (1000, 1000), progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadablePhotoError, match="too many scans"):
        decoded(data[:-2] + last_scan * 2100 + b"\xff\xd9")
    assert decoded(data[:-2] + last_scan * 5 + b"\xff\xd9").facts[:2] == (1000, 1000)
