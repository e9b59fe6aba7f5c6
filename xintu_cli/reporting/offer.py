"""The one question about the cloud: what would be sent where, and what it would cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xintu_cli.money import Estimate
from xintu_cli.reporting.figures import estimate_basis, estimate_text
from xintu_cli.reporting.phrases import Phrase, Say


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered: `hosts` in failover order, `model` is the first one's.

    `kept` are the names of the categories that are not sent.
    """

    variable: str
    model: str
    hosts: tuple[str, ...]
    photos: int
    estimate: Estimate
    max_edge: int
    kept: tuple[str, ...]


def offer_lines(offer: Offer, say: Say) -> Iterator[str]:
    """Yield what is to be known, and last the question."""
    first, *others = offer.hosts
    yield say(Phrase.OFFER, variable=offer.variable, model=offer.model, host=first)
    photos = say(Phrase.PHOTOS, n=offer.photos)
    estimate = estimate_text(offer.estimate, say)
    yield say(Phrase.OFFER_ESTIMATE, photos=photos, estimate=estimate) + (
        f" ({estimate_basis(offer.estimate, say)})"
    )
    yield say(Phrase.OFFER_FORM, edge=offer.max_edge)
    if offer.kept:
        yield say(Phrase.OFFER_KEPT, names=", ".join(offer.kept))
    if others:
        yield say(Phrase.OFFER_OTHERS, hosts=", ".join(others))
    yield say(Phrase.OFFER_QUESTION, hosts=", ".join(offer.hosts))
