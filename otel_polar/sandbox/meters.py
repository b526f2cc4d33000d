"""What a meter's events add up to, in all and by interval. Pure: readings in, numbers out.

Only JSON numbers are summed, averaged and compared; strings of digits and booleans are skipped. Which events a meter
reads is said in ``conditions.py``.

Sources: polarsource/polar, server/polar/meter/aggregation.py and server/polar/meter/service.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.sandbox.records import to_unix_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

FUNCTIONS: Final = ("sum", "max", "min", "avg")
INTERVALS: Final = ("hour", "day", "week", "month", "year")
_NUMBERS: Final = frozenset({"integer", "real"})


class Reading(NamedTuple):
    """What a meter reads off one event: when, the value of its property, that value's JSON type, and who pays.

    ``kind`` is None where the event has no such property, and where the meter only counts.
    """

    timestamp_us: int
    value: Any
    kind: str | None
    payer: str | None = None


def aggregate(readings: Sequence[Reading], function: str) -> float:
    """Return one number for *readings*: 0 where there is nothing to aggregate.

    Raises:
        OverflowError: if a number or the sum is too large for a double.
    """
    if function == "count":
        return float(len(readings))
    if function == "unique":
        return float(len({(one.kind, one.value) for one in readings if one.value is not None}))
    return _combine([float(one.value) for one in readings if one.kind in _NUMBERS], function)


def _combine(numbers: Sequence[float], function: str) -> float:
    if not numbers:
        return 0.0
    combined = sum(numbers) if function in {"sum", "avg"} else max(numbers) if function == "max" else min(numbers)
    if not isfinite(combined):
        raise OverflowError("the quantity does not fit a double")
    return combined / len(numbers) if function == "avg" else combined


@dataclass(frozen=True, slots=True)
class Period:
    """The stretch of time a question is about, both ends included, cut into intervals of one time zone."""

    start: datetime
    end: datetime
    interval: str
    zone: ZoneInfo

    def intervals(self) -> Iterator[datetime]:
        """Yield the start of every interval the period touches, in order and in UTC."""
        # UTC, because the hour that a zone repeats in autumn is two intervals of one local name.
        start = truncate(self.start.astimezone(self.zone), self.interval).astimezone(UTC)
        while start <= self.end:
            yield start
            start = self._following(start)

    def _following(self, start: datetime) -> datetime:
        if self.interval == "hour":
            return start + timedelta(hours=1)
        # A step into the middle of what follows, then back to its start: months, and days with a clock change, vary.
        step = {"day": timedelta(hours=36), "week": timedelta(days=10), "month": timedelta(days=45)}
        inside = start + step.get(self.interval, timedelta(days=500))
        return truncate(inside.astimezone(self.zone), self.interval).astimezone(UTC)


def truncate(moment: datetime, interval: str) -> datetime:
    """Return the start of the interval *moment* falls into; a week starts on Monday."""
    if interval == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "week":
        return midnight - timedelta(days=midnight.weekday())
    if interval == "month":
        return midnight.replace(day=1)
    return midnight.replace(month=1, day=1) if interval == "year" else midnight


def quantities(
    readings: Sequence[Reading], function: str, period: Period
) -> tuple[list[tuple[datetime, float]], float]:
    """Return the quantity of each interval of *period*, and the quantity of the whole of it.

    All *readings* are of the period. The total is aggregated anew over all of them, so that an average is not an
    average of averages.
    """
    starts = list(period.intervals())
    starts_us = [to_unix_us(start) for start in starts]
    by_interval: defaultdict[int, list[Reading]] = defaultdict(list)
    for one in readings:
        by_interval[bisect_right(starts_us, one.timestamp_us) - 1].append(one)
    series = [(start, aggregate(by_interval[index], function)) for index, start in enumerate(starts)]
    return series, aggregate(readings, function)


def quantities_by_customer(
    readings: Iterable[Reading], function: str, period: Period, across: str
) -> tuple[list[tuple[datetime, float]], float]:
    """Aggregate each payer's readings first, then combine the payers with the function *across*."""
    groups: defaultdict[str | None, list[Reading]] = defaultdict(list)
    for one in readings:
        groups[one.payer].append(one)
    answers = [quantities(group, function, period) for group in groups.values()]
    series = [
        (start, _across([answer[0][index][1] for answer in answers], across))
        for index, start in enumerate(period.intervals())
    ]
    return series, _across([total for _, total in answers], across)


def _across(numbers: Sequence[float], function: str) -> float:
    if function in {"count", "unique"}:
        return float(len(numbers if function == "count" else set(numbers)))
    return _combine(numbers, function)
