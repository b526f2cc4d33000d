"""Subscriptions to free products: created for a customer by either id, granting the product's benefits at once.

A product that costs something needs a checkout, which a sandbox does not have. A product whose fixed price is 0 is free
also if its meters cost something; one that has nothing but metered prices is not.

Sources: polarsource/polar, server/polar/subscription/service.py and schemas.py, server/polar/product/price_set.py.
"""

from __future__ import annotations

import calendar
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, queries, scalars, shapes
from otel_polar.sandbox.bodies import problem, read_body, read_metadata
from otel_polar.sandbox.products_api import ProductsApi
from otel_polar.sandbox.records import from_unix_us, isoformat, to_unix_us
from otel_polar.sandbox.schema import Member
from otel_polar.sandbox.selling_shapes import subscription_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from otel_polar.sandbox.catalog import Item
    from otel_polar.sandbox.records import Customer
    from otel_polar.sandbox.scalars import Problem
    from otel_polar.sandbox.store import SandboxStore

_COMMON: Final = {"product_id": Member(scalars.uuid4), "metadata": Member(read_metadata, default={})}
_MONTHS: Final = {"month": 1, "year": 12}
_DAYS: Final = {"day": 1, "week": 7}
_SORTS: Final[Mapping[str, Callable[[Item], Any]]] = {
    "started_at": lambda one: one["started_at_us"],
    "current_period_end": lambda one: one["period_end_us"],
    "status": lambda _: "active",
    "amount": lambda _: 0,
}


def end_of_period(start: datetime, interval: str, count: int) -> datetime:
    """Return when a billing period ends: the same day of a later month, or its last day if there is no such day."""
    if interval in _DAYS:
        return start + timedelta(days=_DAYS[interval] * count)
    month = start.month - 1 + _MONTHS[interval] * count
    year, month = start.year + month // 12, month % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


@dataclass(frozen=True, slots=True)
class SubscriptionsApi:
    """The endpoints around subscriptions."""

    store: SandboxStore

    async def create(self, request: Request) -> Response:
        """Subscribe a customer to a free product."""
        body = await answers.read_json(request)
        is_external = isinstance(body, dict) and "customer_id" not in body and "external_customer_id" in body
        name, rule = ("external_customer_id", scalars.text) if is_external else ("customer_id", scalars.uuid4)
        fields = read_body(body, {**_COMMON, name: Member(rule)})
        product = self.store.catalog.products.get(fields["product_id"])
        if problems := list(_product_problems(product, fields["product_id"])):
            return answers.semantic_error(problems)
        column = "external_id" if is_external else "id"
        customer = next(iter(self.store.find_customers(f"{column} = ?", fields[name])), None)
        if customer is None or product is None:
            return answers.semantic_error([problem(name, "Customer does not exist.", fields[name])])
        subscription = self._build(product, customer, fields["metadata"])
        self.store.insert_system_event("subscription.created", customer.id, _told(subscription))
        return JSONResponse(self._shape(self.store.grants.give_all(subscription, product)), 201)

    def _build(self, product: Item, customer: Customer, metadata: dict[str, Any]) -> Item:
        now_us = self.store.now_us()
        interval, count = product["recurring_interval"], product["recurring_interval_count"]
        return {
            "id": str(uuid.uuid4()),
            "created_at_us": now_us,
            "modified_at_us": None,
            "started_at_us": now_us,
            "period_end_us": to_unix_us(end_of_period(from_unix_us(now_us), interval, count)),
            "recurring_interval": interval,
            "recurring_interval_count": count,
            "customer_id": customer.id,
            "product_id": product["id"],
            "metadata": metadata,
        }

    async def list_all(self, request: Request) -> Response:
        """Answer with the subscriptions, the last started first unless sorted otherwise."""
        query = request.query_params
        external_ids = {customer.id: customer.external_id for customer in self.store.customers()}
        is_active, metadata = queries.read_switch(query, "active"), queries.read_metadata_query(query)
        found = [
            one
            for one in self.store.catalog.subscriptions.all()
            if is_active is not False
            and queries.is_wanted(query, "product_id", one["product_id"])
            and queries.is_wanted(query, "customer_id", one["customer_id"])
            and queries.is_wanted(query, "external_customer_id", external_ids.get(one["customer_id"]))
            and queries.has_metadata(one["metadata"], metadata)
        ]
        queries.sort(request, found, _SORTS, "-started_at")
        return queries.page(request, found, self._shape)

    async def get(self, request: Request) -> Response:
        """Answer with one subscription."""
        found = self.store.catalog.subscriptions.get(request.path_params["id"])
        return answers.not_found() if found is None else JSONResponse(self._shape(found))

    def _shape(self, subscription: Item) -> dict[str, Any]:
        (customer,) = self.store.find_customers("id = ?", subscription["customer_id"])
        product = self.store.catalog.products.get(subscription["product_id"])
        if product is None:
            raise LookupError("a subscription names a product that is not in the catalog")
        return subscription_shape(subscription, shapes.customer_shape(customer), ProductsApi(self.store).shape(product))


def _product_problems(product: Item | None, product_id: str) -> Iterator[Problem]:
    if product is None:
        yield problem("product_id", "Product does not exist.", product_id)
    elif product["recurring_interval"] is None:
        yield problem("product_id", "Product is not a recurring product.", product_id)
    elif not any(price.get("price_amount") == 0 for price in product["prices"] if not price["is_archived"]):
        message = "Product is not free. The customer should go through a checkout to create a paid subscription."
        yield problem("product_id", message, product_id)


def _told(subscription: Item) -> dict[str, Any]:
    return {
        "subscription_id": subscription["id"],
        "product_id": subscription["product_id"],
        "amount": 0,
        "currency": "usd",
        "recurring_interval": subscription["recurring_interval"],
        "recurring_interval_count": subscription["recurring_interval_count"],
        "started_at": isoformat(subscription["started_at_us"]),
    }
