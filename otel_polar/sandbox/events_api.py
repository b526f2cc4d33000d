"""``GET /v1/events/``: what was ingested, and what Polar itself wrote.

Both ends of the period are excluded, and compared in whole milliseconds: the listing comes from a column store that
keeps no more. The ``external_id`` is not part of the answer: Polar does not give it back.

Sources: polarsource/polar, server/polar/event/endpoints.py, server/polar/event/service.py and
server/tinybird/datasources/events_by_timestamp.datasource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, conditions, meter_bodies, metering, queries, shapes
from otel_polar.sandbox.scalars import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request

    from otel_polar.sandbox.event_listing import ListedEvent
    from otel_polar.sandbox.records import Customer, Event
    from otel_polar.sandbox.store import SandboxStore


@dataclass(frozen=True, slots=True)
class EventsApi:
    """The endpoints that read events."""

    store: SandboxStore

    async def list_all(self, request: Request) -> Response:
        """Answer with the events whose parents are complete, newest first unless sorted otherwise."""
        query = request.query_params
        parts = [
            conditions.after(queries.read_time_us(query, "start_timestamp")),
            conditions.before(queries.read_time_us(query, "end_timestamp")),
            conditions.of_customers(query.getlist("customer_id"), query.getlist("external_customer_id")),
            conditions.of_names(query.getlist("name")),
            conditions.of_sources(query.getlist("source")),
            conditions.of_metadata(queries.read_metadata_query(query)),
            meter_bodies.read_filter_query(query),
        ]
        if (meter_id := query.get("meter_id")) is not None:
            meter = self.store.find_meter(meter_id)
            if meter is None:
                return answers.semantic_error(
                    [Problem("meter_id", "Meter not found.", meter_id, ("query", "meter_id"))]
                )
            parts.append(metering.of_meter(meter))
        newest_first = queries.read_sorting(request, ("timestamp",), "-timestamp")[1]
        found = self.store.listing.find(conditions.all_of(parts), newest_first=newest_first)
        return queries.page_of_many(request, found, self._shape)

    async def get(self, request: Request) -> Response:
        """Answer with one event."""
        found = self.store.listing.get(request.path_params["id"])
        return answers.not_found() if found is None else JSONResponse(self._shape_all([found])[0])

    def _shape(self, sequences: Iterable[int]) -> list[dict[str, Any]]:
        return self._shape_all(self.store.listing.read(sequences))

    def _shape_all(self, found: Sequence[ListedEvent]) -> list[dict[str, Any]]:
        customers = _Payers(self.store, [one.event for one in found])
        return [shapes.event_shape(one, customers.of(one.event)) for one in found]


class _Payers:
    """The customers that some events name, by either id."""

    def __init__(self, store: SandboxStore, events: Iterable[Event]) -> None:
        named = list(events)
        self._by_id = self._find(store, "id", {one.customer_id for one in named})
        self._by_external_id = self._find(store, "external_id", {one.external_customer_id for one in named})

    @staticmethod
    def _find(store: SandboxStore, column: str, values: set[str | None]) -> dict[str, Customer]:
        wanted = [value for value in values if value is not None]
        found = store.find_customers(f"{column} IN ({', '.join('?' * len(wanted))})", *wanted)
        return {getattr(customer, column): customer for customer in found}

    def of(self, event: Event) -> Customer | None:
        if event.customer_id is not None:
            return self._by_id.get(event.customer_id)
        return self._by_external_id.get(event.external_customer_id or "")
