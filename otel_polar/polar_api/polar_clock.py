"""What time it is for Polar: by the ``Date`` of its last answer, and the seconds that have passed since.

The clock of a machine may be wrong, and may jump by years when that is noticed. What would be lost for good, such as a
held call that nobody was billed for, is only forgotten when Polar's clock says the same.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

MAX_DIFFERENCE_S: Final = 3_600.0
"""Two clocks that are no further apart confirm each other."""


class PolarClock:
    """For one sender. Times given as *monotonic* are on the clock that never jumps."""

    def __init__(self) -> None:
        self._ahead_of_monotonic_s: float | None = None

    def hear(self, date: str | None, monotonic: float) -> None:
        """Polar has answered with this ``Date`` (RFC 9110, 6.6.1); without a readable one nothing changes."""
        try:
            answered_at = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self._ahead_of_monotonic_s = answered_at - monotonic

    def now(self, monotonic: float) -> float | None:
        """Unix seconds, up to a second behind; ``None`` if Polar never said."""
        return None if self._ahead_of_monotonic_s is None else monotonic + self._ahead_of_monotonic_s

    def confirms(self, now: float, monotonic: float) -> bool:
        """Whether our clock, which says *now*, is right as far as Polar has said."""
        polar_now = self.now(monotonic)
        return polar_now is not None and abs(now - polar_now) <= MAX_DIFFERENCE_S

    def contradicts(self, now: float, monotonic: float) -> bool:
        """Whether our clock is wrong as far as Polar has said."""
        return self.now(monotonic) is not None and not self.confirms(now, monotonic)
