"""What is said of a new head: its figures beside the present one's, and the verdict."""

from __future__ import annotations

import sys
from shlex import quote

from xintu_cli.cli.exits import say
from xintu_cli.cli.session import Session
from xintu_cli.jobs.judging import Worth
from xintu_cli.jobs.learning import Learnt
from xintu_cli.jobs.looking import Album
from xintu_cli.reporting.escape import display_text, json_text, path_text
from xintu_cli.settings import Settings


def show_verdict(learnt: Learnt, album: Album, session: Session, *, as_json: bool) -> None:
    """Print the figures on stdout, and what follows from them on stderr."""
    if as_json:
        fields = {
            "adopted": not learnt.refused,
            "reason": learnt.refused,
            "photos": learnt.new.photos,
            "cascade_threshold": learnt.cascade,
            "new": _fields(learnt.new),
            "present": _fields(learnt.present) if learnt.present else None,
            "without_photos": list(learnt.without_photos),
            "failures": [{"path": path_text(p), "reason": why} for p, why in album.failures],
            "gone": album.gone,
        }
        sys.stdout.write(json_text(fields, indent=2) + "\n")
    else:
        sys.stdout.write(_table(learnt))
    if not session.workspace.settings.quiet:
        for line in _words(learnt, album, session):
            say(display_text(line))


def _fields(worth: Worth) -> dict[str, object]:
    return {
        "accuracy": round(worth.accuracy, 4),
        "macro_f1": round(worth.macro_f1, 4),
        "ece": round(worth.ece, 4),
        "share": round(worth.share, 4),
        "alone": round(worth.alone, 4),
        "alone_right": None if worth.alone_right is None else round(worth.alone_right, 4),
        "missed": {
            key: {"photos": photos, "sent": sent} for key, (photos, sent) in worth.missed.items()
        },
    }


def _table(learnt: Learnt) -> str:
    """Return the figures of both, a line each."""
    names = ("accuracy", "macro-F1", "calibration error", "needs no LLM", "of these right")
    widths = [max(len(name), 7) for name in names]
    head = "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"on {learnt.new.photos:,} photos that neither had seen", f"{'':9}{head}"]
    for name, worth in (("present", learnt.present), ("new", learnt.new)):
        if worth is None:
            lines.append(f"{name:9}  (no local model serves this taxonomy)")
            continue
        values = (
            f"{worth.accuracy:.1%}",
            f"{worth.macro_f1:.3f}",
            f"{worth.ece:.3f}",
            f"{worth.alone:.1%}",
            "–" if worth.alone_right is None else f"{worth.alone_right:.1%}",
        )
        cells = (f"  {value:>{width}}" for value, width in zip(values, widths, strict=True))
        lines.append(f"{name:9}{''.join(cells)}")
    return "\n".join(lines) + "\n"


def _words(learnt: Learnt, album: Album, session: Session) -> list[str]:
    taxonomy = session.workspace.taxonomy
    words = []
    if learnt.without_photos:
        words.append(
            f"no photo of {', '.join(learnt.without_photos)} to learn from: what was learnt "
            "never answers that."
        )
    words += list(_protection(learnt))
    if album.gone:
        words.append(f"{album.gone:,} photos are no longer where they were: left out.")
    if learnt.refused:
        words.append(f"not adopted: {learnt.refused}. Nothing was changed.")
    else:
        words.append(
            f"adopted: the local model answers with it from now on, for the taxonomy "
            f"{taxonomy.name}. `{_going_back(session.workspace.settings)}` goes back."
        )
    return words


def _going_back(settings: Settings) -> str:
    """Return the command that takes back what these settings learnt."""
    command = "xintu models adapt --take-back"
    for name in ("taxonomy", "model"):
        value = getattr(settings, name)
        if value != Settings.model_fields[name].default:
            command += f" --{name} {quote(value)}"
    return command


def _protection(learnt: Learnt) -> list[str]:
    """Say how well what must stay at home is kept there."""
    words = []
    for key, (photos, sent) in learnt.new.missed.items():
        own = key in learnt.keep_local
        if not photos:
            words.append(
                f"{key} is never sent, and there is no photo of it to judge by: "
                "what the shipped model takes for one stays here, as before."
            )
        elif own:
            words.append(f"{key} is never sent: {photos - sent} of {photos} would be kept here.")
        else:
            words.append(
                f"{key} is never sent: {photos - sent} of {photos} would be kept here, by the "
                "shipped model's word as before."
            )
    return words
