"""Numbers in sentences and tables."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

NANOS_PER_USD: Final = 1_000_000_000


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 call``, ``2,000 calls``; *many* where the plural is not *one* with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def agreed(count: int, one: str, many: str) -> str:
    """The word that goes with a number: ``is`` or ``are``."""
    return one if count == 1 else many


def usd(nanos: int) -> str:
    """Billionths of a dollar as dollars, exact, with at least two places: ``$0.0001686``."""
    amount = usd_plain(nanos)
    return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"


def usd_plain(nanos: int) -> str:
    """The same without the sign of the dollar, for programs."""
    amount = f"{Decimal(nanos) / NANOS_PER_USD:.9f}".rstrip("0")
    whole, _, part = amount.partition(".")
    return f"{whole}.{part:<02}"


def moment(unix_s: float) -> str:
    """A time in UTC, to the second: ``2026-11-21 10:00:00Z``."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S}Z"


def span_of_time(seconds: float) -> str:
    """About how long: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    for length_s, word in ((86_400, "day"), (3_600, " h"), (60, " min")):
        if seconds >= 2 * length_s:
            count = int(seconds // length_s)
            return counted(count, word) if word == "day" else f"{count}{word}"
    return f"{max(0, int(seconds))} s"
