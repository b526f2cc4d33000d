"""Query strings of Polar's listings: pages, order, times, switches, lists of values, ``metadata[key]=value``.

Sources: polarsource/polar, server/polar/kit/pagination.py, server/polar/kit/sorting.py, server/polar/kit/metadata.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import scalars
from otel_polar.sandbox.records import to_unix_us
from otel_polar.sandbox.scalars import RefusedError, refused
from otel_polar.sandbox.schema import REQUIRED, Member, one_of, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from otel_polar.sandbox.scalars import Rule

_MAX_LIMIT: Final = 100
_METADATA_KEY = re.compile(r"metadata\[([^\]]+)\]")
_WORDS: Final = {
    **dict.fromkeys(("true", "1", "yes", "y", "on", "t"), True),
    **dict.fromkeys(("false", "0", "no", "n", "off", "f"), False),
}
# Nothing is later than this, so any time is "in the past" where Polar does not ask for it.
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


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


def read_time_us(query: QueryParams, name: str) -> int | None:
    """Return an optional time parameter in whole microseconds since 1970."""
    value = read_time(query, name, None)
    return None if value is None else to_unix_us(value)


def _any_time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=datetime.fromisoformat(value).tzinfo or UTC)
    except ValueError:
        parsed: datetime = scalars.timestamp_before(_END_OF_TIME)(value)
        return parsed


def read_switch(query: QueryParams, name: str) -> bool | None:
    """Return an optional yes or no."""
    value: bool | None = read_parameter(query, name, _yes_or_no, None)
    return value


def _yes_or_no(value: Any) -> bool:
    try:
        return _WORDS[value.lower()]
    except KeyError:
        message = "Input should be a valid boolean, unable to interpret input"
        raise refused("bool_parsing", message, value) from None


def positive(value: Any) -> int:
    """Accept an integer above 0."""
    number = scalars.integer(value)
    if number < 1:
        raise refused("greater_than", "Input should be greater than 0", value, gt=0)
    return number


def read_metadata_query(query: QueryParams) -> dict[str, list[str]]:
    """Return the values wanted of each metadata key: alternatives of one key, all keys together."""
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in query.multi_items():
        if match := _METADATA_KEY.match(name):
            wanted[match[1]].append(value)
    return dict(wanted)


def has_metadata(metadata: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Say whether the metadata of a customer, a meter or a product is what ``metadata[key]=value`` asks for."""
    return all(key in metadata and _as_text(metadata[key]) in values for key, values in wanted.items())


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_wanted(query: QueryParams, name: str, value: str | None) -> bool:
    """Say whether *value* is one of those a parameter names; one that is absent names all."""
    return name not in query or value in query.getlist(name)


def read_sorting(request: Request, keys: tuple[str, ...], default: str) -> tuple[str, bool]:
    """Return the key to sort by and whether the largest comes first."""
    rule = one_of(*keys, *(f"-{key}" for key in keys))
    chosen: str = read_parameter(request.query_params, "sorting", rule, default)
    return chosen.removeprefix("-"), chosen.startswith("-")


def sort(request: Request, found: list[Any], keys: Mapping[str, Callable[[Any], Any]], default: str) -> None:
    """Put what was found in the order asked for."""
    key, is_descending = read_sorting(request, tuple(keys), default)
    found.sort(key=keys[key], reverse=is_descending)


def read_page(query: QueryParams) -> tuple[int, int]:
    """Return the page, from 1, and its size, at most 100 whatever was asked for."""
    limit = read_parameter(query, "limit", positive, 10)
    return read_parameter(query, "page", positive, 1), min(limit, _MAX_LIMIT)


def page(request: Request, found: Sequence[Any], shape: Callable[[Any], dict[str, Any]]) -> Response:
    """Answer with the page of *found* that was asked for."""
    return page_of_many(request, found, lambda part: [shape(one) for one in part])


def page_of_many(request: Request, found: Any, shape: Callable[[Any], list[dict[str, Any]]]) -> Response:
    """Answer with the page of *found* that was asked for, shaped together."""
    number, limit = read_page(request.query_params)
    items = shape(found[(number - 1) * limit : number * limit])
    pagination = {"total_count": len(found), "max_page": -(-len(found) // limit)}
    return JSONResponse({"items": items, "pagination": pagination})
