"""What a meter reads off the events, straight from SQL: a tuple an event, no event is built.

Polar's own events, of the source ``system``, are not usage and are never metered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox.conditions import USER_EVENTS, Condition, all_of, of_filter, property_at
from otel_polar.sandbox.meters import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.sandbox.database import Database
    from otel_polar.sandbox.records import Meter

# A customer is one payer, whether an event names it by Polar's id or by the application's.
_PAYER: Final = (
    "coalesce(events.customer_id, (SELECT id FROM customers WHERE external_id = events.external_customer_id),"
    " events.external_customer_id)"
)


def of_meter(meter: Meter) -> Condition:
    """Return the condition that an event is one the meter counts."""
    return all_of((USER_EVENTS, of_filter(meter.filter)))


def has_read(database: Database, meter: Meter) -> bool:
    """Say whether any event is one the meter counts."""
    condition = of_meter(meter)
    return bool(database.rows(f"SELECT 1 FROM events WHERE {condition.sql} LIMIT 1", condition.parameters))  # noqa: S608 - the values are parameters


def read(database: Database, meter: Meter, condition: Condition) -> list[Reading]:
    """Return what *meter* reads off the events that fit *condition* as well."""
    return _read(database, meter.aggregation, all_of((condition, of_meter(meter))), "NULL")


def read_by_payer(database: Database, meter: Meter, condition: Condition) -> list[Reading]:
    """Return the same with who pays: the customer's id, or an external id that is none yet."""
    return _read(database, meter.aggregation, all_of((condition, of_meter(meter))), _PAYER)


def _read(database: Database, aggregation: Mapping[str, Any], condition: Condition, payer: str) -> list[Reading]:
    value, kind, parameters = "NULL", "NULL", ()
    if aggregation["func"] != "count":
        actual = property_at(aggregation["property"])
        value, kind, parameters = actual.value, actual.kind, (*actual.parameters, *actual.parameters)
    rows = database.rows(
        f"SELECT events.timestamp_us, {value}, {kind}, {payer} FROM events WHERE {condition.sql}",  # noqa: S608 - the values are parameters
        (*parameters, *condition.parameters),
    )
    return list(map(Reading._make, rows))
