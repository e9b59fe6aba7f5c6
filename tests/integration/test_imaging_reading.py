"""A file is read whole and unchanged, or not at all; whatever the file system does meanwhile."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import photos
from xintu_cli.errors import ChangedPhotoError, UnreadablePhotoError, VanishedPhotoError
from xintu_cli.imaging import reading
from xintu_cli.imaging.reading import FileBytes, read_photo
from xintu_cli.records import Photo

LIMIT = 1_000_000
JPEG = photos.make_jpeg(1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "照片.jpg"
    path.write_bytes(JPEG)
    return path


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once."""
    monkeypatch.setattr(reading, "_PAUSES_SECONDS", (0.0, 0.0))


def read(path: Path, **options: Any) -> FileBytes | None:
    return read_photo(os.fsencode(path), **{"size_limit_bytes": LIMIT, **options})


def test_bytes_and_stat_belong_together(photo: Path) -> None:
    found = os.lstat(photo)
    expected = Photo(
        os.fsencode(photo), len(JPEG), found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    )
    assert read(photo) == FileBytes(expected, JPEG)


# ---- what is a photo ----


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.png", "a", "a.backup", b"\xff\xfe.jpg"])
def test_an_image_is_a_photo_whatever_its_name(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(JPEG)
    file = read(path)
    assert file is not None
    assert file.data == JPEG


@pytest.mark.parametrize("content", [b"", b"x", b"Dear diary", b"\0" * 100_000])
def test_neither_name_nor_content_of_an_image_is_no_photo(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert read(path) is None


def test_a_cameras_raw_file_is_no_photo(tmp_path: Path) -> None:
    path = tmp_path / "DSC_0001.NEF"
    path.write_bytes(photos.make_tiff(1))
    assert read(path) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"\xff", "not a supported image"),
        (b"\0" * 5_000, "not a supported image (looks like nothing but zeros)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a supported image (looks like PostScript)"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "not a supported image (looks like a Git LFS pointer)",
        ),
    ],
)
def test_an_image_suffix_on_other_content_is_a_failure(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadablePhotoError) as caught:
        read(path)
    assert reason == str(caught.value)
    assert caught.value.lasting


# ---- how much is read ----


def bytes_read_so_far() -> int:
    counters = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in counters)["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux counts what is read")
@pytest.mark.parametrize("name", ["sparse.jpg", "sparse"])
def test_of_a_file_over_the_limit_nothing_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(JPEG)
    os.truncate(path, 8 * 1024**3)
    before = bytes_read_so_far()
    with pytest.raises(UnreadablePhotoError, match="larger than the limit of 1 MB") as caught:
        read(path)
    assert bytes_read_so_far() - before < 20_000
    assert not caught.value.lasting


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux counts what is read")
def test_of_a_video_only_the_head_is_read(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(8 * 1024**2))
    before = bytes_read_so_far()
    assert read(path, size_limit_bytes=16 * 1024**2) is None
    assert bytes_read_so_far() - before < 20_000


def test_the_limit_itself_is_within_the_limit(photo: Path) -> None:
    assert read(photo, size_limit_bytes=len(JPEG)) is not None
    with pytest.raises(UnreadablePhotoError):
        read(photo, size_limit_bytes=len(JPEG) - 1)


# ---- what is there instead ----


def test_a_file_that_is_gone_has_vanished(tmp_path: Path) -> None:
    with pytest.raises(VanishedPhotoError):
        read(tmp_path / "gone.jpg")
    with pytest.raises(VanishedPhotoError):
        read(tmp_path / "gone" / "a.jpg")


@pytest.mark.parametrize("name", ["fifo.jpg", "fifo"])
def test_a_fifo_in_its_place_does_not_hang(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(VanishedPhotoError, match="no regular file any more"):
        read(path)


def test_a_directory_in_its_place_has_no_bytes(tmp_path: Path) -> None:
    with pytest.raises(VanishedPhotoError):
        read(tmp_path)


def test_a_symlink_is_followed_only_when_asked(tmp_path: Path, photo: Path) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    with pytest.raises(VanishedPhotoError):
        read(link)
    followed = read(link, follow_symlinks=True)
    assert followed is not None
    assert followed.data == JPEG


def test_a_link_to_a_device_gives_nothing_even_when_followed(tmp_path: Path) -> None:
    link = tmp_path / "zero.jpg"
    link.symlink_to("/dev/zero")
    with pytest.raises(VanishedPhotoError):
        read(link, follow_symlinks=True)


# ---- what changes meanwhile ----


def test_a_rewrite_that_hides_behind_size_and_mtime_shows_in_the_stat(photo: Path) -> None:
    before = read(photo)
    assert before is not None
    photo.write_bytes(photos.make_jpeg(1, comment=b"")[: len(JPEG)].ljust(len(JPEG), b"\0"))
    os.utime(photo, ns=(before.photo.mtime_ns, before.photo.mtime_ns))
    after = read(photo)
    assert after is not None
    assert (before.photo.size_bytes, before.photo.mtime_ns) == after.photo[1:3]
    assert before.photo != after.photo


@pytest.mark.parametrize("growth", [b"more", b"m" * 100_000])
@pytest.mark.usefixtures("without_pauses")
def test_a_file_that_grows_at_every_try_is_changed(
    photo: Path, monkeypatch: pytest.MonkeyPatch, growth: bytes
) -> None:
    real_read, tries = os.read, []

    def read_while_growing(descriptor: int, length: int) -> bytes:
        tries.append(length)
        with photo.open("ab") as file:
            file.write(growth)
        return real_read(descriptor, length)

    monkeypatch.setattr(os, "read", read_while_growing)
    with pytest.raises(ChangedPhotoError, match="changed while reading"):
        read(photo, size_limit_bytes=10**9)
    assert len(tries) == 3


@pytest.mark.usefixtures("without_pauses")
def test_a_file_that_is_rewritten_once_is_read_again(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same size: only the times tell."""
    real_read, other = os.read, photos.make_jpeg(2)[: len(JPEG)].ljust(len(JPEG), b"\0")

    def read_and_rewrite(descriptor: int, length: int) -> bytes:
        content = real_read(descriptor, length)
        monkeypatch.setattr(os, "read", real_read)
        photo.write_bytes(other)
        return content

    monkeypatch.setattr(os, "read", read_and_rewrite)
    file = read(photo)
    assert file is not None
    assert file.data == other


@pytest.mark.usefixtures("without_pauses")
def test_a_read_may_come_in_pieces(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_read = os.read
    monkeypatch.setattr(
        os, "read", lambda descriptor, length: real_read(descriptor, min(length, 100))
    )
    file = read(photo)
    assert file is not None
    assert file.data == JPEG


# ---- what the kernel says, injected for real ----

ONE_READ = """
import json, sys
from xintu_cli.errors import PhotoError
from xintu_cli.imaging.reading import read_photo
try:
    file = read_photo(sys.argv[1].encode(), size_limit_bytes=1_000_000)
    said = {"bytes": len(file.data)}
except PhotoError as error:
    said = {"kind": type(error).__name__, "reason": str(error)}
    said |= {name: getattr(error, name, None) for name in ("lasting", "root_gone")}
print(json.dumps(said))
"""


def told_by(wrapper: list[str], path: Path) -> tuple[dict[str, Any], str]:
    """Read `path` in a process of its own; return what came of it, and the wrapper's stderr."""
    command = [*wrapper, sys.executable, "-c", ONE_READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("injection", "expected"),
    [
        ("read:error=EIO:when=1", {"bytes": len(JPEG)}),
        ("read:error=EIO:when=1..2", {"bytes": len(JPEG)}),
        ("openat:error=ESTALE:when=1", {"bytes": len(JPEG)}),
        ("read:retval=0:when=1", {"bytes": len(JPEG)}),
        (
            "read:error=EIO",
            {
                "kind": "UnreadablePhotoError",
                "reason": "I/O error: Input/output error",
                "lasting": False,
                "root_gone": False,
            },
        ),
        (
            "read:retval=0",
            {
                "kind": "ChangedPhotoError",
                "reason": "changed while reading",
                "lasting": None,
                "root_gone": None,
            },
        ),
        *(
            (
                f"{call}:error={errno.errorcode[number]}",
                {
                    "kind": "UnreadablePhotoError",
                    "reason": f"I/O error: {os.strerror(number)}",
                    "lasting": False,
                    "root_gone": True,
                },
            )
            for call, number in (
                ("openat", errno.ESTALE),
                ("openat", errno.ENOTCONN),
                ("read", errno.ETIMEDOUT),
                ("read", errno.ENODEV),
            )
        ),
    ],
)
def test_what_a_disk_or_a_share_says_is_tried_again_and_then_told(
    strace: Callable[..., list[str]], photo: Path, injection: str, expected: dict[str, Any]
) -> None:
    call = injection.partition(":")[0]
    options = ["-P", str(photo), "-e", f"trace={call}", "-e", f"inject={injection}"]
    said, trace = told_by(strace(*options), photo)
    assert expected == said
    if "when" not in injection:
        # An end that comes too early is asked for twice before it is believed.
        times_a_try = 2 if "retval" in injection else 1
        assert trace.count("(INJECTED)") == 3 * times_a_try


def test_a_forbidden_file_is_told_as_such_and_tried_once(
    bound_by_modes: list[str], strace: Callable[..., list[str]], photo: Path
) -> None:
    photo.chmod(0)
    options = ["-P", str(photo), "-e", "trace=openat"]
    said, trace = told_by([*bound_by_modes, *strace(*options)], photo)
    assert said == {
        "kind": "UnreadablePhotoError",
        "reason": "permission denied",
        "lasting": False,
        "root_gone": False,
    }
    assert trace.count("EACCES") == 1
