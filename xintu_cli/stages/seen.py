"""A set of image hashes in 16 bytes an image: the run's memory of what it has seen."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

_FIRST_SLOTS = 1 << 12


class SeenImages:
    """Remember 64 bits of every image hash by open addressing.

    A set of strings costs 150 bytes an image, which at ten million photos is the machine.
    Two images share their 64 bits once in 10^7 runs over a million photos, and then a count
    of duplicates is one too high.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, image_hash: object) -> bool:
        [value] = _values([str(image_hash)])
        return self._slots[self._slot_of(value)] == value

    def add(self, image_hash: str) -> bool:
        """Remember an image; return whether it was new."""
        [is_new] = self.add_all([image_hash])
        return is_new

    def add_all(self, image_hashes: Sequence[str]) -> list[bool]:
        """Remember images; return of each whether it was new."""
        while 2 * (self._count + len(image_hashes)) > len(self._slots):
            self._grow()
        slots = self._slots
        mask = len(slots) - 1
        news: list[bool] = []
        for value in _values(image_hashes):
            # Written out (not `_slot_of`): once a photo of every rescan.
            slot = value & mask
            while (held := slots[slot]) and held != value:
                slot = (slot + 1) & mask
            if not held:
                slots[slot] = value
            news.append(not held)
        self._count += sum(news)
        return news

    def _slot_of(self, value: int) -> int:
        """Return the slot that holds a value, or the empty one where it would go."""
        slots = self._slots
        mask = len(slots) - 1
        slot = value & mask
        while (held := slots[slot]) and held != value:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        old = self._slots
        size = 2 * len(old)
        slots = array("Q", bytes(8 * size))
        mask = size - 1
        for value in filter(None, old):
            slot = value & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = value
        self._slots = slots


def _values(image_hashes: Sequence[str]) -> Iterable[int]:
    """Return the first 64 bits of each hash; never 0, which means an empty slot.

    All at once: a tenth of the time of as many `int(…, 16)`.
    """
    values = array("Q", bytes.fromhex("".join([image[:16] for image in image_hashes])))
    return (value or 1 for value in values) if 0 in values else values
