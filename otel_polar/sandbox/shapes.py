"""Stored rows as the JSON that Polar's API answers with, strict enough for its own SDK to parse.

Sources: polarsource/polar, server/polar/event/schemas.py, server/polar/customer/schemas, server/polar/meter/schemas.py,
server/polar/customer_meter/schemas.py.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otel_polar.sandbox.records import isoformat, isoformat_or_none
from otel_polar.sandbox.security import ORGANIZATION_ID
from otel_polar.sandbox.selling_shapes import granted_benefit_shape, state_subscription_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_polar.sandbox.balances import CustomerMeter
    from otel_polar.sandbox.event_listing import ListedEvent
    from otel_polar.sandbox.records import Customer, Meter


def customer_shape(customer: Customer, first_event_us: int | None = None) -> dict[str, Any]:
    """Return a customer."""
    return {
        "id": customer.id,
        "created_at": isoformat(customer.created_at_us),
        "modified_at": isoformat_or_none(customer.modified_at_us),
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
        "first_user_event_at": isoformat_or_none(first_event_us),
        "avatar_url": None,
    }


def state_shape(
    customer: Mapping[str, Any], subscriptions: Sequence[Mapping[str, Any]], active: Iterable[CustomerMeter]
) -> dict[str, Any]:
    """Return a customer's state: a meter is active once an event or a credit of the customer reached it."""
    return {
        **customer,
        "active_subscriptions": [state_subscription_shape(one) for one in subscriptions],
        "granted_benefits": [granted_benefit_shape(grant) for one in subscriptions for grant in one["grants"]],
        "active_meters": [_balance_shape(one) for one in active],
    }


def _balance_shape(one: CustomerMeter) -> dict[str, Any]:
    return {
        "id": one.id,
        "created_at": isoformat(one.created_at_us),
        "modified_at": isoformat(one.modified_at_us),
        "meter_id": one.meter.id,
        "consumed_units": one.consumed_units,
        "credited_units": one.credited_units,
        "balance": one.balance,
    }


def customer_meter_shape(one: CustomerMeter) -> dict[str, Any]:
    """Return what a customer's meter stands at, with both of them."""
    return {
        **_balance_shape(one),
        "customer_id": one.customer.id,
        "customer": customer_shape(one.customer),
        "meter": meter_shape(one.meter),
    }


def meter_shape(meter: Meter) -> dict[str, Any]:
    """Return a meter."""
    return {
        "id": meter.id,
        "created_at": isoformat(meter.created_at_us),
        "modified_at": isoformat_or_none(meter.modified_at_us),
        "metadata": meter.metadata,
        "name": meter.name,
        "unit": meter.unit,
        "custom_label": meter.custom_label,
        "custom_multiplier": meter.custom_multiplier,
        "filter": meter.filter,
        "aggregation": meter.aggregation,
        "organization_id": ORGANIZATION_ID,
        "archived_at": isoformat_or_none(meter.archived_at_us),
    }


def event_shape(listed: ListedEvent, customer: Customer | None) -> dict[str, Any]:
    """Return an event as its ingesting user sees it; the ``external_id`` is not given back."""
    event = listed.event
    label = event.name.replace(".", " ").replace("_", " ").title() if event.source == "system" else event.name
    return {
        "id": event.id,
        "timestamp": isoformat(event.timestamp_us),
        "organization_id": ORGANIZATION_ID,
        "customer_id": event.customer_id,
        "customer": None if customer is None else customer_shape(customer),
        "external_customer_id": event.external_customer_id,
        "member_id": event.member_id,
        "external_member_id": event.external_member_id,
        "child_count": listed.child_count,
        "parent_id": listed.parent_id,
        "label": label,
        "name": event.name,
        "source": event.source,
        "metadata": _metadata_shape(event.metadata),
    }


def _metadata_shape(metadata: dict[str, Any]) -> dict[str, Any]:
    cost = metadata.get("_cost")
    if not isinstance(cost, dict):
        return metadata
    return {**metadata, "_cost": {**cost, "amount": str(Decimal(repr(cost["amount"])))}}
