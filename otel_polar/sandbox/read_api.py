"""Events, customers and meters over HTTP: what an integration reads back, and creates before it bills.

Sources: polarsource/polar, server/polar/event/endpoints.py, server/polar/customer/endpoints.py,
server/polar/meter/endpoints.py.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, meters, queries, scalars, shapes
from otel_polar.sandbox.ingest import read_metadata
from otel_polar.sandbox.scalars import Problem, RefusedError, refused
from otel_polar.sandbox.schema import REQUIRED, Member, one_of, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request

    from otel_polar.sandbox.records import Customer, Event, Meter
    from otel_polar.sandbox.store import SandboxStore

_MAX_INTERVALS: Final = 10_000
_METER: Final = {
    "name": Member(scalars.text_between(3, 255)),
    "unit": Member(one_of("scalar", "token", "custom"), default="scalar"),
    "custom_label": Member(scalars.optional(scalars.text), default=None),
    "custom_multiplier": Member(scalars.optional(queries.positive), default=None),
    "filter": Member(queries.read_filter),
    "aggregation": Member(queries.read_aggregation),
    "metadata": Member(read_metadata, default={}),
}
_CUSTOMER_SORTS: Final[Mapping[str, Callable[[Customer], Any]]] = {
    "created_at": lambda customer: customer.created_at_us,
    "email": lambda customer: customer.email or "",
    "name": lambda customer: customer.name or "",
}
_METER_SORTS: Final[Mapping[str, Callable[[Meter], Any]]] = {
    "created_at": lambda meter: meter.created_at_us,
    "name": lambda meter: meter.name,
}


@dataclass(frozen=True, slots=True)
class ReadApi:
    """The endpoints around one store."""

    store: SandboxStore

    async def list_events(self, request: Request) -> Response:
        """Answer with the events whose parents are complete, newest first unless sorted otherwise."""
        query = request.query_params
        everything = self.store.events()
        customers = self.store.customers()
        shaper = shapes.EventShapes(everything, customers)
        tests = (
            queries.in_time(query),
            queries.of_customers(query, customers),
            queries.by_metadata(query),
            queries.by_filter(query),
            self._of_meter(request),
            _by_name(request),
        )
        events = [event for event in self.store.listed_events() if all(test(event) for test in tests)]
        events.sort(key=lambda event: event.timestamp_us, reverse=_sorting(request, ("timestamp",), "-timestamp")[1])
        return _page(request, events, shaper.shape)

    def _of_meter(self, request: Request) -> Callable[[Event], bool]:
        meter_id = request.query_params.get("meter_id")
        if meter_id is None:
            return lambda _: True
        found = [meter for meter in self.store.meters() if meter.id == meter_id]
        return lambda event: any(meters.matches(event, meter.filter) for meter in found)

    async def get_event(self, request: Request) -> Response:
        """Answer with one event."""
        everything = self.store.events()
        for event in everything:
            if event.id == request.path_params["id"]:
                return JSONResponse(shapes.EventShapes(everything, self.store.customers()).shape(event))
        return answers.not_found()

    async def create_customer(self, request: Request) -> Response:
        """Create a customer, or refuse an email or external_id that is taken."""
        fields = _read_customer(await answers.read_json(request))
        if problems := list(self._taken(fields)):
            return answers.semantic_error(problems)
        try:
            customer = self.store.insert_customer(**fields)
        except sqlite3.IntegrityError:
            return answers.server_error()
        self.store.insert_member(customer.id)
        return JSONResponse(shapes.customer_shape(customer), 201)

    def _taken(self, fields: Mapping[str, Any]) -> Iterable[Problem]:
        for customer in self.store.customers():
            if fields["email"] is not None and customer.email == fields["email"]:
                message = "A customer with this email address already exists."
                yield Problem("value_error", message, fields["email"], ("body", "email"))
            if fields["external_id"] is not None and customer.external_id == fields["external_id"]:
                message = "A customer with this external ID already exists."
                yield Problem("value_error", message, fields["external_id"], ("body", "external_id"))

    async def list_customers(self, request: Request) -> Response:
        """Answer with the customers, the newest first unless sorted otherwise."""
        email, text = request.query_params.get("email"), request.query_params.get("query", "").lower()
        found = [
            customer
            for customer in self.store.customers()
            if email in {None, customer.email} and text in f"{customer.name} {customer.email}".lower()
        ]
        key, descending = _sorting(request, tuple(_CUSTOMER_SORTS), "-created_at")
        found.sort(key=_CUSTOMER_SORTS[key], reverse=descending)
        firsts = self._first_events()
        return _page(request, found, lambda customer: shapes.customer_shape(customer, firsts(customer)))

    async def get_customer(self, request: Request) -> Response:
        """Answer with one customer, by id or by external_id."""
        customer = self._customer(request)
        if customer is None:
            return answers.not_found()
        return JSONResponse(shapes.customer_shape(customer, self._first_events()(customer)))

    async def get_customer_state(self, request: Request) -> Response:
        """Answer with one customer and the meters its events reached."""
        customer = self._customer(request)
        if customer is None:
            return answers.not_found()
        return JSONResponse(shapes.state_shape(customer, self.store.events(), self.store.meters()))

    def _customer(self, request: Request) -> Customer | None:
        wanted = request.path_params
        for customer in self.store.customers():
            if customer.id == wanted.get("id") or customer.external_id == wanted.get("external_id", REQUIRED):
                return customer
        return None

    def _first_events(self) -> Callable[[Customer], int | None]:
        events = self.store.events()
        return lambda customer: min(
            (event.timestamp_us for event in events if event.belongs_to(customer)), default=None
        )

    async def create_meter(self, request: Request) -> Response:
        """Create a meter."""
        return JSONResponse(
            shapes.meter_shape(self.store.insert_meter(_read_meter(await answers.read_json(request)))), 201
        )

    async def list_meters(self, request: Request) -> Response:
        """Answer with the meters, by name unless sorted otherwise."""
        text = request.query_params.get("query", "").lower()
        found = [meter for meter in self.store.meters() if text in meter.name.lower()]
        key, descending = _sorting(request, tuple(_METER_SORTS), "name")
        found.sort(key=_METER_SORTS[key], reverse=descending)
        return _page(request, found, shapes.meter_shape)

    async def get_meter(self, request: Request) -> Response:
        """Answer with one meter."""
        meter = self._meter(request)
        return answers.not_found() if meter is None else JSONResponse(shapes.meter_shape(meter))

    def _meter(self, request: Request) -> Meter | None:
        return next((meter for meter in self.store.meters() if meter.id == request.path_params["id"]), None)

    async def get_quantities(self, request: Request) -> Response:
        """Answer with a meter's quantities per interval, at once consistent with what was ingested."""
        meter = self._meter(request)
        if meter is None:
            return answers.not_found()
        period = _read_period(request)
        query = request.query_params
        tests = (queries.of_customers(query, self.store.customers()), queries.by_metadata(query))
        events = [
            event
            for event in self.store.events()
            if all(test(event) for test in tests) and meters.matches(event, meter.filter)
        ]
        series, total = self._quantities(request, events, meter.aggregation, period)
        points = [{"timestamp": start.isoformat().replace("+00:00", "Z"), "quantity": value} for start, value in series]
        return JSONResponse({"quantities": points, "total": total})

    def _quantities(
        self, request: Request, events: list[Event], aggregation: dict[str, Any], period: meters.Period
    ) -> tuple[list[tuple[Any, float]], float]:
        rule = one_of("count", "unique", *meters.FUNCTIONS)
        function = queries.read_parameter(request.query_params, "customer_aggregation_function", rule, None)
        if function is None:
            return meters.quantities(events, aggregation, period)
        groups: defaultdict[str | None, list[Event]] = defaultdict(list)
        for event in events:
            groups[event.customer_id or event.external_customer_id].append(event)
        return meters.quantities_by_customer(groups.values(), aggregation, period, function)


def _by_name(request: Request) -> Callable[[Event], bool]:
    names = set(request.query_params.getlist("name"))
    return lambda event: not names or event.name in names


def _sorting(request: Request, keys: tuple[str, ...], default: str) -> tuple[str, bool]:
    rule = one_of(*keys, *(f"-{key}" for key in keys))
    chosen: str = queries.read_parameter(request.query_params, "sorting", rule, default)
    return chosen.removeprefix("-"), chosen.startswith("-")


def _page(request: Request, found: list[Any], shape: Callable[[Any], dict[str, Any]]) -> Response:
    page, limit = queries.read_page(request.query_params)
    items = [shape(one) for one in queries.cut_page(found, page, limit)]
    return JSONResponse(shapes.page_of(items, len(found), limit))


def _read_customer(body: Any) -> dict[str, Any]:
    kind = body.get("type", "individual") if isinstance(body, dict) else "individual"
    email = Member(scalars.optional(_email), default=None) if kind == "team" else Member(_email)
    members = {
        "external_id": Member(scalars.optional(scalars.text), default=None),
        "email": email,
        "name": Member(scalars.optional(scalars.text), default=None),
        "metadata": Member(read_metadata, default={}),
    }
    fields = _in_body(body, members)
    return {**fields, "kind": one_of("individual", "team")(kind)}


def _email(value: Any) -> str:
    address = scalars.text(value)
    if address.count("@") != 1 or address.startswith("@") or "." not in address.partition("@")[2]:
        raise refused("value_error", "value is not a valid email address", value, reason="invalid")
    return address


def _read_meter(body: Any) -> dict[str, Any]:
    return _in_body(body, _METER)


def _in_body(body: Any, members: Mapping[str, Member]) -> dict[str, Any]:
    try:
        return read_object(body, members)
    except RefusedError as error:
        raise RefusedError(*(problem.below("body") for problem in error.problems)) from None


def _read_period(request: Request) -> meters.Period:
    query = request.query_params
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
