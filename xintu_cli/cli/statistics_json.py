"""The statistics as JSON, for programs: names stay, moments are UTC, what is unknown is null."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from xintu_cli.jobs.stats import Overview
from xintu_cli.reporting.escape import path_text
from xintu_cli.storage.totals import Totals
from xintu_cli.taxonomy import Taxonomy


def statistics_json(found: Overview, taxonomy: Taxonomy, language: str) -> dict[str, Any]:
    """Return everything `stats` shows as what JSON can say."""
    details = found.details
    return {
        "cache": found.cache_url,
        "taxonomy": taxonomy.name,
        "task": taxonomy.task,
        "details_of_days": found.days,
        "periods": {
            "today": _totals(found.periods.today),
            f"last_{found.middle_days}_days": _totals(found.periods.last_days),
            "all_time": _totals(found.periods.all_time),
        },
        "answers": {
            **found.sources,
            "provisional": {line.reason: line.photos for line in details.stand_ins},
            "fallback_share": _rounded(found.stand_in_share),
        },
        "categories": _categories(found, taxonomy, language),
        "days": [asdict(day) for day in details.days],
        "providers": [asdict(line) for line in details.providers],
        "saved": [asdict(saved) for saved in details.saved],
        "agreement": asdict(details.agreement),
        "most_hit": [_most_hit(found, line.image_hash) | asdict(line) for line in details.most_hit],
        "failures": {
            "calls": [asdict(line) for line in details.failures],
            "files_here": dict(found.unreadable),
        },
        "runs": [
            asdict(run)
            | {
                "started_at": _moment(run.started_at),
                "finished_at": _moment(run.finished_at),
            }
            for run in details.recent_runs
        ],
    }


def _totals(totals: Totals) -> dict[str, Any]:
    speed = totals.photos_per_second
    return {
        "since": _moment(totals.since or None),
        "runs": totals.runs,
        **totals.counts,
        "hit_rate": _rounded(totals.hit_rate),
        "seconds": round(totals.seconds, 3),
        "photos_per_second": None if speed is None else round(speed, 1),
        "spent": dict(totals.spent),
        "unpriced_runs": totals.unpriced,
    }


def _categories(found: Overview, taxonomy: Taxonomy, language: str) -> list[dict[str, Any]]:
    sources: defaultdict[str, dict[str, int]] = defaultdict(dict)
    certainty: defaultdict[str, float] = defaultdict(float)
    for line in found.details.categories:
        sources[line.category][line.source] = line.photos
        certainty[line.category] += line.photos * line.mean_confidence
    photos = {key: sum(counts.values()) for key, counts in sources.items()}
    return [
        {
            "category": key,
            "name": taxonomy.display_name(key, language),
            "photos": photos[key],
            "mean_confidence": round(certainty[key] / photos[key], 4),
            "sources": sources[key],
        }
        for key in sorted(photos, key=lambda key: (-photos[key], key))
    ]


def _most_hit(found: Overview, image_hash: str) -> dict[str, Any]:
    path = found.paths.get(image_hash)
    return {
        "path": None if path is None else path_text(path),
        "label": found.labels.get(image_hash),
    }


def _moment(moment: str | None) -> str | None:
    """Return a moment of the database in the form of the export's `classified_at`."""
    return f"{moment[:19].replace(' ', 'T')}Z" if moment else None


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
