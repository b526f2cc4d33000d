"""How many a minute, from running totals that are looked at every few seconds.

Totals only grow while a process lives, so a rate is the difference of two looks. What is remembered is a quarter of an
hour of looks: a few kilobytes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY_S: Final = 5.0
REMEMBERED_S: Final = 900.0
RECENT_S: Final = 60.0


class _Look(NamedTuple):
    monotonic: float
    totals: dict[str, int]


class Rate(NamedTuple):
    """One running total, and by how much it grew a minute: lately, and over the whole time that is remembered."""

    total: int
    recent: float
    longer: float


class Rates:
    """Of whatever totals it is given. Not for two threads at once."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()

    def saw(self, totals: Mapping[str, int], monotonic: float) -> None:
        """Look at the totals, unless that was done just now."""
        if self._looks and monotonic - self._looks[-1].monotonic < EVERY_S:
            return
        self._looks.append(_Look(monotonic, dict(totals)))
        while monotonic - self._looks[0].monotonic > REMEMBERED_S:
            self._looks.popleft()

    def rates(self, totals: Mapping[str, int], monotonic: float) -> dict[str, Rate]:
        """What each of the *totals* of this moment has grown by, a minute."""
        since = [look for look in self._looks if look.monotonic < monotonic]
        recent = next((look for look in since if monotonic - look.monotonic <= RECENT_S + EVERY_S), None)
        oldest = since[0] if since else None
        return {
            name: Rate(total, _per_minute(name, total, recent, monotonic), _per_minute(name, total, oldest, monotonic))
            for name, total in totals.items()
        }

    def remembered_s(self, monotonic: float) -> float:
        """How long ago the first look was that is still remembered."""
        return monotonic - self._looks[0].monotonic if self._looks else 0.0


def _per_minute(name: str, total: int, look: _Look | None, monotonic: float) -> float:
    # A total that was not there yet has grown from nothing.
    return 0.0 if look is None else max(0, total - look.totals.get(name, 0)) * 60.0 / (monotonic - look.monotonic)
