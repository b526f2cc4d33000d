"""Who may do what: the scopes of every address, and the organization a token belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from polar.v2026_10.errors import ResourceNotFound

from otel_polar.sandbox import SandboxServer
from tests.sandbox.support import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polar.v2026_10 import Polar

SCOPED = "polar_oat_scoped"
ID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture(scope="module")
def scoped_server() -> Iterator[SandboxServer]:
    """A sandbox with a token that may only look at webhooks."""
    with SandboxServer(tokens={SCOPED: frozenset({"webhooks:read"})}) as running:
        yield running


ADDRESSES = [
    ("GET", "/v1/organizations/", "organizations:read organizations:write"),
    ("GET", f"/v1/organizations/{ID}", "organizations:read organizations:write"),
    ("GET", "/v1/events/", "events:read events:write"),
    ("POST", "/v1/events/ingest", "events:write"),
    ("GET", "/v1/customers/", "customers:read customers:write"),
    ("GET", "/v1/customers/external/a/state", "customers:read customers:write"),
    ("POST", "/v1/customers/", "customers:write"),
    ("PATCH", f"/v1/customers/{ID}", "customers:write"),
    ("PATCH", "/v1/customers/external/a", "customers:write"),
    ("GET", "/v1/meters/", "meters:read meters:write"),
    ("PATCH", f"/v1/meters/{ID}", "meters:write"),
    ("GET", "/v1/customer-meters/", "customer_meters:read"),
    ("POST", "/v1/products/", "products:write"),
    ("POST", f"/v1/products/{ID}/benefits", "products:write"),
    ("GET", "/v1/benefits/", "benefits:read benefits:write"),
    ("GET", "/v1/subscriptions/", "subscriptions:read subscriptions:write"),
    ("POST", "/v1/subscriptions/", "subscriptions:write"),
]


@pytest.mark.parametrize(("method", "path", "scopes"), ADDRESSES)
def test_a_token_without_the_scope_is_told_which_one(
    scoped_server: SandboxServer, method: str, path: str, scopes: str
) -> None:
    """The header names the scopes of which one is needed: all that a person has to tick."""
    body = None if method == "GET" else b"{}"

    answer = call(scoped_server, path, body, method=method, token=SCOPED)

    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"].endswith(f'scope="{scopes}"')


@pytest.mark.parametrize("token", ["polar_oat_revoked", "polar_oat_"])
def test_an_unknown_token_is_invalid_whatever_it_asks_for(scoped_server: SandboxServer, token: str) -> None:
    """401 says the token is wrong, 403 that its owner must allow more."""
    answer = call(scoped_server, "/v1/organizations/", token=token)

    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert call(scoped_server, "/v1/organizations/", token=None).json["error"] == "Unauthorized"


def test_a_token_tells_its_organization(polar: Polar) -> None:
    """Which organization is it, is the first thing to check before billing anybody."""
    (organization,) = polar.organizations.list().items

    assert (organization.slug, organization.status) == ("local-sandbox", "active")
    assert polar.organizations.get(organization.id) == organization
    assert polar.organizations.list(slug="another").items == []
    with pytest.raises(ResourceNotFound):
        polar.organizations.get(ID)
