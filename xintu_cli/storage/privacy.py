"""Keep descriptions at home: split what is settled, and join what is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xintu_cli.records import CachedAnswer, Settlement


def only_answers(settlement: Settlement) -> Settlement:
    """Return the part of a settlement that holds descriptions: its answers, and no attempts."""
    answers = tuple(
        (image_hash, replace(answer, attempts=(), refusals=()))
        for image_hash, answer in settlement.answers
    )
    return Settlement(
        settlement.run_id, settlement.task, answers, settlement_id=settlement.settlement_id
    )


def without_descriptions(settlement: Settlement) -> Settlement:
    """Return a settlement as it may be shared."""
    answers = tuple(
        (
            image_hash,
            replace(answer, classification=replace(answer.classification, description="")),
        )
        for image_hash, answer in settlement.answers
    )
    return replace(settlement, answers=answers)


def described(
    shared: Mapping[str, Sequence[CachedAnswer]], at_home: Mapping[str, Sequence[CachedAnswer]]
) -> Mapping[str, Sequence[CachedAnswer]]:
    """Give shared answers the descriptions that this machine kept of the very same answers.

    Another machine may have asked again since: a description belongs to its category and model.
    """
    known = {
        (answer.image_hash, answer.source, answer.category, answer.model): answer.description
        for answers in at_home.values()
        for answer in answers
    }
    return {
        image_hash: [
            replace(
                answer,
                description=answer.description
                or known.get((image_hash, answer.source, answer.category, answer.model), ""),
            )
            for answer in answers
        ]
        for image_hash, answers in shared.items()
    }
