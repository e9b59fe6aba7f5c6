"""The HTML report is one page that loads nothing, runs nothing and shows everything literally."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from xintu_cli.reporting.export import ExportRow
from xintu_cli.reporting.gallery import Gallery
from xintu_cli.reporting.run_facts import RunFacts
from xintu_cli.taxonomy import Category, Taxonomy

TAXONOMY = Taxonomy(
    "test",
    (
        Category("pets", "Pets & <b>co</b>", "宠物萌照", "d"),
        Category("foods", "Food", "美食记录", "d"),
    ),
    "foods",
)
HOSTILE = "</figcaption><script>alert(1)</script>\x1b[2J\u202e\"'&"


def row(path: bytes, category: str = "pets", **changes: object) -> ExportRow:
    plain = ExportRow(
        path=path,
        image_hash="a" * 32,
        category=category,
        category_name="",
        confidence=0.97 if category else None,
        description="",
        second_category=None,
        background_color=None,
        source="llm",
        provisional=False,
        provider="qwen",
        model="vl",
        classified_at=None,
        size_bytes=1,
        width=None,
        height=None,
        taken_at="2024-05-06T07:08:09",
    )
    return ExportRow(**{**plain._asdict(), **changes})


def page_of(tmp_path: Path, *rows: ExportRow, language: str = "en") -> str:
    gallery = Gallery(RunFacts((HOSTILE.encode(),), TAXONOMY, "sqlite:///c", language))
    for each in rows:
        gallery.add(each)
    gallery.write(tmp_path / "report.html", lambda path: b"JPEG:" + path[-5:])
    return (tmp_path / "report.html").read_text("utf-8")


class Elements(HTMLParser):
    """Every element and every link of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_a_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    hostile = row(b"/p/" + HOSTILE.encode() + b"\xff.jpg", description=HOSTILE)
    page = page_of(tmp_path, hostile, row(b"/b.jpg", "foods", taken_at="2023-01-01T00:00:00"))
    elements = Elements(page)
    assert elements.names <= {
        "html", "meta", "title", "style", "h1", "h2", "small", "p", "svg", "text", "rect", "div",
        "figure", "a", "img", "figcaption", "br",
    }  # fmt: skip
    assert {link.partition(":")[0] for link in elements.links} == {"file", "data"}
    assert "default-src 'none'" in page
    assert re.findall(r"[\x00-\x09\x0b-\x1f\u202e]", page) == []


def test_thumbnails_are_inside_the_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, row(b"/photos/1.jpg"))
    [encoded] = re.findall(r"data:image/jpeg;base64,([^\"]*)", page)
    assert b64decode(encoded) == b"JPEG:1.jpg"
    assert 'href="file:///photos/1.jpg"' in page


def test_a_category_shows_some_photos_and_says_how_many_it_has(tmp_path: Path) -> None:
    page = page_of(tmp_path, *(row(b"/%d.jpg" % n) for n in range(1500)), row(b"/x", ""))
    assert page.count("<figure>") == 61
    assert "and 1,440 more" in page
    assert "Pets &amp; &lt;b&gt;co&lt;/b&gt; <small>1,500</small>" in page
    assert "without an answer <small>1</small>" in page


def test_a_page_speaks_chinese(tmp_path: Path) -> None:
    page = page_of(tmp_path, row(b"/1.jpg"), language="zh")
    assert '<html lang="zh">' in page
    assert "宠物萌照 <small>1</small>" in page


@pytest.mark.parametrize("rows", [(), (row(b"/1.jpg", confidence=1.0, provisional=True),)])
def test_few_photos_make_a_page_too(tmp_path: Path, rows: tuple[ExportRow, ...]) -> None:
    assert page_of(tmp_path, *rows).endswith("</html>\n")
