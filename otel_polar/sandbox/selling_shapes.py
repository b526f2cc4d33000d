"""Products, benefits and subscriptions as the JSON that Polar's API answers with.

Sources: polarsource/polar, server/polar/product/schemas.py, server/polar/benefit/strategies/base/schemas.py,
server/polar/subscription/schemas.py, server/polar/customer/schemas/state.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_polar.sandbox.records import isoformat, isoformat_or_none
from otel_polar.sandbox.security import ORGANIZATION_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_polar.sandbox.catalog import Item


def _stamped(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": item["id"],
        "created_at": isoformat(item["created_at_us"]),
        "modified_at": isoformat_or_none(item["modified_at_us"]),
    }


def benefit_shape(benefit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a benefit."""
    return {
        **_stamped(benefit),
        "type": benefit["type"],
        "description": benefit["description"],
        "selectable": True,
        "deletable": True,
        "is_deleted": False,
        "organization_id": ORGANIZATION_ID,
        "metadata": benefit["metadata"],
        "visibility": benefit["visibility"],
        "properties": benefit["properties"],
        "visibility_configurable": True,
    }


def product_shape(product: Mapping[str, Any], benefits: Sequence[Item], meters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a product with the prices that are not archived and the benefits it grants."""
    return {
        **_stamped(product),
        "trial_interval": None,
        "trial_interval_count": None,
        "name": product["name"],
        "description": product["description"],
        "visibility": product["visibility"],
        "recurring_interval": product["recurring_interval"],
        "recurring_interval_count": product["recurring_interval_count"],
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": product["recurring_interval"] is not None,
        "is_archived": product["is_archived"],
        "is_deletable": True,
        "organization_id": ORGANIZATION_ID,
        "metadata": product["metadata"],
        "prices": [price_shape(price, meters) for price in product["prices"] if not price["is_archived"]],
        "benefits": [benefit_shape(benefit) for benefit in benefits],
        "medias": [],
        "attached_custom_fields": [],
    }


def price_shape(price: Mapping[str, Any], meters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a price; a metered one tells its meter's name and unit."""
    terms = {name: price[name] for name in price if name not in {"created_at_us", "modified_at_us"}}
    shape = {**_stamped(price), **terms, "source": "catalog", "price_currency": price["price_currency"]}
    if "meter_id" not in price:
        return shape
    meter = meters[price["meter_id"]]
    names = ("id", "name", "unit", "custom_label", "custom_multiplier")
    return {**shape, "meter": {name: getattr(meter, name) for name in names}}


def _subscription_terms(subscription: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_stamped(subscription),
        "metadata": subscription["metadata"],
        "custom_field_data": {},
        "status": "active",
        "amount": 0,
        "currency": "usd",
        "recurring_interval": subscription["recurring_interval"],
        "current_period_start": isoformat(subscription["started_at_us"]),
        "current_period_end": isoformat(subscription["period_end_us"]),
        "trial_start": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "started_at": isoformat(subscription["started_at_us"]),
        "ends_at": None,
        "product_id": subscription["product_id"],
        "discount_id": None,
        "seats": None,
        "units": None,
        "meters": [],
    }


def state_subscription_shape(subscription: Mapping[str, Any]) -> dict[str, Any]:
    """Return a subscription as a customer's state shows it."""
    return _subscription_terms(subscription)


def subscription_shape(
    subscription: Mapping[str, Any], customer: Mapping[str, Any], product: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a subscription with its customer and its product, both shaped already."""
    return {
        **_subscription_terms(subscription),
        "recurring_interval_count": subscription["recurring_interval_count"],
        "current_meter_period_start": None,
        "current_meter_period_end": None,
        "ended_at": None,
        "past_due_at": None,
        "pause_at_period_end": False,
        "paused_at": None,
        "resumes_at": None,
        "customer_id": subscription["customer_id"],
        "checkout_id": None,
        "customer_cancellation_reason": None,
        "customer_cancellation_comment": None,
        "customer": customer,
        "product": product,
        "discount": None,
        "prices": product["prices"],
        "pending_update": None,
    }


def granted_benefit_shape(grant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a granted benefit as a customer's state shows it."""
    return {
        "id": grant["id"],
        "created_at": isoformat(grant["granted_at_us"]),
        "modified_at": None,
        "granted_at": isoformat(grant["granted_at_us"]),
        "benefit_id": grant["benefit_id"],
        "benefit_type": grant["benefit_type"],
        "benefit_metadata": grant["benefit_metadata"],
        "properties": grant["properties"],
    }
