"""How far the sending of a backlog has come, for the log: a line a minute, at level INFO."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import logger

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S: Final = 60.0


class Progress:
    """Counts what is sent, and says so if that goes on for longer than a minute."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: float | None = None
        self._sent = 0

    def sent(self, count: int, *, is_full_batch: bool, waiting: Callable[[], int]) -> None:
        """So many events were sent just now. A batch that was not full has taken the last of what was waiting.

        *waiting* counts what is left, which takes a while: it is only called for a line.
        """
        now = self._monotonic()
        if not is_full_batch:
            self._since = None
            return
        if self._since is None:
            self._since, self._sent = now, 0
        self._sent += count
        elapsed_s = now - self._since
        if elapsed_s >= INTERVAL_S:
            left, per_s = waiting(), self._sent / elapsed_s
            logger.info(
                "sending a backlog: %d events in the last %.0f s, %d wait, about %.0f min at this pace",
                self._sent,
                elapsed_s,
                left,
                left / per_s / 60,
            )
            self._since, self._sent = now, 0
