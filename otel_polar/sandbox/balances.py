"""What a customer's meter stands at: units consumed, units credited, and the balance of both.

Polar counts neither at once. Its customer meters are brought up to date by a job that runs seconds after the last event
of an idle customer, and up to three hours later for one who never rests; granting a credit brings that one meter up to
date at the same moment. A sandbox counts at once, unless it is told to lag by a number of seconds, or frozen until it
is thawed.

Credits are events too, of the source ``system``. They are added in the order of their time, and what a revoked credit
takes away never makes their sum negative.

Sources: polarsource/polar, server/polar/customer_meter/service.py, server/polar/benefit/strategies/meter_credit and
server/polar/config.py (15 s to 180 min).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.sandbox import metering
from otel_polar.sandbox.conditions import EVERY_EVENT, Condition, all_of, of_customers
from otel_polar.sandbox.meters import aggregate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.sandbox.database import Database
    from otel_polar.sandbox.records import Customer, Meter

METER_CREDITED: Final = "meter.credited"
_NAMESPACE: Final = uuid.UUID("6f2f4a5e-0000-4000-8000-0000706f6c72")


@dataclass(frozen=True, slots=True)
class CustomerMeter:
    """A meter that events or credits of a customer have reached."""

    customer: Customer
    meter: Meter
    consumed_units: float
    credited_units: int
    created_at_us: int
    modified_at_us: int

    @property
    def id(self) -> str:
        """The id of the pair, the same whenever it is asked for."""
        name = f"{self.customer.id}/{self.meter.id}"
        return str(uuid.UUID(bytes=uuid.uuid5(_NAMESPACE, name).bytes, version=4))

    @property
    def balance(self) -> float:
        """What is left: negative for a customer who used more than was credited."""
        return self.credited_units - self.consumed_units


class Balances:
    """Works out customer meters, as late as it is told to.

    Args:
        database: where the events are.
        now_us: the clock.
        lag_us: how long an event stays uncounted.
    """

    def __init__(self, database: Database, now_us: Callable[[], int], lag_us: int = 0) -> None:
        self._database = database
        self._now_us = now_us
        self._lag_us = lag_us
        self._frozen_at: int | None = None

    def freeze(self) -> None:
        """Count no event that arrives from now on."""
        self._frozen_at = int(self._database.rows("SELECT coalesce(max(sequence), 0) FROM events")[0][0])

    def thaw(self) -> None:
        """Count everything again."""
        self._frozen_at = None

    def of_customer(self, customer: Customer, meters: list[Meter]) -> Iterator[CustomerMeter]:
        """Yield those of *meters* that the customer's events have reached."""
        for meter in meters:
            found = self._of_pair(customer, meter)
            if found is not None:
                yield found

    def _of_pair(self, customer: Customer, meter: Meter) -> CustomerMeter | None:
        credits_given = self._credits(customer, meter)
        newest_credit = max((sequence for sequence, *_ in credits_given), default=0)
        own = of_customers([customer.id], [])
        counted = all_of((own, self._counted(newest_credit)))
        readings = metering.read(self._database, meter, counted)
        if not readings and not credits_given:
            return None
        arrived = self._arrivals(all_of((counted, metering.of_meter(meter))))
        arrived += [ingested_at_us for _, ingested_at_us, _ in credits_given]
        credited = 0
        for *_, units in credits_given:
            credited = max(0, credited + units)
        consumed = aggregate(readings, meter.aggregation["func"])
        return CustomerMeter(customer, meter, consumed, credited, min(arrived), max(arrived))

    def _credits(self, customer: Customer, meter: Meter) -> list[tuple[int, int, int]]:
        rows = self._database.rows(
            "SELECT sequence, ingested_at_us, metadata FROM events"
            " WHERE source = 'system' AND customer_id = ? AND name = ? ORDER BY timestamp_us, sequence",
            (customer.id, METER_CREDITED),
        )
        parsed = [(sequence, ingested_at_us, json.loads(metadata)) for sequence, ingested_at_us, metadata in rows]
        return [(sequence, at_us, given["units"]) for sequence, at_us, given in parsed if given["meter_id"] == meter.id]

    def _counted(self, newest_credit: int) -> Condition:
        if self._frozen_at is not None:
            return Condition("events.sequence <= ?", (max(self._frozen_at, newest_credit),))
        if self._lag_us:
            return Condition(
                "(events.ingested_at_us <= ? OR events.sequence <= ?)", (self._now_us() - self._lag_us, newest_credit)
            )
        return EVERY_EVENT

    def _arrivals(self, condition: Condition) -> list[int]:
        (row,) = self._database.rows(
            f"SELECT min(ingested_at_us), max(ingested_at_us) FROM events WHERE {condition.sql}",  # noqa: S608 - the values are parameters
            condition.parameters,
        )
        return [at_us for at_us in row if at_us is not None]
