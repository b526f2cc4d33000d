"""Specifies how long a refusal asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from otel_polar.polar_api.retry_after import read_retry_after

TEN_O_CLOCK = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        pytest.param("Sat, 21 Nov 2026 10:00:30 GMT", 30.0, id="a date"),
        pytest.param("Sat, 21 Nov 2026 09:00:00 GMT", 0.0, id="a date in the past"),
        pytest.param("-5", 0.0, id="negative"),
        pytest.param("nan", 0.0, id="not a number, yet a float"),
        pytest.param("1e9", 3_600.0, id="thirty years: an hour is enough to ask again"),
        pytest.param("Sat, 99 Nov 2026", 60.0, id="not a date"),
        pytest.param(None, 60.0, id="absent"),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, expected_s: float) -> None:
    """A wait that is too long loses a day, one that is too short is answered 429 again."""
    assert read_retry_after(value, TEN_O_CLOCK) == expected_s
