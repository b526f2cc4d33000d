from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otel_polar.delivery.sending.progress import INTERVAL_S, Progress

if TYPE_CHECKING:
    import pytest


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_backlog_tells_once_a_minute_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """A million events take minutes at Polar's limit, and somebody waits for them."""
    clock = Clock()
    progress = Progress(clock)

    with caplog.at_level(logging.INFO, "otel_polar"):
        for _ in range(121):
            progress.sent(500, is_full_batch=True, waiting=lambda: 60_500)
            clock.now += 1.0

    assert [record.getMessage() for record in caplog.records] == [
        "sending a backlog: 30500 events in the last 60 s, 60500 wait, about 2 min at this pace",
        "sending a backlog: 30000 events in the last 60 s, 60500 wait, about 2 min at this pace",
    ]


def test_what_is_sent_as_it_comes_is_no_backlog(caplog: pytest.LogCaptureFixture) -> None:
    """The log of a healthy process stays empty; and what waits is not counted for nothing."""
    clock = Clock()
    progress = Progress(clock)

    with caplog.at_level(logging.INFO, "otel_polar"):
        for number in range(10):
            progress.sent(500, is_full_batch=number % 2 == 0, waiting=lambda: 1 // 0)
            clock.now += INTERVAL_S

    assert caplog.records == []
