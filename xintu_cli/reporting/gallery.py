"""One self-contained HTML page about labelled photos: charts, and a gallery by category.

In: exported rows, and whatever makes a thumbnail. Out: a page that loads nothing and runs
nothing, with every name and every model's word escaped. Memory is bounded by the pictures
shown, not by the rows: a category shows some dozens of its photos and says how many it has.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from html import escape
from urllib.parse import quote_from_bytes

from xintu_cli.records import Source
from xintu_cli.reporting.charts import Datum, lying_bars, standing_bars
from xintu_cli.reporting.escape import display_text
from xintu_cli.reporting.export import ExportRow
from xintu_cli.reporting.outputs import Target, open_output
from xintu_cli.reporting.phrases import Phrase, Say, speaker
from xintu_cli.reporting.run_facts import RunFacts

Thumbnail = Callable[[bytes], bytes | None]
"""Path to a small JPEG; None where the file cannot be shown (any more). Blocks."""

# A thumbnail of 160 pixels takes 5 to 8 kB: the page stays below some 10 MB.
_MOST_PICTURES = 1200
_MOST_IN_CATEGORY = 60
_CONFIDENCE_STEPS = 10

_SOURCES = ((Source.MANUAL, Phrase.BY_HAND), (Source.LLM, Phrase.LLM), (Source.LOCAL, Phrase.LOCAL))

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --quiet: #777; --bar: #3b82a0; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --quiet: #999; --bar: #5aa9c7; --page: #16181a; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
.quiet, figcaption, h2 small { color: var(--quiet); font-weight: normal; }
svg { width: 100%; max-width: 640px; display: block; font-size: 13px; }
svg text { fill: var(--ink); } svg .label { text-anchor: end; }
svg .tick { text-anchor: middle; fill: var(--quiet); font-size: 11px; }
.bar { fill: var(--bar); }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 12px; }
figure { margin: 0; } figure a { display: block; height: 160px; }
figure img { width: 100%; height: 160px; object-fit: cover; border-radius: 4px; }
figcaption { font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
"""


class Gallery:
    """Collect rows, then write the page."""

    def __init__(self, facts: RunFacts) -> None:
        self._facts = facts
        self._say: Say = speaker(facts.language)
        shares = max(1, _MOST_PICTURES // len(facts.taxonomy.categories))
        self._most_shown = min(_MOST_IN_CATEGORY, shares)
        self._shown: defaultdict[str, list[ExportRow]] = defaultdict(list)
        self._categories: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._years: Counter[str] = Counter()
        self._confidences: Counter[int] = Counter()
        self._provisional = 0

    def add(self, row: ExportRow) -> None:
        """Count a row, and keep it if its category still has room for a picture."""
        self._categories[row.category] += 1
        if row.taken_at:
            self._years[row.taken_at[:4]] += 1
        if row.category:
            self._sources[row.source] += 1
            self._provisional += row.provisional
        if row.confidence is not None:
            step = int(row.confidence * _CONFIDENCE_STEPS)
            self._confidences[min(_CONFIDENCE_STEPS - 1, step)] += 1
        shown = self._shown[row.category]
        if len(shown) < self._most_shown:
            shown.append(row)

    @property
    def photos(self) -> int:
        """How many rows there were."""
        return self._categories.total()

    def pictured(self) -> list[bytes]:
        """List the paths that the page shows a picture of, in its order."""
        return [row.path for key in self._keys() for row in self._shown[key]]

    def write(self, target: Target, thumbnail: Thumbnail) -> None:
        """Write the page in one step, making thumbnails on the way; raise `OutputError`."""
        with open_output(target) as output:
            for part in self._page(thumbnail):
                output.write(part)

    def _page(self, thumbnail: Thumbnail) -> Iterator[str]:
        title = escape(", ".join(display_text(root) for root in self._facts.roots))
        photos = self._say(Phrase.PHOTOS, n=self._categories.total())
        yield (
            f'<!doctype html>\n<html lang="{"zh" if self._facts.language == "zh" else "en"}">\n'
            '<meta charset="utf-8">\n'
            # Nothing is loaded and nothing runs, whatever a name or a model managed to write.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "img-src data:; style-src 'unsafe-inline'\">\n"
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>xintu: {title}</title>\n<style>{_STYLE}</style>\n"
            f'<h1>{title}</h1>\n<p class="quiet">{escape(photos)}</p>\n'
        )
        yield from self._charts()
        for key in self._keys():
            yield from self._category(key, thumbnail)
        yield "</html>\n"

    def _keys(self) -> list[str]:
        """List the categories there are photos of, in the taxonomy's order, unlabelled last."""
        known = [category.key for category in self._facts.taxonomy.categories]
        others = sorted(self._categories.keys() - {*known, ""})
        return [key for key in (*known, *others, "") if self._categories[key]]

    def _charts(self) -> Iterator[str]:
        say = self._say
        yield self._chart(
            Phrase.CATEGORIES,
            lying_bars([Datum(self._name(key), self._categories[key]) for key in self._keys()]),
        )
        sources = [Datum(say(word), self._sources[source]) for source, word in _SOURCES]
        yield self._chart(Phrase.ANSWERS, lying_bars([datum for datum in sources if datum.photos]))
        if self._provisional:
            note = say(Phrase.PROVISIONAL_NOTE, n=self._provisional)
            yield f'<p class="quiet">{escape(note)}</p>\n'
        if self._confidences:
            steps = range(_CONFIDENCE_STEPS)
            yield self._chart(
                Phrase.CONFIDENCE,
                standing_bars([Datum(f"{n / 10:.1f}", self._confidences[n]) for n in steps]),
            )
        if len(self._years) > 1:
            years = [Datum(year, n) for year, n in sorted(self._years.items())]
            yield self._chart(Phrase.TAKEN, standing_bars(years))

    def _chart(self, phrase: Phrase, svg: str) -> str:
        return f"<h2>{escape(self._say(phrase))}</h2>\n{svg}\n"

    def _category(self, key: str, thumbnail: Thumbnail) -> Iterator[str]:
        count = self._categories[key]
        yield (
            f'<h2>{escape(self._name(key))} <small>{count:,}</small></h2>\n<div class="photos">\n'
        )
        for row in self._shown[key]:
            yield _figure(row, thumbnail(row.path))
        yield "</div>\n"
        if (more := count - len(self._shown[key])) > 0:
            yield f'<p class="quiet">{escape(self._say(Phrase.MORE_PHOTOS, n=more))}</p>\n'

    def _name(self, key: str) -> str:
        if not key:
            return self._say(Phrase.WITHOUT_ANSWER)
        return display_text(self._facts.taxonomy.display_name(key, self._facts.language))


def _figure(row: ExportRow, picture: bytes | None) -> str:
    """Draw one photo: its thumbnail linked to the file, its name, what was said of it."""
    name = display_text(row.path.rpartition(b"/")[2])
    link = "file://" + quote_from_bytes(row.path)
    image = ""
    if picture is not None:
        encoded = b64encode(picture).decode("ascii")
        image = f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{encoded}">'
    caption = escape(name)
    if row.confidence is not None:
        caption += f" · {row.confidence:.0%}"
    if row.description:
        caption += f"<br>{escape(display_text(row.description))}"
    return (
        f'<figure><a href="{escape(link)}">{image}</a><figcaption>{caption}</figcaption></figure>\n'
    )
