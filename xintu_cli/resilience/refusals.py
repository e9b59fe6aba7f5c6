"""What refused sends prove of a vendor's rate.

Most vendors limit by a token bucket: a send takes a token, and one that finds none is refused. So
at every refusal the bucket is known to be empty, and of two refusals it is known that what was
accepted in between was filled in between: no guess about the bucket's size, which makes what
was accepted since the start look like far more than the vendor will go on accepting.

Pure; times are readings of one monotonic clock, in seconds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

_REMEMBERED = 512
"""More than can be in flight, so that a burst of refusals is known whole."""


@dataclass(frozen=True, slots=True, order=True)
class Send:
    """One send. `worked_at` is when on a clock that stops while nobody sends; `rate`: the pace."""

    number: int
    at: float
    worked_at: float
    rate: float


class Refusals:
    """The latest refused sends, in the order they were sent."""

    def __init__(self) -> None:
        self._sends: list[Send] = []
        self.burst = 0
        """Sends that were accepted before the first refusal: the bucket held about as many."""

    def add(self, send: Send, *, first_number: int) -> None:
        """Note one more; `first_number`: of the first send ever."""
        if not self._sends:
            self.burst = send.number - first_number
        insort(self._sends, send)
        del self._sends[:-_REMEMBERED]

    def follows_another(self, send: Send) -> bool:
        """Tell whether nothing was accepted between this refused send and the one before."""
        place = bisect_left(self._sends, send)
        return place > 0 and self._sends[place - 1].number == send.number - 1

    def seconds_in_a_row(self) -> float:
        """Return for how long every send up to the latest refused one was refused."""
        first = last = self._sends[-1]
        for send in reversed(self._sends[:-1]):
            if send.number != first.number - 1:
                break
            first = send
        return last.at - first.at

    def accepted_since(self, begin: Send, end: Send) -> int:
        """Count what was sent between two refused sends and not refused."""
        refused = bisect_left(self._sends, end) - bisect_left(self._sends, begin) - 1
        return end.number - begin.number - 1 - refused

    def proven_rate(self, end: Send) -> float:
        """Return the most that some stretch up to this refused send proves the vendor to fill.

        One less than was accepted, since less than one token may have been left at its start.
        Pauses count, unless more was accepted than a bucket can have saved up in them.
        """
        most, place = 0.0, bisect_left(self._sends, end)
        for refused, begin in enumerate(reversed(self._sends[:place])):
            filled = end.number - begin.number - 1 - refused - 1
            if end.at > begin.at:
                most = max(most, filled / (end.at - begin.at))
            if end.worked_at > begin.worked_at:
                saved = filled - self.burst
                most = max(most, saved / (end.worked_at - begin.worked_at))
        return most
