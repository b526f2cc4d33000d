"""Query strings of Polar's listings: pages, times, lists of values, ``metadata[key]=value``.

Sources: polarsource/polar, server/polar/kit/pagination.py, server/polar/kit/metadata.py.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox import meters, scalars
from otel_polar.sandbox.records import to_unix_us
from otel_polar.sandbox.scalars import Problem, RefusedError, refused
from otel_polar.sandbox.schema import REQUIRED, Member, list_of, one_of, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.datastructures import QueryParams

    from otel_polar.sandbox.records import Customer, Event
    from otel_polar.sandbox.scalars import Rule

_MAX_LIMIT: Final = 100
_METADATA_KEY = re.compile(r"metadata\[([^\]]+)\]")
# Nothing is later than this, so any time is "in the past" where Polar does not ask for it.
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
INT32: Final = range(-(2**31), 2**31)


def read_parameter(query: QueryParams, name: str, rule: Rule, default: Any = REQUIRED) -> Any:
    """Return one parsed parameter.

    Raises:
        RefusedError: located below ``query``.
    """
    try:
        return read_object(dict(query), {name: Member(rule, default)})[name]
    except RefusedError as error:
        raise RefusedError(*(problem.below("query") for problem in error.problems)) from None


def read_time(query: QueryParams, name: str, default: Any = REQUIRED) -> datetime | None:
    """Return a time parameter; without a zone it is in UTC."""
    value: datetime | None = read_parameter(query, name, _any_time, default)
    return value


def _any_time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=datetime.fromisoformat(value).tzinfo or UTC)
    except ValueError:
        parsed: datetime = scalars.timestamp_before(_END_OF_TIME)(value)
        return parsed


def positive(value: Any) -> int:
    """Accept an integer above 0."""
    number = scalars.integer(value)
    if number < 1:
        raise refused("greater_than", "Input should be greater than 0", value, gt=0)
    return number


def read_page(query: QueryParams) -> tuple[int, int]:
    """Return the page, from 1, and its size, at most 100 whatever was asked for."""
    limit = read_parameter(query, "limit", positive, 10)
    return read_parameter(query, "page", positive, 1), min(limit, _MAX_LIMIT)


def cut_page(items: list[Any], page: int, limit: int) -> list[Any]:
    """Return the items of one page."""
    return items[(page - 1) * limit : page * limit]


def of_customers(query: QueryParams, customers: Iterable[Customer]) -> Callable[[Event], bool]:
    """Return the test for ``customer_id`` and ``external_customer_id``: each finds events of either kind."""
    ids, external_ids = set(query.getlist("customer_id")), set(query.getlist("external_customer_id"))
    if not ids and not external_ids:
        return lambda _: True
    named = [one for one in customers if one.id in ids or one.external_id in external_ids]
    return lambda event: (
        event.external_customer_id in external_ids or any(event.belongs_to(customer) for customer in named)
    )


def by_metadata(query: QueryParams) -> Callable[[Event], bool]:
    """Return the test for ``metadata[key]=value``: values of one key are alternatives, keys must all fit."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in query.multi_items():
        if match := _METADATA_KEY.match(name):
            wanted[match[1]].add(value)

    def fits(event: Event) -> bool:
        return all(
            key in event.metadata and meters.as_text(event.metadata[key]) in values for key, values in wanted.items()
        )

    return fits


def in_time(query: QueryParams) -> Callable[[Event], bool]:
    """Return the test for ``start_timestamp`` and ``end_timestamp``."""
    start, end = read_time(query, "start_timestamp", None), read_time(query, "end_timestamp", None)
    first_us = float("-inf") if start is None else to_unix_us(start)
    last_us = float("inf") if end is None else to_unix_us(end)
    return lambda event: first_us <= event.timestamp_us <= last_us


def by_filter(query: QueryParams) -> Callable[[Event], bool]:
    """Return the test for ``filter``, a meter's filter written as JSON."""
    written = query.get("filter")
    if written is None:
        return lambda _: True
    try:
        node = read_filter(json.loads(written))
    except (ValueError, RecursionError):
        raise RefusedError(Problem("json_invalid", "Invalid JSON", written, ("query", "filter"))) from None
    except RefusedError as error:
        raise RefusedError(*(problem.below("query", "filter") for problem in error.problems)) from None
    return lambda event: meters.matches(event, node)


def read_filter(value: Any) -> dict[str, Any]:
    """Parse a meter's filter, nested as deep as it comes."""
    members = {"conjunction": Member(one_of("and", "or")), "clauses": Member(list_of(_read_clause))}
    return read_object(value, members)


def _read_clause(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and "clauses" in value:
        return read_filter(value)
    members = {
        "property": Member(lambda path: meters.strip_metadata_prefix(scalars.text(path))),
        "operator": Member(one_of(*meters.OPERATORS)),
        "value": Member(_read_operand),
    }
    return read_object(value, members)


def _read_operand(value: Any) -> str | int | bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in INT32):
        return value
    return str(scalars.text_between(0, 1_000)(value))


def read_aggregation(value: Any) -> dict[str, Any]:
    """Parse a meter's aggregation."""
    function = read_object(value, {"func": Member(one_of("count", "unique", *meters.FUNCTIONS))})
    if function["func"] == "count":
        return function
    path = Member(lambda written: meters.strip_metadata_prefix(scalars.text(written)))
    return {**function, **read_object(value, {"property": path})}
