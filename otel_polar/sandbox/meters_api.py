"""Meters: created, renamed, archived, and asked for their quantities; and what each customer's meters stand at.

Once a meter counts events, its filter and its aggregation stay as they are. A meter that a product's price or a credit
refers to cannot be archived.

Sources: polarsource/polar, server/polar/meter/endpoints.py and service.py, server/polar/customer_meter/service.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, conditions, meter_bodies, metering, meters, queries, shapes
from otel_polar.sandbox.bodies import problem, read_body, read_changes
from otel_polar.sandbox.records import to_unix_us
from otel_polar.sandbox.schema import one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from otel_polar.sandbox.balances import CustomerMeter
    from otel_polar.sandbox.records import Customer, Meter
    from otel_polar.sandbox.scalars import Problem
    from otel_polar.sandbox.store import SandboxStore

_SORTS: Final[Mapping[str, Callable[[Meter], Any]]] = {
    "created_at": lambda meter: meter.created_at_us,
    "name": lambda meter: meter.name,
}
_CUSTOMER_METER_SORTS: Final[Mapping[str, Callable[[CustomerMeter], Any]]] = {
    "created_at": lambda one: one.created_at_us,
    "modified_at": lambda one: one.modified_at_us,
    "customer_id": lambda one: one.customer.id,
    "customer_name": lambda one: one.customer.name or "",
    "meter_id": lambda one: one.meter.id,
    "meter_name": lambda one: one.meter.name,
    "consumed_units": lambda one: one.consumed_units,
    "credited_units": lambda one: one.credited_units,
    "balance": lambda one: one.balance,
}
_FROZEN: Final = ("filter", "aggregation")


@dataclass(frozen=True, slots=True)
class MetersApi:
    """The endpoints around meters."""

    store: SandboxStore

    async def create(self, request: Request) -> Response:
        """Create a meter."""
        fields = read_body(await answers.read_json(request), meter_bodies.CREATE)
        return JSONResponse(shapes.meter_shape(self.store.insert_meter(fields)), 201)

    async def update(self, request: Request) -> Response:
        """Change a meter, archive it or take it back."""
        changes = read_changes(await answers.read_json(request), meter_bodies.UPDATE)
        meter = self._find(request)
        if meter is None:
            return answers.not_found()
        if problems := list(self._problems(meter, changes)):
            return answers.semantic_error(problems)
        now_us = self.store.now_us()
        is_archived = changes.pop("is_archived", None)
        if is_archived is not None:
            changes["archived_at_us"] = (meter.archived_at_us or now_us) if is_archived else None
        # A label and a multiplier can be taken away; the rest is never null.
        nullable = {"custom_label", "custom_multiplier", "archived_at_us"}
        kept = {name: value for name, value in changes.items() if value is not None or name in nullable}
        changed = replace(meter, **kept, modified_at_us=now_us)
        self.store.update_meter(changed)
        return JSONResponse(shapes.meter_shape(changed))

    def _problems(self, meter: Meter, changes: Mapping[str, Any]) -> Iterator[Problem]:
        frozen = [name for name in _FROZEN if name in changes]
        if frozen and metering.has_read(self.store.database, meter):
            message = "This field can't be updated because the meter is already aggregating events."
            yield from (problem(name, message, changes[name], "forbidden") for name in frozen)
        if changes.get("is_archived"):
            yield from self._archive_problems(meter)

    def _archive_problems(self, meter: Meter) -> Iterator[Problem]:
        catalog = self.store.catalog
        prices = [price for one in catalog.products.all() if not one["is_archived"] for price in one["prices"]]
        if any(price.get("meter_id") == meter.id and not price["is_archived"] for price in prices):
            yield problem("is_archived", "Cannot archive meter that is still attached to active products", value=True)
        elif any(one["properties"].get("meter_id") == meter.id for one in catalog.benefits.all()):
            message = "Cannot archive meter that is still referenced by active benefits"
            yield problem("is_archived", message, value=True)

    async def list_all(self, request: Request) -> Response:
        """Answer with the meters, by name unless sorted otherwise."""
        query = request.query_params
        text, is_archived = query.get("query", "").lower(), queries.read_switch(query, "is_archived")
        metadata = queries.read_metadata_query(query)
        found = [
            meter
            for meter in self.store.meters()
            if text in meter.name.lower()
            and is_archived in {None, meter.archived_at_us is not None}
            and queries.has_metadata(meter.metadata, metadata)
        ]
        queries.sort(request, found, _SORTS, "name")
        return queries.page(request, found, shapes.meter_shape)

    async def get(self, request: Request) -> Response:
        """Answer with one meter."""
        meter = self._find(request)
        return answers.not_found() if meter is None else JSONResponse(shapes.meter_shape(meter))

    def _find(self, request: Request) -> Meter | None:
        return self.store.find_meter(request.path_params["id"])

    async def get_quantities(self, request: Request) -> Response:
        """Answer with a meter's quantities per interval, at once consistent with what was ingested."""
        meter = self._find(request)
        if meter is None:
            return answers.not_found()
        query = request.query_params
        period = meter_bodies.read_period(query)
        condition = conditions.all_of(
            (
                conditions.between(to_unix_us(period.start), to_unix_us(period.end)),
                conditions.of_customers(query.getlist("customer_id"), query.getlist("external_customer_id")),
                conditions.of_metadata(queries.read_metadata_query(query)),
            )
        )
        rule = one_of("count", "unique", *meters.FUNCTIONS)
        across = queries.read_parameter(query, "customer_aggregation_function", rule, None)
        function, database = meter.aggregation["func"], self.store.database
        if across is None:
            series, total = meters.quantities(metering.read(database, meter, condition), function, period)
        else:
            readings = metering.read_by_payer(database, meter, condition)
            series, total = meters.quantities_by_customer(readings, function, period, across)
        points = [{"timestamp": start.isoformat().replace("+00:00", "Z"), "quantity": value} for start, value in series]
        return JSONResponse({"quantities": points, "total": total})


@dataclass(frozen=True, slots=True)
class CustomerMetersApi:
    """The endpoints around what customers' meters stand at."""

    store: SandboxStore

    async def list_all(self, request: Request) -> Response:
        """Answer with the customer meters, the last changed first unless sorted otherwise."""
        query = request.query_params
        meters_asked = [
            meter
            for meter in self.store.meters()
            # An archived meter is only shown to who asks for it by name.
            if queries.is_wanted(query, "meter_id", meter.id) and ("meter_id" in query or meter.archived_at_us is None)
        ]
        found = [one for customer in self._customers(request) for one in self._of(customer, meters_asked)]
        queries.sort(request, found, _CUSTOMER_METER_SORTS, "-modified_at")
        return queries.page(request, found, shapes.customer_meter_shape)

    async def get(self, request: Request) -> Response:
        """Answer with one customer meter."""
        for customer in self.store.customers():
            for one in self._of(customer, self.store.meters()):
                if one.id == request.path_params["id"]:
                    return JSONResponse(shapes.customer_meter_shape(one))
        return answers.not_found()

    def _customers(self, request: Request) -> list[Customer]:
        query = request.query_params
        return [
            customer
            for customer in self.store.customers()
            if queries.is_wanted(query, "customer_id", customer.id)
            and queries.is_wanted(query, "external_customer_id", customer.external_id)
        ]

    def _of(self, customer: Customer, meters_asked: list[Meter]) -> Iterator[CustomerMeter]:
        return self.store.balances.of_customer(customer, meters_asked)
