"""Every reading endpoint, parsed by Polar's own SDK, which is strict about shapes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from polar.v2026_10.errors import HTTPValidationError, ResourceNotFound
from polar.v2026_10.outputs import UserEvent

from tests.sandbox.support import call, event, ingest

if TYPE_CHECKING:
    from polar.v2026_10 import Polar
    from polar.v2026_10.inputs import Filter
    from polar.v2026_10.outputs import ListResourceEvent

    from otel_polar.sandbox import SandboxServer

LLM = {"vendor": "openai", "model": "gpt-4o", "input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
EVERYTHING: Filter = {"conjunction": "and", "clauses": []}


def at(minute: int, **fields: Any) -> dict[str, Any]:
    return event(timestamp=f"2026-10-01T11:{minute:02}:00Z", **fields)


def listed(polar: Polar, **filters: Any) -> list[UserEvent]:
    """The listed events but for those that Polar writes itself."""
    answer = cast("ListResourceEvent", polar.events.list(**filters))
    return [item for item in answer.items if isinstance(item, UserEvent)]


def test_an_event_comes_back_as_it_is_stored(polar: Polar, server: SandboxServer) -> None:
    """The amount returns as text, absent prompts as null, the external_id not at all."""
    customer = polar.customers.create(email="a@example.com", external_id="user_42", name="Ann")
    cost = {"amount": "0.025", "currency": "usd"}
    ingest(server, at(1, external_id="key", metadata={"plan": "pro", "n": 1, "_cost": cost, "_llm": LLM}))

    (stored,) = listed(polar)

    assert (stored.name, stored.label, stored.source) == ("llm_usage", "llm_usage", "user")
    assert (stored.timestamp, stored.external_customer_id) == ("2026-10-01T11:01:00Z", "user_42")
    assert stored.customer is not None
    assert stored.customer.id == customer.id
    metadata = cast("dict[str, Any]", stored.metadata)
    assert (metadata["plan"], metadata["n"]) == ("pro", 1)
    assert metadata["_cost"].amount == "0.025"
    assert (metadata["_llm"].total_tokens, metadata["_llm"].prompt) == (12, None)
    assert polar.events.get(stored.id) == stored
    assert not hasattr(stored, "external_id")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["c", "b", "a"]),
        ({"sorting": ["timestamp"]}, ["a", "b", "c"]),
        ({"name": "b"}, ["b"]),
        ({"name": ["a", "b"]}, ["b", "a"]),
        ({"external_customer_id": "user_1"}, ["a"]),
        ({"start_timestamp": "2026-10-01T11:02:00Z"}, ["c"]),
        ({"start_timestamp": "2026-10-01T11:01:59.999Z"}, ["c", "b"]),
        ({"end_timestamp": "2026-10-01T11:02:00Z"}, ["a"]),
        ({"end_timestamp": "2026-10-01T11:02:00.001Z"}, ["b", "a"]),
        ({"metadata": {"plan": "pro"}}, ["c", "a"]),
        ({"metadata": {"plan": ["pro", "free"], "n": 2}}, ["b"]),
        ({"limit": 2}, ["c", "b"]),
        ({"limit": 2, "page": 2}, ["a"]),
        ({"filter": '{"conjunction":"and","clauses":[{"property":"n","operator":"gte","value":2}]}'}, ["c", "b"]),
    ],
)
def test_events_are_filtered_sorted_and_paged(
    polar: Polar, server: SandboxServer, filters: dict[str, Any], expected: list[str]
) -> None:
    """Reconciliation reads page after page; a filter that lies would compare the wrong events."""
    ingest(
        server,
        at(1, name="a", external_customer_id="user_1", metadata={"plan": "pro", "n": 1}),
        at(2, name="b", external_customer_id="user_2", metadata={"plan": "free", "n": 2}),
        at(3, name="c", external_customer_id="user_2", metadata={"plan": "pro", "n": 3}),
    )

    assert [item.name for item in listed(polar, **filters)] == expected


def test_a_page_holds_at_most_a_hundred_events(polar: Polar, server: SandboxServer) -> None:
    """More than the maximum is cut to it, and the number of pages says so."""
    ingest(server, *(event() for _ in range(101)))

    answer = cast("ListResourceEvent", polar.events.list(limit=500))

    assert (len(answer.items), answer.pagination.max_page, answer.pagination.total_count) == (100, 2, 101)


def test_a_customer_id_finds_events_by_either_id(polar: Polar, server: SandboxServer) -> None:
    """An event by external id belongs to the customer even if the customer was created later."""
    ingest(server, at(1, name="earlier"))
    customer = polar.customers.create(email="a@example.com", external_id="user_42")
    ingest(server, {"name": "later", "customer_id": customer.id}, at(2, name="other", external_customer_id="user_1"))

    assert [item.name for item in listed(polar, customer_id=customer.id)] == ["later", "earlier"]
    assert [item.name for item in listed(polar, external_customer_id="user_42")] == ["later", "earlier"]


def test_an_event_without_its_parent_is_hidden_but_metered(polar: Polar, server: SandboxServer) -> None:
    """Usage is billed that no dashboard shows, until the parent arrives."""
    meter = polar.meters.create(name="events", filter=EVERYTHING, aggregation={"func": "count"})
    ingest(server, at(2, name="child", parent_id="trace"), at(3, name="loop", external_id="l", parent_id="l"))

    assert listed(polar) == []
    assert quantities(polar, meter.id)[1] == 2

    ingest(server, at(1, name="parent", external_id="trace"))
    child, parent = listed(polar)

    assert (child.name, child.parent_id, parent.child_count) == ("child", parent.id, 1)
    ingest(server, at(4, name="grandchild", parent_id=child.id))
    assert [item.name for item in listed(polar)] == ["grandchild", "child", "parent"]


def test_a_customer_is_found_by_both_ids(polar: Polar) -> None:
    """What was created can be read back, listed and searched."""
    ann = polar.customers.create(email="ann@example.com", external_id="user 1/2", name="Ann", metadata={"tier": 1})
    team = polar.customers.create(type="team", name="Team")

    assert polar.customers.get(ann.id) == ann
    assert (ann.metadata, ann.type, team.type, team.email) == ({"tier": 1}, "individual", "team", None)
    assert {customer.id for customer in polar.customers.list().items} == {ann.id, team.id}
    assert [customer.id for customer in polar.customers.list(email="ann@example.com").items] == [ann.id]
    assert [customer.id for customer in polar.customers.list(query="TEA").items] == [team.id]


def test_a_customer_is_found_by_external_id(polar: Polar, server: SandboxServer) -> None:
    """The first event counts, even one that came before the customer."""
    ingest(server, at(1))
    ann = polar.customers.create(email="ann@example.com", external_id="user_42")

    found = polar.customers.get_external("user_42")

    assert (found.id, found.first_user_event_at) == (ann.id, "2026-10-01T11:01:00Z")


def test_an_email_and_an_external_id_belong_to_one_customer(polar: Polar) -> None:
    """The refusal says which of them is taken."""
    polar.customers.create(email="ann@example.com", external_id="a")

    with pytest.raises(HTTPValidationError) as caught:
        polar.customers.create(email="ann@example.com", external_id="a")

    assert caught.value.error.detail is not None
    assert [item.loc for item in caught.value.error.detail] == [["body", "email"], ["body", "external_id"]]


@pytest.mark.parametrize("email", [None, "", "ann", "@b.c", "a@b", 5])
def test_an_individual_needs_an_email(server: SandboxServer, email: Any) -> None:
    """Polar writes to it."""
    assert call(server, "/v1/customers/", json.dumps({"email": email}).encode()).status == 422


def test_the_state_shows_the_meters_a_customer_reached(polar: Polar, server: SandboxServer) -> None:
    """Consumed units make a negative balance where nothing was credited."""
    customer = polar.customers.create(email="a@example.com", external_id="user_42")
    tokens = polar.meters.create(
        name="tokens", filter=EVERYTHING, aggregation={"func": "sum", "property": "_llm.total_tokens"}
    )
    polar.meters.create(
        name="other",
        filter={"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "x"}]},
        aggregation={"func": "count"},
    )
    ingest(server, at(1, metadata={"_llm": LLM}), at(2, external_customer_id="stranger", metadata={"_llm": LLM}))

    state = polar.customers.get_state_external("user_42")

    (meter,) = state.active_meters
    assert (meter.meter_id, meter.consumed_units, meter.balance) == (tokens.id, 12, -12)
    assert polar.customers.get_state(customer.id) == state


def quantities(polar: Polar, meter_id: str, **filters: Any) -> tuple[list[float], float]:
    answer = polar.meters.quantities(
        meter_id,
        start_timestamp="2026-10-01T10:00:00Z",
        end_timestamp="2026-10-01T12:00:00Z",
        interval="hour",
        **filters,
    )
    return [point.quantity for point in answer.quantities], answer.total


def test_a_meter_counts_by_interval_and_customer(polar: Polar, server: SandboxServer) -> None:
    """At once consistent with what was ingested, for all customers or for one."""
    meter = polar.meters.create(
        name="tokens",
        filter={"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]},
        aggregation={"func": "sum", "property": "metadata.n"},
    )
    customer = polar.customers.create(email="a@example.com", external_id="user_42")
    ingest(
        server,
        at(1, metadata={"n": 3, "plan": "pro"}),
        event(timestamp="2026-10-01T10:00:00Z", metadata={"n": 5}),
        at(2, metadata={"n": 7}, external_customer_id="user_1"),
        at(3, metadata={"n": 100}, name="other"),
    )

    assert meter.aggregation.func == "sum"
    assert polar.meters.get(meter.id) == meter
    assert [item.id for item in polar.meters.list().items] == [meter.id]
    assert quantities(polar, meter.id) == ([5, 10, 0], 15)
    assert quantities(polar, meter.id, external_customer_id="user_42") == ([5, 3, 0], 8)
    assert quantities(polar, meter.id, customer_id=customer.id) == ([5, 3, 0], 8)
    assert quantities(polar, meter.id, metadata={"plan": "pro"}) == ([0, 3, 0], 3)
    assert quantities(polar, meter.id, customer_aggregation_function="max") == ([5, 7, 0], 8)
    assert [item.name for item in listed(polar, meter_id=meter.id)] == ["llm_usage"] * 3


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "ab"}, ["body", "name"]),
        ({"unit": "token-ish"}, ["body", "unit"]),
        ({"aggregation": {"func": "median", "property": "n"}}, ["body", "aggregation", "func"]),
        ({"aggregation": {"func": "sum"}}, ["body", "aggregation", "property"]),
        ({"filter": {"conjunction": "xor", "clauses": []}}, ["body", "filter", "conjunction"]),
        (
            {"filter": {"conjunction": "and", "clauses": [{"property": "n", "operator": "eq", "value": 1.5}]}},
            ["body", "filter", "clauses", 0, "value"],
        ),
    ],
)
def test_a_meter_that_cannot_work_is_refused(polar: Polar, change: dict[str, Any], place: list[str | int]) -> None:
    """A filter compares with text, whole numbers and booleans; a float is none of them."""
    meter = {"name": "tokens", "filter": EVERYTHING, "aggregation": {"func": "count"}, **change}

    with pytest.raises(HTTPValidationError) as caught:
        polar.meters.create(**meter)

    assert caught.value.error.detail is not None
    assert caught.value.error.detail[0].loc == place


def test_what_does_not_exist_is_not_found(polar: Polar) -> None:
    """404 with the body that the SDK turns into its own exception."""
    for read in (
        polar.customers.get,
        polar.customers.get_external,
        polar.customers.get_state,
        polar.customers.get_state_external,
        polar.meters.get,
        polar.events.get,
    ):
        with pytest.raises(ResourceNotFound):
            read("nobody")
    with pytest.raises(ResourceNotFound):
        quantities(polar, "nobody")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/events/?limit=0",
        "/v1/events/?page=x",
        "/v1/events/?sorting=color",
        "/v1/events/?start_timestamp=soon",
        "/v1/events/?filter={",
        "/v1/events/?filter=5",
        "/v1/customers/?sorting=color",
    ],
)
def test_a_question_without_meaning_is_refused(server: SandboxServer, path: str) -> None:
    """A misspelt parameter is told, not answered with something else."""
    answer = call(server, path)

    assert (answer.status, answer.json["detail"][0]["loc"][0]) == (422, "query")


@pytest.mark.parametrize(
    "query",
    [
        "start_timestamp=2026-10-01&end_timestamp=2026-10-02&interval=minute",
        "end_timestamp=2026-10-02&interval=day",
        "start_timestamp=2026-10-01&end_timestamp=2026-10-02&interval=day&timezone=Moon/Crater",
        "start_timestamp=1970-01-01&end_timestamp=2026-10-02&interval=hour",
    ],
)
def test_a_period_without_meaning_is_refused(polar: Polar, server: SandboxServer, query: str) -> None:
    """Half a million intervals are no answer either."""
    meter = polar.meters.create(name="events", filter=EVERYTHING, aggregation={"func": "count"})

    assert call(server, f"/v1/meters/{meter.id}/quantities?{query}").status == 422


def test_a_sum_beyond_a_double_breaks_the_answer(polar: Polar, server: SandboxServer) -> None:
    """Ingest takes integers of any size; PostgreSQL then fails to add them up, and so does this."""
    meter = polar.meters.create(name="tokens", filter=EVERYTHING, aggregation={"func": "sum", "property": "n"})
    ingest(server, at(1, metadata={"n": 1e308}), at(2, metadata={"n": 1e308}))
    path = f"/v1/meters/{meter.id}/quantities?start_timestamp=2026-10-01&end_timestamp=2026-10-02&interval=day"

    assert call(server, path).status == 500
    ingest(server, at(3, metadata={"n": 10**400}))
    assert call(server, path).status == 500
    assert call(server, "/sandbox/overview", token=None).status == 200


@pytest.mark.parametrize("body", [b'{"email":"a@b.c","name":"\\ud800"}', b'{"email":"a@b.c","metadata":{"k":NaN}}'])
def test_a_customer_that_cannot_be_stored_breaks_the_answer(server: SandboxServer, body: bytes) -> None:
    """As for events: a crash of Polar, not a refusal."""
    assert call(server, "/v1/customers/", body).status == 500
    assert call(server, "/v1/customers/", b"\xff{").status == 400
