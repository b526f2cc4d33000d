"""Polar's meters: what they count, and how much that is.

A meter's filter and aggregation can be changed until something was billed by it, and never afterwards. Events that came
before it are counted, but never billed.

Sources: polarsource/polar, server/polar/meter/{endpoints,schemas,filter,aggregation,service}.py. Scopes:
``meters:read`` or ``meters:write`` to read, ``meters:write`` to change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from otel_polar.polar_api import fields, listing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from otel_polar.polar_api.client import PolarApi

    Interval = Literal["hour", "day", "week", "month", "year"]

PATH: Final = "/v1/meters/"
_CUSTOM: Final = "custom"


@dataclass(frozen=True, slots=True)
class Unit:
    """How people read a meter's quantities; billing counts the same whatever it is.

    ``kind`` is ``scalar``, ``token`` or ``custom``, or a newer word of Polar's. With ``custom``, *multiplier* units are
    shown as one *label*.
    """

    kind: str = "scalar"
    label: str | None = None
    multiplier: int | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """What a meter counts: which events, and what of them. Two meters that count the same are equal.

    ``filter`` and ``aggregation`` are Polar's JSON with sorted keys, as :meth:`of` writes it.
    """

    filter: str
    aggregation: str

    @classmethod
    def of(cls, filter_: Mapping[str, Any], aggregation: Mapping[str, Any]) -> Counting:
        """From Polar's JSON. The order of clauses, and groups that group nothing, make no difference."""
        return cls(filter=_canonical(_filter(filter_)), aggregation=_canonical(_aggregation(aggregation)))

    @property
    def sums(self) -> str | None:
        """The metadata key that is summed; ``None`` if it is not a sum."""
        aggregation = json.loads(self.aggregation)
        if aggregation.get("func") != "sum":
            return None
        return str(aggregation["property"])

    @property
    def parts(self) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
        """The aggregation, the clauses of the filter, and how these are joined: ``and`` or ``or``."""
        filter_ = json.loads(self.filter)
        clauses = [each if isinstance(each, dict) else {} for each in filter_["clauses"]]
        return json.loads(self.aggregation), clauses, str(filter_["conjunction"])


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter on Polar."""

    id: str
    name: str
    counting: Counting
    unit: Unit
    is_archived: bool


@dataclass(frozen=True, slots=True)
class Quantity:
    """How much there was in an interval that starts at ``start``."""

    start: datetime
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Quantities:
    """How much there was in each interval of a period, and in all of it, in the meter's units."""

    intervals: tuple[Quantity, ...]
    total: Decimal


def list_meters(api: PolarApi, *, include_archived: bool = False) -> list[Meter]:
    """Every meter, by name. An archived one counts and bills nothing any more.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    meters = [_read_meter(item) for item in listing.iterate(api, PATH, {"sorting": "name"})]
    return meters if include_archived else [meter for meter in meters if not meter.is_archived]


def create_meter(api: PolarApi, *, name: str, counting: Counting, unit: Unit) -> Meter:
    """Create a meter; *name* has at least 3 characters.

    Raises:
        PolarError: if it cannot be created; after :class:`~otel_polar.errors.PolarUnreachableError` it may have been.
    """
    body: dict[str, Any] = {
        "name": name,
        "filter": json.loads(counting.filter),
        "aggregation": json.loads(counting.aggregation),
        "unit": unit.kind,
    }
    if unit.kind == _CUSTOM:
        body |= {"custom_label": unit.label, "custom_multiplier": unit.multiplier}
    return _read_meter(api.post(PATH, body))


def quantities(
    api: PolarApi,
    meter_id: str,
    start: datetime,
    end: datetime,
    interval: Interval,
    *,
    external_customer_id: str | None = None,
) -> Quantities:
    """What a meter counts from *start* to *end*, of everybody or of one customer: at once, and all that Polar has.

    Args:
        api: Polar.
        meter_id: which meter.
        start: with its offset.
        end: with its offset; an event of that very time is counted.
        interval: into which the period is cut, in UTC.
        external_customer_id: whose events; everybody's if left out.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    parameters = {"start_timestamp": start.isoformat(), "end_timestamp": end.isoformat(), "interval": interval}
    if external_customer_id is not None:
        parameters["external_customer_id"] = external_customer_id
    answer = api.get(f"{PATH}{quote(meter_id, safe='')}/quantities", parameters)
    return Quantities(
        intervals=tuple(
            Quantity(start=fields.time_of(each, "timestamp"), quantity=fields.exact(each, "quantity"))
            for each in fields.mappings(answer, "quantities")
        ),
        total=fields.exact(answer, "total"),
    )


def _read_meter(item: Any) -> Meter:
    multiplier = fields.optional(item, "custom_multiplier")
    return Meter(
        id=fields.text(item, "id"),
        name=fields.text(item, "name"),
        counting=Counting.of(fields.mapping(item, "filter"), fields.mapping(item, "aggregation")),
        unit=Unit(
            # Older servers have no units.
            kind=fields.text_or_none(item, "unit") or "scalar",
            label=fields.text_or_none(item, "custom_label"),
            multiplier=None if multiplier is None else fields.whole(item, "custom_multiplier"),
        ),
        is_archived=fields.optional(item, "archived_at") is not None,
    )


def _aggregation(aggregation: Mapping[str, Any]) -> dict[str, Any]:
    return {"func": "count", **{key: _plain(key, value) for key, value in aggregation.items() if value is not None}}


def _filter(filter_: Mapping[str, Any]) -> dict[str, Any]:
    simple = _simple(filter_)
    return simple if "clauses" in simple else {"conjunction": "and", "clauses": [simple]}


def _simple(clause: Any) -> Any:
    """The same condition without groups of one, groups within their like, and repetitions; in an order of its own."""
    if not isinstance(clause, dict) or not isinstance(clause.get("clauses"), list):
        return {key: _plain(key, value) for key, value in clause.items()} if isinstance(clause, dict) else clause
    found = {}
    for each in map(_simple, clause["clauses"]):
        is_alike = isinstance(each, dict) and each.get("clauses") and each["conjunction"] == clause.get("conjunction")
        found.update({_canonical(part): part for part in (each["clauses"] if is_alike else [each])})
    if len(found) == 1:
        return next(iter(found.values()))
    return {"conjunction": clause.get("conjunction"), "clauses": [found[key] for key in sorted(found)]}


def _plain(key: str, value: Any) -> Any:
    # The prefix says nothing: polarsource/polar, server/polar/kit/metadata.py.
    return value.removeprefix("metadata.") if key == "property" and isinstance(value, str) else value


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
