"""Heads on disk: a directory with `head.json` (what it is) and `head.npz` (its weights).

Reading the notes takes no numpy: a run whose photos are all known only needs the fingerprint.
The notes name the SHA-256 of the weights, which is checked with them.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from xintu_cli.errors import ModelFileError

if TYPE_CHECKING:
    from xintu_cli.providers.head import Array, Head
    from xintu_cli.providers.manifest import ModelManifest

WEIGHTS_NAME = "head.npz"
NOTES_NAME = "head.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNotes:
    """What a head is: made for which model and taxonomy, from what, and how good it was.

    `base` is the SHA-256 of the ONNX file whose embedding it reads. `prior`: see `Head`.
    `cascade` and `keep_local`: thresholds as in a model's manifest. `photos` by category,
    `labels` by who gave them. `figures`: measured on photos that it had not seen.
    """

    model: str
    base: str
    taxonomy: str
    task: str
    categories: tuple[str, ...]
    prior: float
    cascade: float | None
    keep_local: Mapping[str, float]
    made_at: str
    made_by: str
    photos: Mapping[str, int]
    labels: Mapping[str, int]
    figures: Mapping[str, float]
    sha256: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides an answer."""
        decides = (
            *(self.sha256, self.base, self.taxonomy, self.categories, self.prior, self.cascade),
            *sorted(self.keep_local.items()),
        )
        return hashlib.sha256(json.dumps(decides, ensure_ascii=False).encode()).hexdigest()

    @property
    def total(self) -> int:
        """How many photos it was made from."""
        return sum(self.photos.values())


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A head on disk: its notes, checked, and the weights' bytes as the notes describe them."""

    directory: Path
    notes: HeadNotes
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a head; raise `ModelFileError` where its files are not what they should be."""
        try:
            document = json.loads((directory / NOTES_NAME).read_text(encoding="utf-8"))
            content = (directory / WEIGHTS_NAME).read_bytes()
            notes = _notes(document)
        except OSError as error:
            raise broken(directory, f"{error.strerror}: {error.filename}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise broken(directory, f"{NOTES_NAME} is damaged ({error!r})") from error
        if hashlib.sha256(content).hexdigest() != notes.sha256:
            raise broken(directory, f"{WEIGHTS_NAME} is damaged or was exchanged")
        return cls(directory, notes, content)

    def check(self, *, base: str, taxonomy: str) -> None:
        """Raise `ModelFileError` if it was made for another model or taxonomy."""
        notes = self.notes
        if notes.base != base:
            raise broken(
                self.directory,
                f"it was made for another {notes.model} ({notes.base[:12]}…) than the present "
                f"one ({base[:12]}…)",
            )
        if notes.taxonomy != taxonomy:
            raise broken(
                self.directory, f"it was made for the taxonomy {notes.taxonomy}, not {taxonomy}"
            )

    def fingerprint(self, manifest: ModelManifest) -> str:
        """Name model and head in one word: what is stored as the model of an answer."""
        both = f"{manifest.fingerprint} {self.notes.digest}"
        return f"{manifest.name}@{hashlib.sha256(both.encode()).hexdigest()[:12]}"

    def head(self, embedding_size: int) -> Head:
        """Return the head itself; raise `ModelFileError` if its weights do not fit."""
        import numpy as np

        from xintu_cli.providers.head import Head

        weight, bias = self._arrays("weight", "bias")
        count = len(self.notes.categories)
        fits = weight.ndim == 2 and weight.shape[1:] == bias.shape == (count,)
        if not fits or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise broken(self.directory, f"{WEIGHTS_NAME} does not fit its categories")
        if len(weight) != embedding_size:
            raise broken(
                self.directory,
                f"it reads {len(weight):,} numbers a photo, {self.notes.model} gives "
                f"{embedding_size:,}",
            )
        return Head(
            self.notes.categories,
            weight.astype(np.float32),
            bias.astype(np.float32),
            self.notes.prior,
        )

    def held_out(self) -> Mapping[str, Array]:
        """Return what was said, out of fold, of the photos it was made from, by image hash."""
        names, rows = self._arrays("seen", "held_out")
        if len(names) != len(rows):
            raise broken(self.directory, f"{WEIGHTS_NAME} does not fit its photos")
        hashes = [name.decode("ascii", "replace") for name in names.tolist()]
        return dict(zip(hashes, rows.astype("float64"), strict=True))

    def _arrays(self, *names: str) -> list[Any]:
        import numpy as np

        try:
            with np.load(io.BytesIO(self.content), allow_pickle=False) as arrays:
                return [arrays[name] for name in names]
        except (ValueError, KeyError, OSError) as error:
            raise broken(self.directory, f"{WEIGHTS_NAME} is damaged ({error})") from error


def pack_head(head: Head, held_out: Mapping[str, Array]) -> bytes:
    """Return the content of `head.npz`."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(
        stream,
        weight=head.weight,
        bias=head.bias,
        seen=np.array(list(held_out), "S32"),
        held_out=np.array(list(held_out.values()), np.float32),
    )
    return stream.getvalue()


def write_head(directory: Path, notes: HeadNotes, content: bytes) -> None:
    """Write a head's two files into a directory that nobody reads yet."""
    directory.mkdir(mode=0o700, parents=True)
    document = {"format": _FORMAT} | {
        name: getattr(notes, name) for name in HeadNotes.__dataclass_fields__
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    for name, data in ((WEIGHTS_NAME, content), (NOTES_NAME, text.encode())):
        with (directory / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def broken(directory: Path, what: str) -> ModelFileError:
    """Return the error of a head that cannot be used."""
    return ModelFileError(
        f"the trained head in {directory} cannot be used: {what}. Make it again (xintu models "
        "train DIR, or adapt), or go without it: xintu models adapt --take-back (and the same "
        "--taxonomy)."
    )


def _notes(document: Any) -> HeadNotes:
    """Check what `head.json` says for itself; raises what `KeptHead.read` translates."""
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r} is not known here")
    categories = tuple(document["categories"])
    if len(set(categories)) < 2 or len(set(categories)) != len(categories):
        raise ValueError("categories must be two or more, each once")
    texts = {name: document[name] for name in _TEXTS}
    if not all(isinstance(text, str) for text in (*categories, *texts.values())):
        raise TypeError("a text is no text")
    cascade = document["cascade"]
    keep_local = {str(k): _share(v) for k, v in document["keep_local"].items()}
    if not set(keep_local) <= set(categories):
        raise ValueError("keep_local must name its categories")
    return HeadNotes(
        **texts,
        categories=categories,
        prior=_share(document["prior"], most=100.0),
        cascade=None if cascade is None else _share(cascade),
        keep_local=keep_local,
        photos={str(k): int(v) for k, v in document["photos"].items()},
        labels={str(k): int(v) for k, v in document["labels"].items()},
        figures={str(k): _share(v, most=math.inf) for k, v in document["figures"].items()},
    )


_TEXTS = ("model", "base", "taxonomy", "task", "made_at", "made_by", "sha256")


def _share(value: Any, *, most: float = 1.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= most:
        raise ValueError(f"{value!r} is no number from 0 to {most:g}")
    return float(value)
