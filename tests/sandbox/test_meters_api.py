"""Changing, archiving and finding meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.support import call, event, ingest, patch, post, refusals

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

USAGE = {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}
SUM = {"func": "sum", "property": "total_tokens"}


def meter(server: SandboxServer, name: str = "tokens", **fields: Any) -> dict[str, Any]:
    created = post(server, "/v1/meters/", name=name, filter=USAGE, aggregation=SUM, **fields)
    assert created.status == 201
    found: dict[str, Any] = created.json
    return found


def test_a_meter_that_counts_nothing_yet_can_be_changed(server: SandboxServer) -> None:
    """Until the first event, every field is open."""
    path = f"/v1/meters/{meter(server)['id']}"

    changed = patch(server, path, name="calls", unit="token", aggregation={"func": "count"}, metadata={"a": 1}).json

    assert (changed["name"], changed["unit"], changed["aggregation"]) == ("calls", "token", {"func": "count"})
    assert changed["filter"] == USAGE
    assert call(server, path).json == changed


def test_a_meter_that_counts_keeps_its_filter_and_aggregation(server: SandboxServer) -> None:
    """What was billed by one rule cannot be billed by another; a name can change."""
    path = f"/v1/meters/{meter(server)['id']}"
    ingest(server, event())
    message = "This field can't be updated because the meter is already aggregating events."

    refused = patch(server, path, name="calls", filter=USAGE, aggregation=SUM)

    assert refusals(refused) == [
        ("forbidden", ["body", "filter"], message),
        ("forbidden", ["body", "aggregation"], message),
    ]
    assert call(server, path).json["name"] == "tokens"
    assert patch(server, path, name="calls").json["name"] == "calls"


def test_an_archived_meter_is_listed_only_when_asked_for(server: SandboxServer) -> None:
    """Without the filter both are listed."""
    used, unused = meter(server, "used"), meter(server, "unused", metadata={"by": "setup"})
    archived = patch(server, f"/v1/meters/{unused['id']}", is_archived=True).json

    def names(query: str) -> list[str]:
        return [item["name"] for item in call(server, f"/v1/meters/?{query}").json["items"]]

    assert archived["archived_at"] is not None
    assert names("") == ["unused", "used"]
    assert (names("is_archived=true"), names("is_archived=false")) == (["unused"], ["used"])
    assert names("metadata[by]=setup") == ["unused"]
    assert refusals(call(server, "/v1/meters/?is_archived=maybe"))[0][1] == ["query", "is_archived"]
    assert patch(server, f"/v1/meters/{unused['id']}", is_archived=False).json["archived_at"] is None
    assert used["archived_at"] is None


def test_a_meter_that_is_sold_is_not_archived(server: SandboxServer) -> None:
    """A price or a credit would count nothing any more."""
    sold, credited = meter(server, "sold")["id"], meter(server, "credited")["id"]
    price = {"amount_type": "metered_unit", "meter_id": sold, "unit_amount": "0.1"}
    product = post(server, "/v1/products/", name="Plan", recurring_interval="month", prices=[price]).json
    properties = {"units": 5, "rollover": False, "meter_id": credited}
    post(server, "/v1/benefits/", type="meter_credit", description="Five", properties=properties)

    first = refusals(patch(server, f"/v1/meters/{sold}", is_archived=True))
    second = refusals(patch(server, f"/v1/meters/{credited}", is_archived=True))

    assert first[0][1:] == (["body", "is_archived"], "Cannot archive meter that is still attached to active products")
    assert second[0][2] == "Cannot archive meter that is still referenced by active benefits"
    patch(server, f"/v1/products/{product['id']}", is_archived=True)
    assert patch(server, f"/v1/meters/{sold}", is_archived=True).status == 200


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": "ab"}, ["body", "name"]),
        ({"aggregation": {"func": "median"}}, ["body", "aggregation", "func"]),
        ({"is_archived": "maybe"}, ["body", "is_archived"]),
        ({"unit": "cups"}, ["body", "unit"]),
    ],
)
def test_a_change_without_meaning_is_refused(server: SandboxServer, fields: dict[str, Any], place: list[str]) -> None:
    """As when a meter is created."""
    assert refusals(patch(server, f"/v1/meters/{meter(server)['id']}", **fields))[0][1] == place


def test_a_meter_that_is_not_there_is_not_changed(server: SandboxServer) -> None:
    """404, as for reading."""
    assert patch(server, "/v1/meters/550e8400-e29b-41d4-a716-446655440000", name="calls").status == 404
