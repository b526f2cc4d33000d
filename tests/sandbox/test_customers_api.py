"""Changing customers, and finding them, by Polar's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.support import call, event, ingest, patch, post, refusals

if TYPE_CHECKING:
    from polar.v2026_10 import Polar

    from otel_polar.sandbox import SandboxServer

ID = "550e8400-e29b-41d4-a716-446655440000"


def test_a_customer_is_changed_by_either_id(polar: Polar) -> None:
    """What is not named stays; metadata is replaced as a whole."""
    ann = polar.customers.create(email="ann@example.com", name="Ann", metadata={"tier": 1, "plan": "pro"})

    changed = polar.customers.update(ann.id, external_id="user_42", metadata={"tier": 2})
    renamed = polar.customers.update_external("user_42", name=None, email="Ann@Example.com")

    assert (changed.external_id, changed.name, changed.metadata) == ("user_42", "Ann", {"tier": 2})
    assert changed.modified_at is not None
    assert (renamed.external_id, renamed.name, renamed.email) == ("user_42", None, "Ann@example.com")
    assert polar.customers.get(ann.id) == renamed


def test_an_external_id_is_set_once(server: SandboxServer) -> None:
    """A customer that changed its id would lose the usage sent under the old one."""
    path = f"/v1/customers/{post(server, '/v1/customers/', email='a@example.com', external_id='a').json['id']}"
    refusal = ("value_error", ["body", "external_id"], "Customer external ID cannot be updated.")

    assert refusals(patch(server, path, external_id="b")) == [refusal]
    assert refusals(patch(server, path, external_id=None)) == [refusal]
    assert patch(server, path, external_id="a", name="A").json["name"] == "A"
    assert patch(server, "/v1/customers/external/a", external_id="b").json["external_id"] == "a"


def test_what_is_taken_is_refused(server: SandboxServer) -> None:
    """An email belongs to one customer however it is written, and so does an external id, in which case matters."""
    post(server, "/v1/customers/", email="ann@example.com", external_id="ann")
    path = f"/v1/customers/{post(server, '/v1/customers/', email='bob@example.com').json['id']}"
    email = ("value_error", ["body", "email"], "A customer with this email address already exists.")
    external_id = ("value_error", ["body", "external_id"], "A customer with this external ID already exists.")

    assert refusals(post(server, "/v1/customers/", email="ANN@example.com")) == [email]
    assert refusals(patch(server, path, email="Ann@example.com", external_id="ann")) == [email, external_id]
    assert patch(server, path, email="BOB@example.com", external_id="Ann").status == 200


def test_a_team_stays_a_team(server: SandboxServer) -> None:
    """It has members; an individual has none."""
    path = f"/v1/customers/{post(server, '/v1/customers/', email='a@example.com').json['id']}"

    assert patch(server, path, type="team").json["type"] == "team"
    assert refusals(patch(server, path, type="individual"))[0][1] == ["body", "type"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"email": "nobody"}, ["body", "email"]),
        ({"name": 5}, ["body", "name"]),
        ({"metadata": None}, ["body", "metadata"]),
        ({"metadata": {"": 1}}, ["body", "metadata", "", "[key]"]),
        ({"metadata": {"k" * 41: 1}}, ["body", "metadata", "k" * 41, "[key]"]),
        ({"metadata": {str(number): 1 for number in range(51)}}, ["body", "metadata"]),
        ({"type": "crowd"}, ["body", "type"]),
    ],
)
def test_a_change_without_meaning_is_refused(server: SandboxServer, fields: dict[str, Any], place: list[str]) -> None:
    """Nothing is changed, and the place tells why; a schema is checked before anybody is looked for."""
    assert refusals(patch(server, f"/v1/customers/{ID}", **fields))[0][1] == place


def test_nobody_cannot_be_changed(server: SandboxServer) -> None:
    """404, as for reading."""
    assert patch(server, f"/v1/customers/{ID}", name="x").status == 404
    assert patch(server, "/v1/customers/external/nobody", name="x").status == 404


def test_customers_are_found_by_what_they_are(polar: Polar, server: SandboxServer) -> None:
    """Exactly by email in any case and by metadata, in part by name, email and the start of the external id."""
    ann = polar.customers.create(email="Ann@example.com", external_id="acme-1", metadata={"tier": 1, "vip": True})
    polar.customers.create(email="bob@example.com", external_id="other-acme")

    def found(query: str) -> list[str]:
        return [item["id"] for item in call(server, f"/v1/customers/?{query}").json["items"]]

    assert found("email=ann@EXAMPLE.com") == [ann.id]
    assert found("metadata[tier]=1&metadata[vip]=true") == [ann.id]
    assert found("metadata[tier]=1&metadata[vip]=false") == []
    assert found("query=acme") == [ann.id]
    assert len(found("external_id=acme-1")) == 2, "Polar has no such filter, and ignores it"


def test_polar_writes_events_of_its_own_about_customers(polar: Polar, server: SandboxServer) -> None:
    """Whoever lists events to compare them must leave them out."""
    ann = polar.customers.create(email="ann@example.com", external_id="ann")
    polar.customers.update(ann.id, name="Ann")
    ingest(server, event(external_customer_id="ann"))

    listed = call(server, "/v1/events/?sorting=timestamp").json["items"]
    own = call(
        server,
        '/v1/events/?filter={"conjunction":"and","clauses":[{"property":"source","operator":"eq","value":"user"}]}',
    ).json["items"]

    assert [(item["source"], item["name"]) for item in listed] == [
        ("system", "customer.created"),
        ("system", "customer.updated"),
        ("user", "llm_usage"),
    ]
    assert [item["name"] for item in own] == ["llm_usage"]
    assert [item["name"] for item in call(server, "/v1/events/?source=user").json["items"]] == ["llm_usage"]
    assert len(polar.events.list().items) == 3
    assert len(server.events()) == 1
