"""Set up how this process keeps its memory, before a run starts its threads."""

from __future__ import annotations

import gc
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def settle_memory() -> None:
    """Let the collector and the allocator suit a run over many photos."""
    # Records are tuples without cycles: the collector would look at each of them in vain, a
    # tenth of an unchanged rescan's time. What is imported by now is never garbage.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    _limit_arenas()


def _limit_arenas() -> None:
    """Let threads share two heaps of glibc's instead of having one each.

    What a thread frees stays with its heap. 64 calls in flight with 12 MP photos, keep_local on:
    367 MB before, 297 MB so, in the same time.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another libc, whose threads share one heap anyway
        return
    mallopt(_M_ARENA_MAX, _ARENAS)
