"""Bodies of the requests that create or change something: read, located below ``body``, or refused.

Metadata of customers, meters, products and the like is stricter than that of events: at most 50 keys of 1 to 40
characters. A change names only what it changes; what it does not name stays.

Sources: polarsource/polar, server/polar/kit/metadata.py, server/polar/kit/schemas.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox import scalars
from otel_polar.sandbox.ingest import read_value
from otel_polar.sandbox.scalars import Problem, RefusedError, refused
from otel_polar.sandbox.schema import Member, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_KEYS: Final = 50
_key = scalars.text_between(1, 40)
INT32: Final = range(-(2**31), 2**31)


def read_body(body: Any, members: Mapping[str, Member]) -> dict[str, Any]:
    """Return all members of a body.

    Raises:
        RefusedError: located below ``body``.
    """
    try:
        return read_object(body, members)
    except RefusedError as error:
        raise RefusedError(*(problem.below("body") for problem in error.problems)) from None


def read_changes(body: Any, members: Mapping[str, Member]) -> dict[str, Any]:
    """Return the members that a body names."""
    fields = read_body(body, {name: Member(member.rule, default=None) for name, member in members.items()})
    return {name: value for name, value in fields.items() if name in body}


def problem(field: str, message: str, value: Any, kind: str = "value_error") -> Problem:
    """Build the refusal of one field for what it means."""
    return Problem(kind, message, value, ("body", *field.split(".")))


def read_metadata(value: Any) -> dict[str, Any]:
    """Accept the metadata of anything but an event."""
    if not isinstance(value, dict):
        raise refused("dict_type", "Input should be a valid dictionary", value)
    parsed: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, item in value.items():
        problems += _problems_of_key(key)
        try:
            parsed[key] = read_value(item)
        except RefusedError as error:
            problems += [one.below(key) for one in error.problems]
    if problems:
        raise RefusedError(*problems)
    if len(parsed) > _MAX_KEYS:
        message = f"Dictionary should have at most {_MAX_KEYS} items after validation, not {len(parsed)}"
        context = {"field_type": "Dictionary", "max_length": _MAX_KEYS, "actual_length": len(parsed)}
        raise refused("too_long", message, value, **context)
    return parsed


def _problems_of_key(key: str) -> list[Problem]:
    try:
        _key(key)
    except RefusedError as error:
        return [one.below(key, "[key]") for one in error.problems]
    return []


def yes_or_no(value: Any) -> bool:
    """Accept true, false and the words and numbers pydantic takes for them."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, str | int) and str(value).lower() in words:
        return words[str(value).lower()]
    raise refused("bool_type", "Input should be a valid boolean", value)


def integer_from(minimum: int) -> scalars.Rule:
    """Build the rule for an integer of 32 bits, not below *minimum*."""

    def rule(value: Any) -> int:
        number = scalars.integer(value)
        if number < minimum:
            message = f"Input should be greater than or equal to {minimum}"
            raise refused("greater_than_equal", message, value, ge=minimum)
        if number not in INT32:
            message = f"Input should be less than or equal to {INT32[-1]}"
            raise refused("less_than_equal", message, value, le=INT32[-1])
        return number

    return rule
