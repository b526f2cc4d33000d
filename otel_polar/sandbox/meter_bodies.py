"""What a meter is made of, as it comes in a body: filter, aggregation, unit; and the period of its quantities.

Sources: polarsource/polar, server/polar/meter/schemas.py, filter.py and aggregation.py,
server/polar/kit/time_queries.py.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from otel_polar.sandbox import meters, queries, scalars
from otel_polar.sandbox.bodies import INT32, read_metadata, yes_or_no
from otel_polar.sandbox.conditions import COMPARISONS, EVERY_EVENT, PATTERNS, Condition, of_filter
from otel_polar.sandbox.scalars import Problem, RefusedError, refused
from otel_polar.sandbox.schema import Member, list_of, one_of, read_object

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

_MAX_INTERVALS: Final = 10_000
_METADATA_PREFIX: Final = "metadata."


def read_filter(value: Any) -> dict[str, Any]:
    """Parse a meter's filter, nested as deep as it comes."""
    members = {"conjunction": Member(one_of("and", "or")), "clauses": Member(list_of(_read_clause))}
    return read_object(value, members)


def _read_clause(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and "clauses" in value:
        return read_filter(value)
    members = {
        "property": Member(_read_property),
        "operator": Member(one_of(*COMPARISONS, *PATTERNS)),
        "value": Member(_read_operand),
    }
    return read_object(value, members)


def _read_property(value: Any) -> str:
    return str(scalars.text(value)).removeprefix(_METADATA_PREFIX)


def _read_operand(value: Any) -> str | int | bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in INT32):
        return value
    return str(scalars.text_between(0, 1_000)(value))


def read_aggregation(value: Any) -> dict[str, Any]:
    """Parse a meter's aggregation."""
    function = read_object(value, {"func": Member(one_of("count", "unique", *meters.FUNCTIONS))})
    if function["func"] == "count":
        return function
    return {**function, **read_object(value, {"property": Member(_read_property)})}


CREATE: Final = {
    "name": Member(scalars.text_between(3, 255)),
    "unit": Member(one_of("scalar", "token", "custom"), default="scalar"),
    "custom_label": Member(scalars.optional(scalars.text), default=None),
    "custom_multiplier": Member(scalars.optional(queries.positive), default=None),
    "filter": Member(read_filter),
    "aggregation": Member(read_aggregation),
    "metadata": Member(read_metadata, default={}),
}
UPDATE: Final = {
    **{
        name: Member(scalars.optional(CREATE[name].rule))
        for name in ("name", "unit", "custom_label", "custom_multiplier", "filter", "aggregation")
    },
    "metadata": CREATE["metadata"],
    "is_archived": Member(scalars.optional(yes_or_no)),
}


def read_filter_query(query: QueryParams) -> Condition:
    """Return the condition of ``filter``, a meter's filter written as JSON."""
    written = query.get("filter")
    if written is None:
        return EVERY_EVENT
    try:
        return of_filter(read_filter(json.loads(written)))
    except (ValueError, RecursionError):
        raise RefusedError(Problem("json_invalid", "Invalid JSON", written, ("query", "filter"))) from None
    except RefusedError as error:
        raise RefusedError(*(one.below("query", "filter") for one in error.problems)) from None


def read_period(query: QueryParams) -> meters.Period:
    """Return the period, the interval and the time zone of a question about quantities."""
    start, end = queries.read_time(query, "start_timestamp"), queries.read_time(query, "end_timestamp")
    interval = queries.read_parameter(query, "interval", one_of(*meters.INTERVALS))
    zone = queries.read_parameter(query, "timezone", _zone, ZoneInfo("UTC"))
    if start is None or end is None:
        raise RefusedError(Problem("missing", "Field required", None, ("query", "start_timestamp")))
    period = meters.Period(start, end, interval, zone)
    if sum(1 for _ in islice(period.intervals(), _MAX_INTERVALS + 1)) > _MAX_INTERVALS:
        message = f"The period holds more than {_MAX_INTERVALS} intervals."
        raise RefusedError(Problem("value_error", message, interval, ("query", "interval")))
    return period


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(scalars.text(value))
    except (LookupError, ValueError, OSError):
        raise refused("value_error", "Unknown time zone", value) from None
