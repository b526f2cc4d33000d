"""What was spent, by customer and by model, over the last day and the last month: the ledgers of all outboxes together.

Only what lies in files: an outbox in memory forgets what was sent, and what is left in it comes into a file later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.service.page.ledger_count import LedgerCount
from otel_polar.service.page.sums import HOURS_A_DAY, Window, build_chart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.service.page.source import Source
    from otel_polar.service.page.sums import Chart

_HOUR_S: Final = 3_600


class SpendView(NamedTuple):
    """Charts by their name and scale; how far the ledger has been counted, and how many rows could not be read."""

    charts: dict[tuple[str, str], Chart]
    starts: dict[str, list[int]]
    """When each hour or day of a scale begins, in Unix seconds."""
    counted: int
    places: int
    is_complete: bool
    is_partial: bool
    unreadable: int


class Spend:
    """Counted by one thread, read by any."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._counts: dict[Outbox, LedgerCount] | None = None

    def count(self) -> Iterator[None]:
        """Count what is new in every outbox; pauses after every look at a file.

        Raises:
            OutboxError: if a file cannot be read.
        """
        outboxes = [outbox for outbox in self._source.outboxes() if outbox.path is not None]
        with self._lock:
            # One that was replaced has been copied into another.
            before = self._counts or {}
            self._counts = {outbox: before.get(outbox) or self._begin(outbox) for outbox in outboxes}
            counts = list(self._counts.values())
        for count in counts:
            looks = count.count()
            is_over = False
            while not is_over:
                with self._lock:
                    is_over = next(looks, looks) is looks
                yield

    def view(self) -> SpendView:
        """What has been counted by now."""
        window = self._window()
        scales = {"hours": window.hours, "days": window.days}
        with self._lock:
            counts = list((self._counts or {}).values())
            charts = {
                ("customers", "hours"): build_chart([count.customers.hours for count in counts], window.hours),
                ("customers", "days"): build_chart([count.customers.days for count in counts], window.days),
                ("models", "hours"): build_chart([count.models.hours for count in counts], window.hours),
                ("models", "days"): build_chart([count.models.days for count in counts], window.days),
            }
            return SpendView(
                charts,
                {
                    scale: [number * _HOUR_S * (HOURS_A_DAY if scale == "days" else 1) for number in numbers]
                    for scale, numbers in scales.items()
                },
                counted=sum(count.counted for count in counts),
                places=sum(count.places for count in counts),
                is_complete=self._counts is not None and all(count.is_complete for count in counts),
                is_partial=any(count.is_partial for count in counts),
                unreadable=sum(count.unreadable for count in counts),
            )

    def _begin(self, outbox: Outbox) -> LedgerCount:
        return LedgerCount(outbox, self._window, self._source.monotonic)

    def _window(self) -> Window:
        return Window.at(self._source.clock(), self._source.settings.retention_s)
