"""Requests a minute: Polar counts them for the whole organization."""

from __future__ import annotations

from typing import Final

BURST_REQUESTS: Final = 5.0


class Budget:
    """At most so many requests a minute, with a few in a row allowed after a pause (a token bucket).

    *burst_requests* are those few, 5 if left out.
    """

    def __init__(self, requests_per_minute: float, *, burst_requests: float | None = None) -> None:
        self._per_s = requests_per_minute / 60.0
        self._burst = BURST_REQUESTS if burst_requests is None else burst_requests
        self._available = self._burst
        self._at: float | None = None

    @property
    def spacing_s(self) -> float:
        """Seconds from one request to the next, over time."""
        return 1.0 / self._per_s

    def wait_s(self, monotonic: float) -> float:
        """Seconds until the next request may be made, at least 0."""
        self._refill(monotonic)
        return max(0.0, (1.0 - self._available) / self._per_s)

    def spend(self, monotonic: float) -> None:
        """Count one request."""
        self._refill(monotonic)
        self._available -= 1.0

    def _refill(self, monotonic: float) -> None:
        if self._at is not None:
            self._available = min(self._burst, self._available + (monotonic - self._at) * self._per_s)
        self._at = monotonic
