"""How long Polar asks to wait."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

DEFAULT_RETRY_AFTER_S: Final = 60.0
MAX_RETRY_AFTER_S: Final = 3_600.0


def read_retry_after(value: str | None, now: datetime) -> float:
    """Seconds to wait: a number or a date (RFC 9110, 10.2.3), a minute where it is neither; at most an hour."""
    if value is None:
        return DEFAULT_RETRY_AFTER_S
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return DEFAULT_RETRY_AFTER_S
    # A comparison that NaN fails, too.
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else 0.0
