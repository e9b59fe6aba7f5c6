"""What `xintu models list` and `verify` print: models, and what they have learnt here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from xintu_cli.errors import ModelFileError
from xintu_cli.locations import expand_home
from xintu_cli.providers.coverage import coverage
from xintu_cli.providers.head_files import KeptHead
from xintu_cli.providers.heads import HeadShelf, shelves
from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.reporting.escape import display_text, json_text
from xintu_cli.workspace import InstalledModel, Workspace, head_shelf, is_directory


def show_models(models: Sequence[InstalledModel], workspace: Workspace, *, as_json: bool) -> None:
    """Print what `models list` tells."""
    rows = [_row(model, workspace) for model in models]
    if as_json:
        sys.stdout.write(json_text(rows, indent=2) + "\n")
        return
    for row in rows:
        mark = "*" if row.get("used") else " "
        title = display_text(f"{row['name']}  {row.get('fingerprint', '')}")
        sys.stdout.write(f"{mark} {title}\n")
        for line in _lines(row):
            sys.stdout.write(f"    {display_text(line)}\n")


def _row(model: InstalledModel, workspace: Workspace) -> dict[str, object]:
    row: dict[str, object] = {
        "name": model.name,
        "directory": str(model.directory),
        "used": _is_used(model, workspace),
    }
    manifest = model.manifest
    if isinstance(manifest, ModelFileError):
        return row | {"error": str(manifest)}
    heads = [head for shelf in _shelves_of(manifest, workspace) for head in _heads(shelf)]
    present = _present(manifest, workspace)
    answers = present.notes.categories if isinstance(present, KeptHead) else ()
    served = coverage(manifest, workspace.taxonomy, head=answers)
    row |= {
        "version": manifest.version,
        "fingerprint": manifest.fingerprint,
        "licence": manifest.licence,
        "serves": sorted(served.served),
        "lacks": sorted(served.unserved),
        "coverage": str(served),
        "heads": heads,
    }
    if isinstance(present, KeptHead):
        row["fingerprint"] = present.fingerprint(manifest)
    elif isinstance(present, ModelFileError):
        row["error"] = str(present)
    return row


def _is_used(model: InstalledModel, workspace: Workspace) -> bool:
    chosen = workspace.settings.model
    return model.directory == expand_home(chosen) if is_directory(chosen) else model.name == chosen


def _lines(row: dict[str, object]) -> Iterator[str]:
    yield str(row.get("error") or row["coverage"])
    heads = row.get("heads", [])
    assert isinstance(heads, list)
    for head in heads:
        if "error" in head:
            yield str(head["error"])
            continue
        figures = head["figures"]
        worth = f", {figures['accuracy']:.1%} right" if "accuracy" in figures else ""
        state = "in use" if head["in_use"] else "kept to go back to"
        yield (
            f"learnt for {head['taxonomy']} on {head['made_at'][:10]} from "
            f"{head['photos']:,} photos (models {head['made_by']}){worth}: {state}"
        )
    yield str(row["directory"])


def _shelves_of(manifest: ModelManifest, workspace: Workspace) -> list[HeadShelf]:
    """Return the shelves of this model, whatever the taxonomy."""
    home = head_shelf(workspace, manifest).directory.parent
    return [shelf for shelf in shelves(home.parent) if shelf.directory.parent == home]


def _heads(shelf: HeadShelf) -> Iterator[dict[str, object]]:
    try:
        kept = shelf.kept()
    except ModelFileError as error:
        yield {"error": str(error)}
        return
    for number, head in enumerate(kept):
        if isinstance(head, ModelFileError):
            yield {"error": str(head)}
            continue
        notes = head.notes
        yield {
            "taxonomy": notes.taxonomy,
            "in_use": number == 0,
            "made_at": notes.made_at,
            "made_by": notes.made_by,
            "photos": notes.total,
            "labels": dict(notes.labels),
            "categories": dict(notes.photos),
            "figures": dict(notes.figures),
            "cascade_threshold": notes.cascade,
            "directory": str(head.directory),
        }


def _present(manifest: ModelManifest, workspace: Workspace) -> KeptHead | ModelFileError | None:
    """Return the head that answers for the taxonomy, or what is wrong with it."""
    try:
        present = head_shelf(workspace, manifest).in_use()
        if present is not None:
            present.check(base=manifest.sha256, taxonomy=workspace.taxonomy.name)
    except ModelFileError as error:
        return error
    return present


def verify_models(models: Sequence[InstalledModel], workspace: Workspace) -> int:
    """Load every model and run it once, read what it has learnt; return the exit code.

    One that was made for the taxonomy in use must answer in its categories.
    """
    from xintu_cli.providers.onnx_model import OnnxModel

    code = 0
    for model in models:
        name = display_text(model.name)
        try:
            if isinstance(model.manifest, ModelFileError):
                raise model.manifest
            model.manifest.check_taxonomy(workspace.taxonomy)
            size = OnnxModel.load(model.manifest).embedding_size
        except ModelFileError as error:
            code = int(error.exit_code)
            sys.stdout.write(f"broken  {name}: {display_text(str(error))}\n")
            continue
        sys.stdout.write(f"ok      {name}: checksum right, and it answers\n")
        # The one a run would look at too, even if nothing can be found there.
        looked_at = head_shelf(workspace, model.manifest)
        for shelf in dict.fromkeys([*_shelves_of(model.manifest, workspace), looked_at]):
            code = _verify_head(shelf, model.manifest, size) or code
    return code


def _verify_head(shelf: HeadShelf, manifest: ModelManifest, embedding_size: int) -> int:
    """Read the head in use as a run does."""
    try:
        head = shelf.in_use()
        if head is None:
            return 0
        head.check(base=manifest.sha256, taxonomy=head.notes.taxonomy)
        head.head(embedding_size)
    except ModelFileError as error:
        sys.stdout.write(display_text(f"broken  {manifest.name}: {error}") + "\n")
        return int(error.exit_code)
    name = f"{manifest.name}, learnt for {head.notes.taxonomy}"
    sys.stdout.write(display_text(f"ok      {name}: checksum right, and it fits") + "\n")
    return 0
