"""What a walk finds on real trees, and what it leaves out."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import tracemalloc
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from xintu_cli.errors import RootMissingError, StorageError, UsageError
from xintu_cli.records import Photo
from xintu_cli.stages.roots import absolute_roots, outermost
from xintu_cli.stages.walk import BATCH, SYSTEM_NAMES, WalkReport, WalkRules, walk_files


def found(*roots: Path | bytes, rules: WalkRules | None = None) -> list[bytes]:
    """Return the paths a walk finds, in its order."""
    report = WalkReport()
    paths = walked(*roots, rules=rules, report=report)
    assert report.complete
    assert report.found == len(paths)
    assert report.problems == []
    return paths


def walked(
    *roots: Path | bytes, rules: WalkRules | None = None, report: WalkReport | None = None
) -> list[bytes]:
    report = report or WalkReport()
    batches = walk_files([os.fsencode(root) for root in roots], rules or WalkRules(), report)
    return [photo.path for batch in batches for photo in batch]


def below(root: Path, paths: Sequence[bytes]) -> list[str]:
    """Return paths relative to a root, as text."""
    return [os.path.relpath(os.fsdecode(path), root) for path in paths]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


# ---- what is found ---------------------------------------------------------------------------


def test_every_file_is_found_depth_first_in_name_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.jpg", "b/1.jpg", "a/z/deep.jpg", "a/y.jpg", "top.jpg", "c.txt")
    assert below(tmp_path, found(tmp_path)) == [
        "c.txt",
        "top.jpg",
        "a/y.jpg",
        "a/z/deep.jpg",
        "b/1.jpg",
        "b/2.jpg",
    ]


def test_a_file_comes_with_its_stat(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    [[photo]] = walk_files([os.fsencode(tmp_path)], WalkRules(), WalkReport())
    status = path.stat()
    assert photo == Photo(
        os.fsencode(path), 5, 1_234_567_890_123_456_789, status.st_ctime_ns, status.st_ino
    )


def test_batches_are_full_but_for_the_last(tmp_path: Path) -> None:
    for number in range(BATCH + 3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    sizes = [len(b) for b in walk_files([os.fsencode(tmp_path)], WalkRules(), WalkReport())]
    assert sizes == [BATCH, 3]


def test_an_empty_root_is_found_empty(tmp_path: Path) -> None:
    report = WalkReport()
    assert walked(tmp_path, report=report) == []
    assert (report.complete, report.found_in) == (True, {os.fsencode(tmp_path): 0})


def test_nothing_but_regular_files_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    # A socket's address is short: bind it from inside.
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory() as short:
        server.bind(f"{short}/s.jpg")
        Path(short, "s.jpg").rename(tmp_path / "socket.jpg")
    for rules in (WalkRules(), WalkRules(follow_symlinks=True)):
        assert below(tmp_path, found(tmp_path, rules=rules)) == ["a.jpg"]


def test_a_device_is_not_a_photo(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "zero.jpg", 0o20644, os.makedev(1, 5))
    except PermissionError as error:
        pytest.skip(f"this machine does not let us make a device: {error}")
    assert found(tmp_path) == []


# ---- roots -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roots", [["."], [".", "a"], ["a", "."], ["a/b", "a", "."], [".", "."], ["a", "a/b", "c"]]
)
def test_overlapping_roots_find_each_file_once(tmp_path: Path, roots: list[str]) -> None:
    touch(tmp_path, "a/1.jpg", "a/b/2.jpg", "c/3.jpg")
    paths = found(*absolute_roots([tmp_path / root for root in roots]))
    assert sorted(below(tmp_path, paths)) == ["a/1.jpg", "a/b/2.jpg", "c/3.jpg"]


@pytest.mark.parametrize(
    ("roots", "shared"),
    [
        (["photos", "link"], ["link"]),
        (["link", "photos"], ["photos"]),
        (["photos", "photos/a"], ["photos/a"]),
        (["photos/a", "photos"], ["photos"]),
        (["photos/a/1.jpg", "photos"], ["photos"]),
        (["photos/a/1.jpg", "link"], ["link"]),
        (["photos/a/1.jpg", "link/a/1.jpg"], []),
        (["photos"], []),
        (["empty", "photos"], []),
    ],
)
def test_a_root_that_another_one_has_emptied_is_not_taken_for_an_empty_one(
    tmp_path: Path, roots: list[str], shared: list[str]
) -> None:
    touch(tmp_path / "photos", "a/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    report = WalkReport()
    assert len(walked(*absolute_roots([tmp_path / r for r in roots]), report=report)) == 1
    assert report.shared == {os.fsencode(tmp_path / root) for root in shared}


def test_a_file_named_as_a_root_comes_first_and_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.jpg")
    roots = absolute_roots([tmp_path, tmp_path / "a/2.jpg", tmp_path / "a/2.jpg"])
    assert below(tmp_path, found(*roots)) == ["a/2.jpg", "a/1.jpg"]


def test_a_file_named_as_a_root_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.jpg")
    rules = WalkRules(exclude=("*.jpg",))
    assert len(found(tmp_path / ".hidden.jpg", rules=rules)) == 1


def test_a_root_that_is_a_hidden_directory_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, ".photos/1.jpg", ".photos/.more/2.jpg")
    assert below(tmp_path, found(tmp_path / ".photos")) == [".photos/1.jpg"]


def test_a_root_that_is_a_link_to_a_directory_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.jpg")
    (tmp_path / "link").symlink_to("real")
    [root] = absolute_roots([tmp_path / "link"])
    assert below(tmp_path, found(root)) == ["link/1.jpg"]


def test_a_root_that_is_a_link_to_a_file_stands_for_the_file(tmp_path: Path) -> None:
    """Else it would be found, and then not be opened: links are not followed."""
    touch(tmp_path, "real.jpg")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    roots = absolute_roots([tmp_path / "link.jpg", tmp_path / "real.jpg"])
    assert roots == (os.fsencode(tmp_path / "real.jpg"),)


def test_the_same_directory_under_two_names_is_walked_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.jpg")
    (tmp_path / "link").symlink_to("real")
    roots = absolute_roots([tmp_path / "real", tmp_path / "link"])
    assert below(tmp_path, found(*roots)) == ["real/1.jpg"]


@pytest.mark.parametrize("name", ["none", "a.jpg/none", "none/none"])
def test_a_root_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(RootMissingError) as caught:
        absolute_roots([tmp_path, tmp_path / name])
    assert str(caught.value) == (
        f"there is no file or directory {tmp_path / name}. Check the path; is the disk mounted?"
    )


def test_a_root_that_is_neither_file_nor_directory_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="fifo is neither a directory nor a file"):
        absolute_roots([tmp_path / "fifo"])


def test_a_root_that_leads_to_itself_is_an_error_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match="Too many levels of symbolic links"):
        absolute_roots([tmp_path / "loop"])


def test_a_name_that_begins_with_a_tilde_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "~of-nobody/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert absolute_roots([Path("~of-nobody")]) == (os.fsencode(tmp_path / "~of-nobody"),)


def test_a_relative_root_of_a_directory_that_was_removed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RootMissingError):
        absolute_roots([Path()])


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        ([b"/a", b"/a/b", b"/ab"], (b"/a", b"/ab")),
        ([b"/a/b", b"/a"], (b"/a",)),
        ([b"/", b"/a"], (b"/",)),
        ([b"/a"], (b"/a",)),
        ([], ()),
    ],
)
def test_the_outermost_roots_lie_in_no_other(
    roots: list[bytes], expected: tuple[bytes, ...]
) -> None:
    assert outermost(roots) == expected


def test_thousands_of_named_files_are_not_compared_with_each_other() -> None:
    """Each with each would be two and a half thousand million comparisons: minutes."""
    files = [b"/photos/%d.jpg" % number for number in range(50_000)]
    assert outermost([*files, b"/photos/1.jpg/within"]) == tuple(files)


# ---- what is left out ------------------------------------------------------------------------


def test_hidden_and_system_folders_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".hidden.jpg", ".thumbnails/t.jpg", ".git/x", "b/.cache/c.jpg")
    for name in SYSTEM_NAMES:
        touch(tmp_path, f"b/{os.fsdecode(name)}/s.jpg")
    assert below(tmp_path, found(tmp_path)) == ["a.jpg"]
    assert len(found(tmp_path, rules=WalkRules(hidden=True))) == 5 + len(SYSTEM_NAMES)


def test_names_that_only_look_like_system_folders_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "@eaDirs/1.jpg", "recycle/2.jpg", "..jpg/3.jpg", "a.git/4.jpg")
    assert below(tmp_path, found(tmp_path)) == ["@eaDirs/1.jpg", "a.git/4.jpg", "recycle/2.jpg"]


def test_the_programs_own_state_and_outputs_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "state/cache.db", "state/models/a.jpg", "labels.csv", "sub/labels.csv", "a.jpg")
    own = (os.fsencode(tmp_path / "state"), os.fsencode(tmp_path / "labels.csv"))
    for hidden in (False, True):
        rules = WalkRules(own_paths=own, hidden=hidden)
        assert below(tmp_path, found(tmp_path, rules=rules)) == ["a.jpg", "sub/labels.csv"]


def test_the_programs_own_state_is_left_out_by_any_name_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "photos/state/a.jpg", "photos/b.jpg")
    (tmp_path / "alias").symlink_to("photos")
    rules = WalkRules(own_paths=(os.fsencode(tmp_path / "photos/state"),))
    assert below(tmp_path, found(tmp_path / "alias", rules=rules)) == ["alias/b.jpg"]


def test_photos_beside_the_state_are_found_where_the_state_itself_is_the_root(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.jpg")
    rules = WalkRules(own_paths=(os.fsencode(tmp_path),))
    assert below(tmp_path, found(tmp_path, rules=rules)) == ["a.jpg"]


# ---- globs: gitignore's --------------------------------------------------------------------

TREE = ("a.jpg", "b.png", "raw/c.jpg", "x/raw/d.jpg", "x/e.jpg", "x/y/f.JPG", "x/keep.png")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), TREE),
        (("*.jpg",), (), ("a.jpg", "raw/c.jpg", "x/raw/d.jpg", "x/e.jpg")),
        (("*.jpg", "*.JPG"), ("raw/",), ("a.jpg", "x/e.jpg", "x/y/f.JPG")),
        (("*.[jJ][pP][gG]",), ("/raw/",), ("a.jpg", "x/raw/d.jpg", "x/e.jpg", "x/y/f.JPG")),
        (("/x/",), (), ("x/raw/d.jpg", "x/e.jpg", "x/y/f.JPG", "x/keep.png")),
        (("/*.jpg",), (), ("a.jpg",)),
        (("x/**/*.jpg",), (), ("x/raw/d.jpg", "x/e.jpg")),
        ((), ("*.png", "!keep.png"), tuple(n for n in TREE if n != "b.png")),
        ((), ("x",), ("a.jpg", "b.png", "raw/c.jpg")),
        ((), ("# a comment", ""), TREE),
        (("none*",), (), ()),
        ((), ("*",), ()),
    ],
)
def test_globs_are_gitignore_patterns_relative_to_their_root(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    touch(tmp_path, *TREE)
    rules = WalkRules(include=include, exclude=exclude)
    assert sorted(below(tmp_path, found(tmp_path, rules=rules))) == sorted(expected)


def test_an_excluded_directory_is_not_entered(tmp_path: Path) -> None:
    """Git does the same: nothing below an excluded directory can be included again."""
    touch(tmp_path, "raw/keep.jpg", "a.jpg")
    rules = WalkRules(exclude=("raw/", "!raw/keep.jpg"))
    assert below(tmp_path, found(tmp_path, rules=rules)) == ["a.jpg"]


def test_globs_match_names_that_are_not_utf8(tmp_path: Path) -> None:
    for name in (b"\xff.jpg", b"\xff.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    paths = found(tmp_path, rules=WalkRules(include=("*.jpg",)))
    assert [path.rpartition(b"/")[2] for path in paths] == [b"\xff.jpg"]


@pytest.mark.parametrize("pattern", ["!", "/", "a[z-a]"])
def test_a_pattern_that_is_none_is_harmless_or_refused(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "a.jpg")
    try:
        assert below(tmp_path, found(tmp_path, rules=WalkRules(exclude=(pattern,)))) == ["a.jpg"]
    except UsageError as error:
        assert str(error).startswith(f"cannot read the patterns {pattern}: ")  # noqa: PT017


# ---- links -----------------------------------------------------------------------------------

FOLLOW = WalkRules(follow_symlinks=True)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a root with links to inside, outside, its parents and themselves."""
    root = touch(tmp_path / "root", "a/1.jpg", "2.jpg")
    touch(tmp_path / "outside", "3.jpg", "sub/4.jpg")
    touch(tmp_path, "5.jpg", "6.jpg")
    links = {
        "a/up": "..",
        "self": "self",
        "ping": "pong",
        "pong": "ping",
        "inside.jpg": "a/1.jpg",
        "a/again": "../a",
        "escape": "../outside",
        "escape-twice": "../outside",
        "five.jpg": "../5.jpg",
        "five-too.jpg": "../5.jpg",
        "three.jpg": "../outside/3.jpg",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


def test_links_are_not_followed_unless_asked(linked: Path) -> None:
    assert below(linked, found(linked)) == ["2.jpg", "a/1.jpg"]


def test_followed_links_end_and_find_each_file_once(linked: Path) -> None:
    """By its own name where the walk comes there without a link, else by one of the links."""
    assert sorted(below(linked, found(linked, rules=FOLLOW))) == [
        "2.jpg",
        "a/1.jpg",
        "escape/3.jpg",
        "escape/sub/4.jpg",
        "five-too.jpg",
    ]


def test_a_link_into_another_root_finds_nothing_twice(linked: Path) -> None:
    roots = (linked, linked.parent / "outside", linked.parent / "5.jpg")
    for ordered in (roots, roots[::-1]):
        assert sorted(below(linked, found(*ordered, rules=FOLLOW))) == [
            "../5.jpg",
            "../outside/3.jpg",
            "../outside/sub/4.jpg",
            "2.jpg",
            "a/1.jpg",
        ]


def test_a_link_is_judged_by_its_own_name(linked: Path) -> None:
    (linked / ".hidden").symlink_to("../outside")
    rules = WalkRules(follow_symlinks=True, exclude=("escape*", "five*", "three*"))
    assert below(linked, found(linked, rules=rules)) == ["2.jpg", "a/1.jpg"]


def test_a_link_into_the_state_finds_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "root/a.jpg", "state/models/m.jpg")
    (tmp_path / "root/link").symlink_to("../state")
    (tmp_path / "root/m.jpg").symlink_to("../state/models/../models/m.jpg")
    (tmp_path / "root/n.jpg").symlink_to("../state/n.jpg")
    touch(tmp_path, "state/n.jpg")
    rules = WalkRules(follow_symlinks=True, own_paths=(os.fsencode(tmp_path / "state"),))
    names = below(tmp_path / "root", found(tmp_path / "root", rules=rules))
    assert "n.jpg" not in names
    assert "link/n.jpg" not in names


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    assert below(tmp_path, found(tmp_path)) == ["a.jpg", "b.jpg"]


# ---- names -----------------------------------------------------------------------------------

ODD_NAMES = [
    b"\xff\xfe\x80.jpg",
    b"caf\xe9.jpg",
    b"new\nline.jpg",
    b"tab\t\x1b[31m.jpg",
    b" leading and trailing .jpg ",
    b"-o.jpg",
    b"[red]%s{0}.jpg",
    b"=cmd()|'x'!A1.jpg",
    "照片.jpg".encode(),
    b"n" * 251 + b".jpg",
    "\u202egpj.exe.jpg".encode(),
    unicodedata.normalize("NFC", "é.jpg").encode(),
    unicodedata.normalize("NFD", "é.jpg").encode(),
    b"case.jpg",
    b"CASE.jpg",
]


def test_every_name_a_file_may_have_is_found_as_it_is(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    for name in ODD_NAMES:
        with open(os.path.join(root, name), "wb"):  # noqa: PTH118, PTH123 - Path knows no bytes
            pass
    assert found(tmp_path) == sorted(os.path.join(root, name) for name in ODD_NAMES)  # noqa: PTH118


def test_two_hundred_directories_deep(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 200)
    deepest.mkdir(parents=True)
    touch(deepest, "a.jpg")
    assert found(tmp_path) == [os.fsencode(deepest / "a.jpg")]


def test_a_path_longer_than_the_kernel_takes_is_a_problem_and_its_siblings_go_on(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "z/a.jpg")
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        # 20 names of 250 bytes: 5 kB, where a path may have 4 kB.
        for _ in range(20):
            os.mkdir("n" * 250, dir_fd=here)
            inner = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    try:
        report = WalkReport()
        assert below(tmp_path, walked(tmp_path, report=report)) == ["z/a.jpg"]
        [(_, reason)] = report.problems
        assert reason == "cannot read the directory: File name too long"
    finally:
        subprocess.run(["rm", "-rf", tmp_path / ("n" * 250)], check=True)


# ---- trouble ---------------------------------------------------------------------------------

WALK_AS_NOBODY = """
import os, sys
from xintu_cli.stages.walk import WalkReport, WalkRules, walk_files
report = WalkReport()
for batch in walk_files([os.fsencode(sys.argv[1])], WalkRules(), report):
    for photo in batch:
        print(os.path.basename(os.fsdecode(photo.path)))
for path, reason in report.problems:
    print(os.path.basename(os.fsdecode(path)) + ": " + reason)
print(report.unreadable, report.complete)
"""


def test_an_unreadable_directory_is_named_and_its_siblings_go_on(
    tmp_path: Path, bound_by_modes: list[str]
) -> None:
    touch(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        done = subprocess.run(
            [*bound_by_modes, sys.executable, "-c", WALK_AS_NOBODY, tmp_path],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert done.stdout.splitlines() == [
        "1.jpg",
        "3.jpg",
        "locked: cannot read the directory: Permission denied",
        "1 True",
    ]


def test_a_root_that_cannot_be_read_ends_the_walk(
    tmp_path: Path, bound_by_modes: list[str]
) -> None:
    touch(tmp_path, "locked/2.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        done = subprocess.run(
            [*bound_by_modes, sys.executable, "-c", WALK_AS_NOBODY, tmp_path / "locked"],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert f"StorageError: cannot read '{tmp_path / 'locked'}': Permission denied" in done.stderr


def test_a_directory_that_vanishes_in_mid_walk_is_no_problem(tmp_path: Path) -> None:
    for number in range(BATCH):
        touch(tmp_path, f"a/{number}.jpg")
    touch(tmp_path, "b/1.jpg", "c/2.jpg")
    report = WalkReport()
    batches = walk_files([os.fsencode(tmp_path)], WalkRules(), report)
    assert len(next(batches)) == BATCH
    (tmp_path / "b/1.jpg").unlink()
    (tmp_path / "b").rmdir()
    assert below(tmp_path, [photo.path for batch in batches for photo in batch]) == ["c/2.jpg"]
    assert (report.complete, report.unreadable, report.problems) == (True, 0, [])


def begin(root: Path) -> tuple[Iterator[list[Photo]], WalkReport]:
    """Walk the first batch of a root that has two or, on a slow machine, more."""
    for number in range(BATCH + 1):
        touch(root, f"a/{number}.jpg")
    report = WalkReport()
    batches = walk_files([os.fsencode(root)], WalkRules(), report)
    assert 0 < len(next(batches)) <= BATCH
    return batches, report


def test_a_root_that_vanishes_in_mid_walk_is_lost_not_empty(tmp_path: Path) -> None:
    batches, report = begin(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "unplugged")
    with pytest.raises(StorageError) as caught:
        list(batches)
    assert str(caught.value) == (
        f"cannot read '{tmp_path / 'root'}': it went away, or another disk took its place. "
        "What was done is kept; run it again when the disk is back."
    )
    assert not report.complete


def test_a_root_that_leaves_an_empty_mount_point_is_lost_too(tmp_path: Path) -> None:
    batches, report = begin(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "unplugged")
    (tmp_path / "root").mkdir()
    with pytest.raises(StorageError, match="another disk took its place"):
        list(batches)
    assert not report.complete


def test_a_root_that_vanishes_before_the_walk_begins_is_lost(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=os.strerror(errno.ENOENT)):
        walked(tmp_path / "gone")


# ---- size ------------------------------------------------------------------------------------


def test_a_directory_of_many_files_is_walked_in_flat_memory(tmp_path: Path) -> None:
    """Eight batches are sorted at a time, however many there are."""
    first = tmp_path / "0.jpg"
    first.write_bytes(b"")
    directory = os.open(tmp_path, os.O_RDONLY)
    for number in range(1, 50_000):
        os.close(os.open(f"{number}.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    batches = walk_files([os.fsencode(tmp_path)], WalkRules(), WalkReport())
    tracemalloc.start()
    try:
        count = sum(len(batch) for batch in islice(batches, 20))
        early = tracemalloc.get_traced_memory()[1]
        count += sum(map(len, batches))
        late = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert late < 1.2 * early
    assert late < 10_000_000
