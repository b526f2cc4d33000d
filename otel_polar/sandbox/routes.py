"""Every address of the API, with the scopes of which a token needs one.

Sources: polarsource/polar, the auth.py beside each endpoints.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.sandbox import organizations_api
from otel_polar.sandbox.benefits_api import BenefitsApi
from otel_polar.sandbox.customers_api import CustomersApi
from otel_polar.sandbox.events_api import EventsApi
from otel_polar.sandbox.faults import INGEST_PATH
from otel_polar.sandbox.ingest_api import Ingest
from otel_polar.sandbox.meters_api import CustomerMetersApi, MetersApi
from otel_polar.sandbox.products_api import ProductsApi
from otel_polar.sandbox.subscriptions_api import SubscriptionsApi

if TYPE_CHECKING:
    from otel_polar.sandbox.gates import Endpoint
    from otel_polar.sandbox.store import SandboxStore


class ApiRoute(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    endpoint: Endpoint
    scopes: frozenset[str]


def _reading(resource: str) -> frozenset[str]:
    # Whoever may write may read.
    return frozenset({f"{resource}:read", f"{resource}:write"})


def _writing(resource: str) -> frozenset[str]:
    return frozenset({f"{resource}:write"})


_CUSTOMER: Final = "/v1/customers/{id}"
_EXTERNAL: Final = "/v1/customers/external/{external_id}"


def api_routes(store: SandboxStore) -> list[ApiRoute]:
    """Return all addresses; where two fit, the first one answers."""
    return [
        ApiRoute("GET", "/v1/organizations/", organizations_api.list_organizations, _reading("organizations")),
        ApiRoute("GET", "/v1/organizations/{id}", organizations_api.get_organization, _reading("organizations")),
        *_of_events(store),
        *_of_customers(store),
        *_of_meters(store),
        *_of_sales(store),
    ]


def _of_events(store: SandboxStore) -> list[ApiRoute]:
    events = EventsApi(store)
    return [
        ApiRoute("POST", INGEST_PATH, Ingest(store), _writing("events")),
        ApiRoute("GET", "/v1/events/", events.list_all, _reading("events")),
        ApiRoute("GET", "/v1/events/{id}", events.get, _reading("events")),
    ]


def _of_customers(store: SandboxStore) -> list[ApiRoute]:
    customers = CustomersApi(store)
    reading, writing = _reading("customers"), _writing("customers")
    return [
        ApiRoute("POST", "/v1/customers/", customers.create, writing),
        ApiRoute("GET", "/v1/customers/", customers.list_all, reading),
        ApiRoute("GET", f"{_EXTERNAL}/state", customers.get_state, reading),
        ApiRoute("GET", _EXTERNAL, customers.get, reading),
        ApiRoute("PATCH", _EXTERNAL, customers.update_external, writing),
        ApiRoute("GET", f"{_CUSTOMER}/state", customers.get_state, reading),
        ApiRoute("GET", _CUSTOMER, customers.get, reading),
        ApiRoute("PATCH", _CUSTOMER, customers.update, writing),
    ]


def _of_meters(store: SandboxStore) -> list[ApiRoute]:
    meters, customer_meters = MetersApi(store), CustomerMetersApi(store)
    reading, writing = _reading("meters"), _writing("meters")
    reading_balances = frozenset({"customer_meters:read"})
    return [
        ApiRoute("POST", "/v1/meters/", meters.create, writing),
        ApiRoute("GET", "/v1/meters/", meters.list_all, reading),
        ApiRoute("GET", "/v1/meters/{id}/quantities", meters.get_quantities, reading),
        ApiRoute("GET", "/v1/meters/{id}", meters.get, reading),
        ApiRoute("PATCH", "/v1/meters/{id}", meters.update, writing),
        ApiRoute("GET", "/v1/customer-meters/", customer_meters.list_all, reading_balances),
        ApiRoute("GET", "/v1/customer-meters/{id}", customer_meters.get, reading_balances),
    ]


def _of_sales(store: SandboxStore) -> list[ApiRoute]:
    products, benefits, subscriptions = ProductsApi(store), BenefitsApi(store), SubscriptionsApi(store)
    return [
        ApiRoute("POST", "/v1/products/", products.create, _writing("products")),
        ApiRoute("GET", "/v1/products/", products.list_all, _reading("products")),
        ApiRoute("POST", "/v1/products/{id}/benefits", products.update_benefits, _writing("products")),
        ApiRoute("GET", "/v1/products/{id}", products.get, _reading("products")),
        ApiRoute("PATCH", "/v1/products/{id}", products.update, _writing("products")),
        ApiRoute("POST", "/v1/benefits/", benefits.create, _writing("benefits")),
        ApiRoute("GET", "/v1/benefits/", benefits.list_all, _reading("benefits")),
        ApiRoute("GET", "/v1/benefits/{id}", benefits.get, _reading("benefits")),
        ApiRoute("POST", "/v1/subscriptions/", subscriptions.create, _writing("subscriptions")),
        ApiRoute("GET", "/v1/subscriptions/", subscriptions.list_all, _reading("subscriptions")),
        ApiRoute("GET", "/v1/subscriptions/{id}", subscriptions.get, _reading("subscriptions")),
    ]
