"""The rules of ``POST /v1/events/ingest``: a JSON body in, parsed events or Polar's 422 out.

An event is a union of two models, one by ``customer_id``, one by ``external_customer_id``. If neither fits, pydantic
reports the problems of **both**, so every bad event of an external customer also seems to lack a ``customer_id``. One
bad event refuses the whole batch.

===================== ======================================================================================
name                  string of at most 128 code points, may be empty
timestamp             aware, not later than now, never null; absent: the time of receipt
customer_id           UUID4; whether it exists is checked later, by the endpoint
external_customer_id  any string, known to Polar or not; wins over ``customer_id`` when both are given
external_id           the key of deduplication; "" is a key, null is none
metadata              values are strings of 1 to 500 code points, integers, floats or booleans, never null
metadata._cost        ``amount`` in cents, at most 5 digits before and 12 after the point; ``currency`` usd
metadata._llm         vendor, model and three token counts; members outside the schema are dropped
===================== ======================================================================================

Sources: polarsource/polar, server/polar/event/schemas.py and server/polar/kit/metadata.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox import scalars
from otel_polar.sandbox.scalars import Problem, RefusedError, ServerFaultError, refused
from otel_polar.sandbox.schema import Member, list_of, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_NAME_MAX_CHARACTERS: Final = 128
_STRING_MAX_CHARACTERS: Final = 500

_COST: Final = {
    "amount": Member(scalars.decimal(max_digits=17, decimal_places=12)),
    "currency": Member(scalars.currency),
}
_LLM: Final = {
    "vendor": Member(scalars.text),
    "model": Member(scalars.text),
    "prompt": Member(scalars.optional(scalars.text), default=None),
    "response": Member(scalars.optional(scalars.text), default=None),
    "input_tokens": Member(scalars.integer),
    "cached_input_tokens": Member(scalars.integer, default=None),
    "output_tokens": Member(scalars.integer),
    "total_tokens": Member(scalars.integer),
}
# How pydantic names the members of the union of metadata values, with the two kinds of refusal of each.
_OTHER_ARMS: Final = (
    ("int", "int", "integer", "unable to parse string as an integer"),
    ("float", "float", "number", "unable to parse string as a number"),
    ("bool", "bool", "boolean", "unable to interpret input"),
)
_STRING_ARM: Final = "function-after[reject_nul_character(), constrained-str]"
_metadata_text = scalars.text_between(1, _STRING_MAX_CHARACTERS)


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """An event that obeys the schema."""

    name: str
    timestamp: datetime
    timestamp_given: str
    external_id: str | None
    parent_id: str | None
    organization_id: str | None
    customer_id: str | None
    member_id: str | None
    external_customer_id: str | None
    external_member_id: str | None
    metadata: dict[str, Any]


def read_batch(body: Any, *, now: datetime) -> list[ParsedEvent]:
    """Parse a body, or refuse all of it.

    Raises:
        RefusedError: with every problem of every event, at its place below ``body``.
        ServerFaultError: if Polar itself would break.
    """
    reader = EventReader(now)
    try:
        return list(read_object(body, {"events": Member(list_of(reader.read))})["events"])
    except RefusedError as error:
        raise RefusedError(*(problem.below("body") for problem in error.problems)) from None


class EventReader:
    """Reads events against one time of receipt."""

    __slots__ = ("_arms", "_now")

    def __init__(self, now: datetime) -> None:
        self._now = now
        shared = {
            "timestamp": Member(scalars.timestamp_before(now), default=now),
            "name": Member(scalars.text_between(0, _NAME_MAX_CHARACTERS)),
            "organization_id": Member(scalars.optional(scalars.uuid4), default=None),
            "external_id": Member(scalars.optional(scalars.text), default=None),
            "parent_id": Member(scalars.optional(scalars.text), default=None),
            "metadata": Member(read_metadata, default={}),
        }
        self._arms: dict[str, Mapping[str, Member]] = {
            "EventCreateCustomer": {
                **shared,
                "customer_id": Member(scalars.uuid4),
                "member_id": Member(scalars.optional(scalars.uuid4), default=None),
            },
            "EventCreateExternalCustomer": {
                **shared,
                "external_customer_id": Member(scalars.text),
                "external_member_id": Member(scalars.optional(scalars.text), default=None),
            },
        }

    def read(self, value: Any) -> ParsedEvent:
        """Return the event by external customer if that model fits, else by customer, else refuse it by both."""
        problems: list[Problem] = []
        for arm in ("EventCreateExternalCustomer", "EventCreateCustomer"):
            try:
                return self._build(value, read_object(value, self._arms[arm]))
            except RefusedError as error:
                # The external model is tried first because it wins, but reported last.
                problems = [problem.below(arm) for problem in error.problems] + problems
        raise RefusedError(*problems)

    def _build(self, value: dict[str, Any], fields: dict[str, Any]) -> ParsedEvent:
        given = value.get("timestamp", self._now.isoformat())
        return ParsedEvent(
            name=fields["name"],
            timestamp=fields["timestamp"],
            timestamp_given=str(given),
            external_id=fields["external_id"],
            parent_id=fields["parent_id"],
            organization_id=fields["organization_id"],
            customer_id=fields.get("customer_id"),
            member_id=fields.get("member_id"),
            external_customer_id=fields.get("external_customer_id"),
            external_member_id=fields.get("external_member_id"),
            metadata=fields["metadata"],
        )


def read_metadata(value: Any) -> dict[str, Any]:
    """Parse one event's metadata into what Polar stores."""
    if not isinstance(value, dict):
        raise refused("dict_type", "Input should be a valid dictionary", value)
    parsed: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, item in value.items():
        try:
            parsed[scalars.text(key)] = _read_entry(key, item)
        except RefusedError as error:
            problems += [problem.below(key) for problem in error.problems]
    if problems:
        raise RefusedError(*problems)
    return parsed


def _read_entry(key: str, value: Any) -> Any:
    if key == "_cost":
        return _read_cost(value)
    if key == "_llm":
        return _read_llm(value)
    return read_value(value)


def _read_cost(value: Any) -> dict[str, Any]:
    cost = _read_typed(value, _COST)
    # PostgreSQL keeps the amount as a double: digits beyond the sixteenth are lost here as they are there.
    return {**cost, "amount": float(cost["amount"])}


def _read_llm(value: Any) -> dict[str, Any]:
    usage = _read_typed(value, _LLM)
    # An absent count stays absent; only a given null is refused.
    return {key: item for key, item in usage.items() if key != "cached_input_tokens" or item is not None}


def _read_typed(value: Any, members: Mapping[str, Member]) -> dict[str, Any]:
    try:
        return read_object(value, members)
    except RefusedError:
        if isinstance(value, dict):
            raise
        raise refused("dict_type", "Input should be a valid dictionary", value) from None


def read_value(value: Any) -> str | int | float | bool:
    """Parse one ordinary metadata value; a refusal is reported by each of the four types of the union."""
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if isfinite(value):
            return value
        raise ServerFaultError("JSONB holds neither NaN nor Infinity")
    try:
        return str(_metadata_text(value))
    except RefusedError as error:
        raise RefusedError(*_by_every_arm(value, error)) from None


def _by_every_arm(value: Any, as_text: RefusedError) -> list[Problem]:
    problems = [problem.below(_STRING_ARM) for problem in as_text.problems]
    for place, kind, noun, unreadable in _OTHER_ARMS:
        message = f"Input should be a valid {noun}"
        if isinstance(value, str):
            problems.append(Problem(f"{kind}_parsing", f"{message}, {unreadable}", value, (place,)))
        else:
            problems.append(Problem(f"{kind}_type", message, value, (place,)))
    return problems
