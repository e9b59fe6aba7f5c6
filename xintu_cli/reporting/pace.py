"""How fast a run is at this moment, and how long it will take: pure, the clock is given."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 12.0
_SPACING_SECONDS = 0.25


class Pace:
    """The rate of a growing count over the last twelve seconds.

    Long enough to be calm with calls of a few seconds, short enough to follow a change: the
    hits of a library come at 60 000 a second, the answers after them at ten.
    """

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def observe(self, now: float, count: int) -> None:
        """Note that the count stands at `count`; ignored when the last note is quite fresh."""
        if now - self._samples[-1][0] < _SPACING_SECONDS:
            return
        if count == 0:  # the clock starts when something starts to happen
            self._samples.clear()
        self._samples.append((now, count))
        # The oldest sample is the last one at or before the window's start.
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """The rate; 0.0 while there is nothing to tell it from."""
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def seconds_for(self, remaining: int) -> float | None:
        """Return how long `remaining` more will take; None where the rate is 0."""
        rate = self.per_second
        return remaining / rate if rate > 0 else None
