"""Specifies what Polar's answers say about the time."""

from __future__ import annotations

import pytest

from otel_polar.polar_api.polar_clock import PolarClock
from tests.delivery.support import DATE_OF_NOON, NOON


def test_polars_time_goes_on_with_the_clock_that_never_jumps() -> None:
    """An answer an hour ago says what time it is now."""
    clock = PolarClock()
    clock.hear(DATE_OF_NOON, 100.0)

    assert clock.now(100.0) == NOON
    assert clock.now(3_700.0) == NOON + 3_600.0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Oct 2026 12:00:00 GMT", "0"])
def test_an_answer_without_a_readable_date_says_nothing(date: str | None) -> None:
    """A proxy may have removed it."""
    clock = PolarClock()
    clock.hear(date, 100.0)
    assert clock.now(100.0) is None
    assert not clock.confirms(NOON, 100.0)
    assert not clock.contradicts(NOON, 100.0)

    clock.hear(DATE_OF_NOON, 100.0)
    clock.hear(date, 200.0)
    assert clock.now(200.0) == NOON + 100.0


@pytest.mark.parametrize(
    ("ours", "confirms"),
    [(NOON, True), (NOON + 3_000.0, True), (NOON - 3_000.0, True), (NOON + 86_400.0, False), (NOON - 86_400.0, False)],
)
def test_two_clocks_confirm_each_other_within_an_hour(ours: float, confirms: bool) -> None:  # noqa: FBT001 - a table
    """Retention is counted in days."""
    clock = PolarClock()
    clock.hear(DATE_OF_NOON, 0.0)

    assert (clock.confirms(ours, 0.0), clock.contradicts(ours, 0.0)) == (confirms, not confirms)
