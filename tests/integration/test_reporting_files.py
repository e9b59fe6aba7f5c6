"""Files that reporting writes are whole or as they were, and are read back exactly."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from xintu_cli.errors import OutputError, UsageError
from xintu_cli.records import RunSummary
from xintu_cli.reporting.export import ExportFormat, ExportRow, format_for, open_export
from xintu_cli.reporting.labels import LabelRow, read_labels_csv
from xintu_cli.reporting.outputs import Target, check_writable, open_output
from xintu_cli.reporting.summary import write_summary

COLUMNS = [
    "path", "image_hash", "category", "category_name", "confidence", "description",
    "second_category", "background_color", "source", "provisional", "provider", "model",
    "classified_at", "size_bytes", "width", "height", "taken_at",
]  # fmt: skip

ROW = ExportRow(
    path="/照片/1.jpg".encode(),
    image_hash="a" * 32,
    category="pets",
    category_name="宠物萌照",
    confidence=0.8999999761581421,
    description='=HYPERLINK("http://x","cat")\x1b[2J',
    second_category=None,
    background_color="blue",
    source="llm",
    provisional=False,
    provider="qwen",
    model="qwen-vl",
    classified_at=datetime(2026, 1, 2, 11, 4, 5, 678, tzinfo=timezone(timedelta(hours=8))),
    size_bytes=1234,
    width=4000,
    height=3000,
    taken_at="2025-12-31T23:59:58",
)
EMPTY = ROW._replace(
    path=b"/odd-\xff\n.jpg",
    category="",
    category_name="",
    confidence=None,
    description="",
    background_color=None,
    source="",
    provider="",
    model="",
    classified_at=None,
    width=None,
    height=None,
    taken_at=None,
)


def write_rows(target: Path, *rows: ExportRow) -> None:
    with open_export(target, format_for(target)) as export:
        for row in rows:
            export.write(row)


def write_text(target: Path, text: str = "new") -> None:
    with open_output(target) as output:
        output.write(text)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# ---- exports ---------------------------------------------------------------------------------


def test_a_csv_opens_in_excel_and_starts_no_formula(tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    write_rows(target, ROW, EMPTY)
    raw = target.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfpath,image_hash,")
    assert b"\x1b" not in raw
    header, first, second = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    assert header == COLUMNS
    assert first == [
        "/照片/1.jpg", "a" * 32, "pets", "宠物萌照", "0.9",
        "'=HYPERLINK(\"http://x\",\"cat\")\\x1b[2J", "", "blue", "llm", "false", "qwen", "qwen-vl",
        "2026-01-02T03:04:05Z", "1234", "4000", "3000", "2025-12-31T23:59:58",
    ]  # fmt: skip
    assert second == [
        "file:///odd-%FF%0A.jpg", "a" * 32, "", "", "", "", "", "", "", "false", "", "",
        "", "1234", "", "", "",
    ]  # fmt: skip
    assert raw.count(b"\r\n") == raw.count(b"\n") == 3


def test_json_and_json_lines_say_the_same_exactly(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.json", ROW, EMPTY)
    write_rows(tmp_path / "a.jsonl", ROW, EMPTY)
    rows = json.loads((tmp_path / "a.json").read_bytes())
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert list(rows[0]) == COLUMNS
    assert rows[0]["description"] == ROW.description
    assert rows[0]["classified_at"] == "2026-01-02T03:04:05Z"
    assert rows[0]["confidence"] == 0.9
    assert rows[0]["provisional"] is False
    assert (rows[1]["path"], rows[1]["category"]) == ("file:///odd-%FF%0A.jpg", "")
    assert (rows[1]["confidence"], rows[1]["width"]) == (None, None)
    assert b"\x1b" not in (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize(("name", "expected"), [("a.json", []), ("a.jsonl", None)])
def test_an_export_of_nothing_is_valid(tmp_path: Path, name: str, expected: object) -> None:
    write_rows(tmp_path / name)
    text = (tmp_path / name).read_text("utf-8")
    assert (json.loads(text) if text else None) == expected


def test_a_csv_of_nothing_has_its_header(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text("utf-8-sig").splitlines() == [",".join(COLUMNS)]


@pytest.mark.parametrize("format_", ExportFormat)
def test_memory_stays_flat(tmp_path: Path, format_: ExportFormat) -> None:
    target = tmp_path / f"many.{format_}"
    with open_export(target, format_) as export:
        export.write(ROW)
        tracemalloc.start()
        for _ in range(5000):
            export.write(ROW)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 200_000
    assert target.stat().st_size > 900_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("a.JSON", "json"), ("a.b.jsonl", "jsonl")],
)
def test_the_suffix_names_the_format(name: str, expected: str) -> None:
    assert format_for(Path(name)) == expected


@pytest.mark.parametrize("name", ["a.xlsx", "a", ".csv", "a.csv.gz"])
def test_any_other_suffix_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=r"none of \.csv, \.json, \.jsonl"):
        format_for(Path(name))


# ---- whole or as they were -------------------------------------------------------------------


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with open_output(target) as output:
        output.write("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")

    def fail() -> None:
        with open_output(target) as output:
            output.write("new" * 100_000)
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o666)])
def test_a_new_file_follows_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    target = tmp_path / "out.csv"
    with umask(mask):
        write_text(target)
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    target.chmod(0o640)
    with umask(0o000):
        write_text(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_the_longest_name_there_can_be_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".csv")
    write_text(target)
    assert target.read_text() == "new"


def a_directory(place: Path) -> Path:
    (place / "out.csv").mkdir()
    return place / "out.csv"


def a_link(place: Path) -> Path:
    (place / "real.csv").write_text("old")
    (place / "out.csv").symlink_to("real.csv")
    return place / "out.csv"


def a_dangling_link(place: Path) -> Path:
    (place / "out.csv").symlink_to("nowhere")
    return place / "out.csv"


def a_fifo(place: Path) -> Path:
    os.mkfifo(place / "out.csv")
    return place / "out.csv"


def a_missing_directory(place: Path) -> Path:
    return place / "missing" / "out.csv"


def a_file_as_directory(place: Path) -> Path:
    (place / "file").write_text("old")
    return place / "file" / "out.csv"


def too_long_a_name(place: Path) -> Path:
    return place / ("n" * 300)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (a_directory, "it is a directory"),
        (a_link, "it is a symbolic link"),
        (a_dangling_link, "it is a symbolic link"),
        (a_fifo, "it is not a regular file"),
        (a_missing_directory, "No such file or directory. Make its directory first"),
        (a_file_as_directory, "Not a directory"),
        (too_long_a_name, "File name too long"),
    ],
)
@pytest.mark.parametrize("act", [write_text, check_writable])
def test_what_cannot_be_written_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], Path], expected: str, act: Callable[[Path], None]
) -> None:
    target = make(tmp_path)
    before = names_in(tmp_path)
    with pytest.raises(OutputError, match=expected):
        act(target)
    assert names_in(tmp_path) == before
    for old in tmp_path.glob("*.csv"):
        assert not old.is_file() or old.read_text() == "old"


@pytest.mark.parametrize("act", [write_text, check_writable])
def test_a_device_by_name_is_refused_with_the_word_that_does_it(
    act: Callable[[Path], None],
) -> None:
    if not Path("/dev/stdout").is_symlink():
        pytest.skip("this system has no link /dev/stdout")
    with pytest.raises(OutputError, match=r"Use - for stdout\.$"):
        act(Path("/dev/stdout"))


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.csv")
    (tmp_path / "old.csv").write_text("old")
    check_writable(tmp_path / "old.csv")
    assert names_in(tmp_path) == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "old"


ATTEMPT = """
import sys
from pathlib import Path
from xintu_cli.errors import OutputError
from xintu_cli.reporting.outputs import check_writable, open_output
try:
    if sys.argv[2] == "check":
        check_writable(Path(sys.argv[1]))
    else:
        with open_output(Path(sys.argv[1])) as output:
            for _ in range(64):
                output.write("x" * 65536)
except OutputError as error:
    print(error)
"""


def attempt(target: Path, act: str, *wrapper: str) -> str:
    command = [*wrapper, sys.executable, "-c", ATTEMPT, str(target), act]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return ended.stdout


@pytest.mark.parametrize("act", ["check", "write"])
@pytest.mark.parametrize("protected", ["file", "directory"])
def test_what_is_write_protected_is_refused(
    tmp_path: Path, act: str, protected: str, bound_by_modes: list[str]
) -> None:
    target = tmp_path / "place" / "out.csv"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o444 if protected == "file" else 0o644)
    target.parent.chmod(0o755 if protected == "file" else 0o555)
    said = attempt(target, act, *bound_by_modes)
    target.parent.chmod(0o755)
    assert "Permission denied. Name a place that you may write to." in said
    assert target.read_text() == "old"
    assert names_in(target.parent) == ["out.csv"]


@pytest.mark.parametrize("act", ["check", "write"])
def test_a_read_only_file_system_is_refused(small_disk: Callable[..., Path], act: str) -> None:
    place = small_disk("256k", "ro")
    assert "Read-only file system" in attempt(place / "out.csv", act)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    small_disk: Callable[..., Path],
) -> None:
    target = small_disk("256k") / "out.csv"
    target.write_text("old")
    assert attempt(target, "write") == (
        f"cannot write {target}: {os.strerror(errno.ENOSPC)}. "
        "Free some space there, or name another place.\n"
    )
    assert target.read_text() == "old"
    assert names_in(target.parent) == ["out.csv"]


def test_a_closed_stdout_is_an_output_error() -> None:
    script = (
        "from xintu_cli.errors import OutputError\n"
        "from xintu_cli.reporting.outputs import check_writable\n"
        "import sys\n"
        "try: check_writable('-')\n"
        "except OutputError as error: sys.stderr.write(str(error))\n"
    )
    command = ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, script]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr == "cannot write to stdout: it is closed. Name a file with -o."


def test_stdout_gets_the_bytes_of_a_file_but_no_mark(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stdout: Target = "-"
    with open_export(stdout, ExportFormat.CSV) as export:
        export.write(ROW)
    write_rows(tmp_path / "a.csv", ROW)
    assert b"\xef\xbb\xbf" + capfdbinary.readouterr().out == (tmp_path / "a.csv").read_bytes()


# ---- the summary and the labels --------------------------------------------------------------


def test_a_summary_is_written_to_a_file_and_to_stdout(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    summary = RunSummary("r", "done", 3, 1, 0, 0, 0, 1, 0, 0, failures=((b"/\xff", "\ud83d"),))
    write_summary(summary, tmp_path / "s.json")
    write_summary(summary, "-")
    written = (tmp_path / "s.json").read_bytes()
    assert capfdbinary.readouterr().out == written
    assert json.loads(written)["failures"] == [{"path": "file:///%FF", "reason": "\ud83d"}]


def labels(target: Path) -> list[tuple[bytes, str]]:
    return [(row.path, row.category) for row in read_labels_csv(target)]


def test_an_export_is_read_back_as_labels(tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    paths = [
        b"/plain.jpg",
        "/照片.jpg".encode(),
        b"/\xff.jpg",
        b'/new\nline,comma;"quote".jpg',
        b"/esc\x1b.jpg",
        b"=relative.jpg",
    ]
    write_rows(target, *(ROW._replace(path=path) for path in paths), EMPTY)
    assert labels(target) == [(path, "pets") for path in paths]


@pytest.mark.parametrize(
    "content",
    [
        b"path,category\n/a.jpg,pets\n",
        b"\xef\xbb\xbfpath,category\r\n/a.jpg,pets\r\n",
        b"category;path\r\npets;/a.jpg\r\n",
        b"Path\tnote\tCategory\n/a.jpg\tx, y\tpets\n",
        b'"path","category"\n"/a.jpg"," pets "\n\n/b.jpg,\n,pets\nshort\n',
    ],
)
def test_labels_are_read_from_what_spreadsheets_save(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "labels.csv"
    target.write_bytes(content)
    assert labels(target) == [(b"/a.jpg", "pets")]


def test_a_label_knows_its_line(tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    target.write_text('path,category\n"/two\nlines.jpg",pets\n/b.jpg,foods\n')
    assert list(read_labels_csv(target)) == [
        LabelRow(b"/two\nlines.jpg", "pets", 3),
        LabelRow(b"/b.jpg", "foods", 4),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no column path and no column category"),
        (b"path;label\n/a.jpg;pets\n", "no column category"),
        ("path,category\n/照片,pets\n".encode("gbk"), "not UTF-8"),
        (b'path,category\n"/a.jpg,pets\n', "unexpected end of data"),
        (b"path,category\n" + b"x" * 200_000 + b",pets\n", "field larger than field limit"),
    ],
)
def test_a_file_that_is_no_label_table_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    target = tmp_path / "labels.csv"
    target.write_bytes(content)
    with pytest.raises(UsageError, match=expected):
        labels(target)


def test_a_label_table_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        labels(tmp_path / "labels.csv")
