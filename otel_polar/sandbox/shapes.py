"""Stored rows as the JSON that Polar's API answers with, strict enough for its own SDK to parse.

Sources: polarsource/polar, server/polar/event/schemas.py, server/polar/customer/schemas, server/polar/meter/schemas.py.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otel_polar.sandbox.meters import aggregate, matches
from otel_polar.sandbox.records import isoformat
from otel_polar.sandbox.security import ORGANIZATION_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_polar.sandbox.records import Customer, Event, Meter


def page_of(items: Sequence[Any], total: int, limit: int) -> dict[str, Any]:
    """Return one page of a listing."""
    return {"items": items, "pagination": {"total_count": total, "max_page": -(-total // limit)}}


def customer_shape(customer: Customer, first_event_us: int | None = None) -> dict[str, Any]:
    """Return a customer."""
    return {
        "id": customer.id,
        "created_at": isoformat(customer.created_at_us),
        "modified_at": None,
        "metadata": customer.metadata,
        "external_id": customer.external_id,
        "email": customer.email,
        "email_verified": False,
        "type": customer.kind,
        "name": customer.name,
        "billing_name": None,
        "billing_address": None,
        "tax_id": None,
        "locale": None,
        "organization_id": ORGANIZATION_ID,
        "default_payment_method_id": None,
        "deleted_at": None,
        "first_user_event_at": None if first_event_us is None else isoformat(first_event_us),
        "avatar_url": None,
    }


def state_shape(customer: Customer, events: Sequence[Event], meters: Iterable[Meter]) -> dict[str, Any]:
    """Return a customer's state: a meter is active once one of the customer's events matched it.

    The sandbox computes it at once. Polar refreshes it after seconds when idle, after up to three hours when busy.
    """
    own = [event for event in events if event.belongs_to(customer)]
    active = [
        _active_meter(meter, matching)
        for meter in meters
        if (matching := [event for event in own if matches(event, meter.filter)])
    ]
    first = min((event.timestamp_us for event in own), default=None)
    return {
        **customer_shape(customer, first),
        "active_subscriptions": [],
        "granted_benefits": [],
        "active_meters": active,
    }


def _active_meter(meter: Meter, events: Sequence[Event]) -> dict[str, Any]:
    consumed = aggregate(events, meter.aggregation)
    return {
        "id": meter.id,
        "created_at": isoformat(events[0].ingested_at_us),
        "modified_at": isoformat(events[-1].ingested_at_us),
        "meter_id": meter.id,
        "consumed_units": consumed,
        "credited_units": 0,
        "balance": -consumed,
    }


def meter_shape(meter: Meter) -> dict[str, Any]:
    """Return a meter."""
    return {
        "id": meter.id,
        "created_at": isoformat(meter.created_at_us),
        "modified_at": None,
        "metadata": meter.metadata,
        "name": meter.name,
        "unit": meter.unit,
        "custom_label": meter.custom_label,
        "custom_multiplier": meter.custom_multiplier,
        "filter": meter.filter,
        "aggregation": meter.aggregation,
        "organization_id": ORGANIZATION_ID,
        "archived_at": None,
    }


class EventShapes:
    """Events with what surrounds them: their customers, parents and children.

    The ``external_id`` is not part of the answer: Polar does not give it back.
    """

    __slots__ = ("_child_counts", "_customers", "_ids")

    def __init__(self, events: Iterable[Event], customers: Iterable[Customer]) -> None:
        events = list(events)
        self._ids = {event.external_id: event.id for event in events if event.external_id is not None}
        self._ids |= {event.id: event.id for event in events}
        self._child_counts = Counter(map(self.parent_id, events))
        self._customers = {customer.id: customer for customer in customers}
        self._customers |= {
            f"external:{customer.external_id}": customer
            for customer in self._customers.values()
            if customer.external_id is not None
        }

    def parent_id(self, event: Event) -> str | None:
        """Return the id of the event's parent, whichever way it was named."""
        return None if event.parent_reference is None else self._ids.get(event.parent_reference)

    def shape(self, event: Event) -> dict[str, Any]:
        """Return an event as its ingesting user sees it."""
        customer = self._customers.get(event.customer_id or f"external:{event.external_customer_id}")
        return {
            "id": event.id,
            "timestamp": isoformat(event.timestamp_us),
            "organization_id": ORGANIZATION_ID,
            "customer_id": event.customer_id,
            "customer": None if customer is None else customer_shape(customer),
            "external_customer_id": event.external_customer_id,
            "member_id": event.member_id,
            "external_member_id": event.external_member_id,
            "child_count": self._child_counts[event.id],
            "parent_id": self.parent_id(event),
            "label": event.name,
            "name": event.name,
            "source": "user",
            "metadata": _metadata_shape(event.metadata),
        }


def _metadata_shape(metadata: dict[str, Any]) -> dict[str, Any]:
    cost = metadata.get("_cost")
    if not isinstance(cost, dict):
        return metadata
    return {**metadata, "_cost": {**cost, "amount": str(Decimal(repr(cost["amount"])))}}
