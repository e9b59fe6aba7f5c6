"""Every odd file gets the verdict that is right for it, in words, and hurts nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import photos
from tests.support.odd_photos import (
    NOT_A_PHOTO,
    OddPhoto,
    make_flat_png,
    odd_photos,
    write_odd_photos,
)
from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.identity import image_hash
from xintu_cli.imaging.reading import read_photo

# Pillow warns of damage, and the product ignores it; here a warning would be an error.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

LIMIT = 64 * 1024**2
ODD = {odd.name: odd for odd in odd_photos()}


def verdict_on(path: Path) -> str:
    """Do to a file what a run does; return "" or the reason why it is no classified photo."""
    try:
        file = read_photo(os.fsencode(path), size_limit_bytes=LIMIT)
        if file is None:
            return NOT_A_PHOTO
        photo = decode(file.data, image_hash=image_hash(file.data), edge=512)
        assert photo.image().mode == "RGB"
        assert photo.jpeg(max_edge=512, max_bytes=1_000_000).startswith(b"\xff\xd8\xff")
    except UnreadablePhotoError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_file_gets_the_right_verdict(
    tmp_path: Path, odd: OddPhoto, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / odd.name
    path.write_bytes(odd.content)
    verdict = verdict_on(path)
    assert verdict.startswith(odd.reason)
    assert bool(verdict) == bool(odd.reason)
    assert verdict.isprintable()
    assert capfd.readouterr() == ("", "")


def test_no_two_odd_files_are_the_same_photo() -> None:
    filled = [odd.content for odd in ODD.values() if odd.content]
    assert len(filled) == len({image_hash(content) for content in filled})


def test_a_damaged_tiff_makes_no_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Libtiff writes to stderr by itself, into the progress display."""
    path = tmp_path / "damaged.tif"
    content = photos.make_tiff(1, (64, 64), compression="tiff_lzw")
    path.write_bytes(content[:-900] + bytes(300))
    assert verdict_on(path)
    assert capfd.readouterr() == ("", "")


def test_flipped_bits_never_crash_and_never_escape() -> None:
    """What still decodes is classified, what does not is refused: nothing else happens."""
    made = (
        photos.make_jpeg(1),
        photos.make_jpeg(1, progressive=True),
        photos.make_png(1),
        photos.make_webp(1),
        photos.make_gif(1),
        photos.make_tiff(1, compression="tiff_lzw"),
        photos.make_bmp(1),
        photos.make_heic(1),
        photos.make_avif(1),
    )
    outcomes = {"decoded": 0, "refused": 0}
    for content in made:
        for number in range(60):
            damaged = bytearray(content)
            damaged[(number * 7919) % len(damaged)] ^= 1 << number % 8
            try:
                decode(bytes(damaged), image_hash="", edge=32)
                outcomes["decoded"] += 1
            except UnreadablePhotoError:
                outcomes["refused"] += 1
    assert sum(outcomes.values()) == 60 * len(made)
    assert min(outcomes.values()) > 0


def test_threads_decode_what_one_thread_decodes(tmp_path: Path) -> None:
    """Large pictures among them, which take turns."""
    write_odd_photos(tmp_path)
    (tmp_path / "large.png").write_bytes(make_flat_png(7000, 7000))
    paths = [*sorted(tmp_path.iterdir()), tmp_path / "large.png"]
    with ThreadPoolExecutor(4) as threads:
        assert [verdict_on(path) for path in paths] == list(threads.map(verdict_on, paths))


WHOLE_FOLDER = """
import os, re, resource, sys
from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.decode import decode
from xintu_cli.imaging.reading import read_photo
for name in sorted(os.listdir(os.fsencode(sys.argv[1]))):
    try:
        file = read_photo(os.path.join(os.fsencode(sys.argv[1]), name), size_limit_bytes=1 << 28)
        if file is not None:
            decode(file.data, image_hash="", edge=1024)
    except UnreadablePhotoError:
        pass
if sys.platform == "linux":
    # ru_maxrss outlives exec: it would count what the test process had when it forked.
    with open("/proc/self/status") as status:
        print(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_the_whole_folder_executes_nothing_and_fits_into_memory(tmp_path: Path) -> None:
    """A PostScript file named .jpg makes a careless decoder run the first `gs` of the PATH."""
    odds = write_odd_photos(tmp_path / "photos")
    assert any(odd.content.startswith(b"%!PS") for odd in odds)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "djpeg", "xv", "open", "sh"):
        trap = programs / name
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n", encoding="ascii")
        trap.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_FOLDER, tmp_path / "photos"],
        env={"PATH": str(programs), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not (tmp_path / "executed").exists()
    assert done.stderr == ""
    peak = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert peak < 600_000_000


WITH_LITTLE_MEMORY = """
import os, resource, sys
from xintu_cli.errors import UnreadablePhotoError
from xintu_cli.imaging.decode import decode
content = open(sys.argv[1], "rb").read()
decode(open(sys.argv[2], "rb").read(), image_hash="", edge=64)
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * os.sysconf("SC_PAGE_SIZE") + 40_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    decode(content, image_hash="", edge=64)
except UnreadablePhotoError as error:
    print(error, error.lasting)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts and bounds address space")
def test_memory_runs_out_in_words(tmp_path: Path) -> None:
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    large.write_bytes(make_flat_png(9000, 9000))
    small.write_bytes(make_flat_png(90, 90))
    done = subprocess.run(
        [sys.executable, "-c", WITH_LITTLE_MEMORY, large, small],
        env={"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "not enough memory to decode it False\n"
