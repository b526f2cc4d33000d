"""The delivery thread works in slices, so that the application's threads hardly notice it.

Only one thread at a time runs Python code, and one that wants to waits for up to 5 ms until the interpreter takes it
away from another (``sys.setswitchinterval``, which is the application's own). A call ends in a hundredth of that. So
the delivery thread, whenever it has worked for a moment, sleeps for a shorter one: another thread then goes on at once.
"""

from __future__ import annotations

from time import perf_counter, sleep
from typing import Final

SLICE_S: Final = 200e-6
PAUSE_S: Final = 20e-6
"""Asked for; it takes about three times as long. Without it nobody would get in: who waits has to wake up first."""


class _Slice:
    def __init__(self) -> None:
        self.ends = 0.0


_slice: Final = _Slice()


def give_way() -> None:
    """Let others run, if they have been waiting for a moment; to be called between pieces of work of a few µs."""
    if perf_counter() >= _slice.ends:
        sleep(PAUSE_S)
        _slice.ends = perf_counter() + SLICE_S
