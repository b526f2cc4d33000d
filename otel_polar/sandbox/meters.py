"""Which events a meter counts, and what they add up to. Pure: events in, numbers out.

A property is ``name``, ``source``, ``timestamp`` (whole seconds since 1970) or a path into the metadata, split at every
dot: a metadata key that itself contains a dot can never be metered. Comparisons are strict about types: the number 5 is
not the string "5", and true is not 1. A property that is absent matches no operator, not even ``ne`` and ``not_like``,
because SQL's NULL is not true.

Sources: polarsource/polar, server/polar/meter/filter.py, server/polar/meter/aggregation.py and
server/polar/kit/metadata.py.
"""

from __future__ import annotations

import json
import operator
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox.records import from_unix_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

    from otel_polar.sandbox.records import Event

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_PATTERNS: Final = {"like": True, "not_like": False}
OPERATORS: Final = (*_COMPARISONS, *_PATTERNS)
FUNCTIONS: Final = ("sum", "max", "min", "avg")
INTERVALS: Final = ("hour", "day", "week", "month", "year")
_US_PER_S: Final = 1_000_000
_METADATA_PREFIX: Final = "metadata."


def strip_metadata_prefix(path: str) -> str:
    """Return a property as Polar stores it."""
    return path.removeprefix(_METADATA_PREFIX)


def read_property(event: Event, path: str) -> Any:
    """Return what *path* names in the event, or None."""
    if path == "name":
        return event.name
    if path == "source":
        return "user"
    if path == "timestamp":
        return event.timestamp_us // _US_PER_S
    value: Any = event.metadata
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def matches(event: Event, node: dict[str, Any]) -> bool:
    """Say whether the event passes a filter or a clause; a filter without clauses lets everything pass."""
    if "clauses" not in node:
        return _clause_matches(read_property(event, node["property"]), node["operator"], node["value"])
    outcomes = [matches(event, clause) for clause in node["clauses"]]
    return not outcomes or (all(outcomes) if node["conjunction"] == "and" else any(outcomes))


def _clause_matches(actual: Any, name: str, expected: Any) -> bool:
    if actual is None:
        return False
    if name in _PATTERNS:
        return _is_like(as_text(actual), as_text(expected)) is _PATTERNS[name]
    if _json_type(actual) != _json_type(expected):
        return False
    return _COMPARISONS[name](actual, expected)


def _is_like(text: str, pattern: str) -> bool:
    # SQL's LIKE '%pattern%': a percent sign or an underscore inside the pattern is a wildcard too.
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(character) or re.escape(character) for character in pattern)
    return re.search(expression, text, re.DOTALL) is not None


def as_text(value: Any) -> str:
    """Return a metadata value as PostgreSQL's ``->>`` shows it."""
    return value if isinstance(value, str) else json.dumps(value)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object"


def aggregate(events: Iterable[Event], aggregation: dict[str, Any]) -> float:
    """Return one number for *events*: 0 where there is nothing to aggregate.

    Only JSON numbers are summed, averaged and compared; strings of digits and booleans are skipped.

    Raises:
        OverflowError: if a number or the sum is too large for a double.
    """
    function = aggregation["func"]
    if function == "count":
        return float(sum(1 for _ in events))
    values = [value for event in events if (value := read_property(event, aggregation["property"])) is not None]
    if function == "unique":
        return float(len({json.dumps(value, sort_keys=True) for value in values}))
    return _combine([float(value) for value in values if _json_type(value) == "number"], function)


def _combine(numbers: Sequence[float], function: str) -> float:
    if not numbers:
        return 0.0
    if function in {"max", "min"}:
        return max(numbers) if function == "max" else min(numbers)
    total = sum(numbers)
    if not isfinite(total):
        raise OverflowError("the sum does not fit a double")
    return total / len(numbers) if function == "avg" else total


@dataclass(frozen=True, slots=True)
class Period:
    """The stretch of time a question is about, cut into intervals of one time zone."""

    start: datetime
    end: datetime
    interval: str
    zone: ZoneInfo

    def holds(self, event: Event) -> bool:
        """Say whether the event happened in the period, both ends included."""
        return self.start <= from_unix_us(event.timestamp_us) <= self.end

    def interval_of(self, event: Event) -> datetime:
        """Return the start of the interval the event falls into, in UTC."""
        return truncate(from_unix_us(event.timestamp_us).astimezone(self.zone), self.interval).astimezone(UTC)

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
    events: Iterable[Event], aggregation: dict[str, Any], period: Period
) -> tuple[list[tuple[datetime, float]], float]:
    """Return the quantity of each interval of *period*, and the quantity of the whole of it.

    The total is aggregated anew over all events, so that an average is not an average of averages.
    """
    inside = [event for event in events if period.holds(event)]
    by_interval: defaultdict[datetime, list[Event]] = defaultdict(list)
    for event in inside:
        by_interval[period.interval_of(event)].append(event)
    series = [(start, aggregate(by_interval[start], aggregation)) for start in period.intervals()]
    return series, aggregate(inside, aggregation)


def quantities_by_customer(
    groups: Iterable[Sequence[Event]], aggregation: dict[str, Any], period: Period, function: str
) -> tuple[list[tuple[datetime, float]], float]:
    """Aggregate each customer's events first, then combine the customers with *function*."""
    answers = [quantities(group, aggregation, period) for group in groups]
    series = [
        (start, _across([answer[0][index][1] for answer in answers], function))
        for index, start in enumerate(period.intervals())
    ]
    return series, _across([total for _, total in answers], function)


def _across(numbers: Sequence[float], function: str) -> float:
    if function in {"count", "unique"}:
        return float(len(numbers if function == "count" else set(numbers)))
    return _combine(numbers, function)
