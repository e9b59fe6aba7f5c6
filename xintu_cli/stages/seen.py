"""A set of image hashes in 16 bytes an image: the run's memory of what it has seen."""

from __future__ import annotations

from array import array

_EMPTY = 0
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
        value = _value(str(image_hash))
        return self._slots[self._slot_of(value)] == value

    def add(self, image_hash: str) -> bool:
        """Remember an image; return whether it was new."""
        # Written out (not `_value`, `_slot_of`): once a photo of every rescan.
        value = int(image_hash[:16], 16) or 1
        slots = self._slots
        mask = len(slots) - 1
        slot = value & mask
        while held := slots[slot]:
            if held == value:
                return False
            slot = (slot + 1) & mask
        slots[slot] = value
        self._count += 1
        if 2 * self._count > len(slots):
            self._grow()
        return True

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
        for value in old:
            if value:
                slot = value & mask
                while slots[slot] != _EMPTY:
                    slot = (slot + 1) & mask
                slots[slot] = value
        self._slots = slots


def _value(image_hash: str) -> int:
    """Return the first 64 bits of a hash; 0 means an empty slot."""
    return int(image_hash[:16], 16) or 1
