"""The ingest endpoint over the wire: status, body, what is stored and what is not."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_polar.sandbox import SandboxServer
from tests.sandbox.support import NOON, TOKEN, call, event, ingest

if TYPE_CHECKING:
    from polar.v2026_10 import Polar

URL = "/v1/events/ingest"
LIMIT_BYTES = 10 * 1024 * 1024


def test_the_sdk_ingests_a_batch(polar: Polar, server: SandboxServer) -> None:
    """What the real client sends is stored as it was sent."""
    answer = polar.events.ingest(
        events=[
            {
                "name": "llm_usage",
                "external_customer_id": "user_42",
                "external_id": "a",
                "timestamp": "2026-10-01T13:59:00+02:00",
                "metadata": {"plan": "pro"},  # type: ignore[typeddict-unknown-key]  # extra_items, unknown to mypy
            }
        ]
    )

    assert (answer.inserted, answer.duplicates) == (1, 0)
    (stored,) = server.events()
    assert stored["timestamp"] == "2026-10-01T13:59:00+02:00"
    assert (stored["external_customer_id"], stored["metadata"]) == ("user_42", {"plan": "pro"})


def test_an_empty_batch_is_accepted(server: SandboxServer) -> None:
    """Nothing to store is no mistake."""
    assert ingest(server).json == {"inserted": 0, "duplicates": 0}


def test_one_bad_event_refuses_the_whole_batch(server: SandboxServer) -> None:
    """A client must take the bad one out and send the rest again, or lose it."""
    answer = ingest(server, event(), event(metadata={"k": ""}), event())

    assert answer.status == 422
    assert answer.json["error"] == "RequestValidationError"
    assert {item["loc"][2] for item in answer.json["detail"]} == {1}
    assert server.events() == []


def test_an_external_id_counts_once_in_the_whole_organization(server: SandboxServer) -> None:
    """The first write wins, across names and customers, within a batch and across batches, also for an empty key."""
    first = ingest(server, event(external_id="a"), event(external_id="a", name="other"), event(external_id=""))
    second = ingest(
        server, event(external_id="a", external_customer_id="b"), event(external_id=""), event(external_id="c")
    )

    assert first.json == {"inserted": 2, "duplicates": 1}
    assert second.json == {"inserted": 1, "duplicates": 2}
    assert [(stored["external_id"], stored["name"]) for stored in server.events()] == [
        ("a", "llm_usage"),
        ("", "llm_usage"),
        ("c", "llm_usage"),
    ]


def test_events_without_an_external_id_are_never_duplicates(server: SandboxServer) -> None:
    """So sending them twice bills them twice."""
    assert ingest(server, event(), event(external_id=None), event()).json == {"inserted": 3, "duplicates": 0}


def test_unknown_customers_and_members_are_found_in_a_second_phase(server: SandboxServer) -> None:
    """A schema error hides them, so a second 422 can follow the first."""
    stranger = "550e8400-e29b-41d4-a716-446655440000"
    by_id = {"name": "n", "customer_id": stranger, "member_id": stranger}

    hidden = ingest(server, by_id, event(name=None))
    found = ingest(server, event(), by_id)

    assert hidden.json["error"] == "RequestValidationError"
    assert found.status == 422
    assert found.json == {
        "error": "PolarRequestValidationError",
        "detail": [
            {
                "type": "customer_id",
                "loc": ["body", "events", 1, "customer_id"],
                "msg": "Customer not found.",
                "input": stranger,
            },
            {
                "type": "member_id",
                "loc": ["body", "events", 1, "member_id"],
                "msg": "Member not found.",
                "input": stranger,
            },
        ],
    }
    assert server.events() == []


def test_a_known_customer_and_its_member_are_accepted(polar: Polar, server: SandboxServer) -> None:
    """Customers are created through the API, members through the store."""
    customer = polar.customers.create(email="a@example.com")
    member_id = server.store.insert_member(customer.id)

    assert ingest(server, {"name": "n", "customer_id": customer.id, "member_id": member_id}).status == 200


def test_an_organization_token_must_not_name_its_organization(server: SandboxServer) -> None:
    """The token says it already."""
    answer = ingest(server, event(organization_id="550e8400-e29b-41d4-a716-446655440000"))

    assert (answer.status, answer.json["detail"][0]["type"]) == (422, "organization_token")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"events":[{"name":"\\ud800","external_customer_id":"u"}]}', 500, "a lone surrogate"),
        (b'{"events":[{"name":"n","external_customer_id":"u","metadata":{"k":NaN}}]}', 500, "NaN"),
        (b'{"events":[{"name":"n","external_customer_id":"u","metadata":{"k":1e999}}]}', 500, "infinite"),
        (b'{"events":[{"name":null,"external_customer_id":"u","x":NaN}]}', 500, "a refusal that echoes NaN"),
        (b'{"events":[{"name":"n","external_customer_id":"u","x":NaN}]}', 200, "NaN where nobody looks"),
        (b'{"events":[', 422, "half a document"),
        (b"", 422, "nothing"),
        (b'{"\xff"}', 400, "no text"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"events":[' + b"9" * 5_000 + b"]}", 400, "a number too long for Python"),
    ],
)
def test_an_unreadable_body_has_its_status(server: SandboxServer, body: bytes, status: int, reason: str) -> None:
    """A 5xx is retried, a 4xx is not; so it matters which of them nonsense gets."""
    assert call(server, URL, body).status == status, reason


def test_invalid_json_is_located_by_its_position(server: SandboxServer) -> None:
    """The location of a whole-request error is short: no index of an event stands in it."""
    (problem,) = call(server, URL, b'{"events":]').json["detail"]

    assert (problem["type"], problem["loc"]) == ("json_invalid", ["body", 10])


def test_a_server_error_is_plain_text_and_closes_the_connection(server: SandboxServer) -> None:
    """The next request on the same connection would find it closed."""
    answer = ingest(server, event(external_id="x" * 2_700))

    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["connection"] == "close"
    assert ingest(server, event(external_id="x" * 2_699)).status == 200


def test_a_body_of_ten_mebibytes_is_accepted_and_one_byte_more_is_not(server: SandboxServer) -> None:
    """The limit is inclusive."""
    start, end = b'{"events":[],"padding":"', b'"}'
    padding = b"x" * (LIMIT_BYTES - len(start) - len(end))

    assert call(server, URL, start + padding + end).status == 200
    too_large = call(server, URL, start + padding + b"x" + end)
    assert (too_large.status, too_large.json["error"]) == (413, "RequestBodyTooLarge")


def test_a_body_without_a_length_is_refused(server: SandboxServer) -> None:
    """Chunked requests do not reach Polar."""
    parts = urlsplit(server.url)
    request = (
        f"POST {URL} HTTP/1.1\r\nHost: polar\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b'"error":"LengthRequired"' in answer


@pytest.mark.parametrize(
    ("headers", "token", "status", "error"),
    [
        ({}, None, 401, "Unauthorized"),
        ({"authorization": "Basic abc"}, None, 401, "Unauthorized"),
        ({}, "sk-not-polar", 401, "invalid_token"),
    ],
)
def test_a_wrong_token_and_none_are_told_apart(
    server: SandboxServer, headers: dict[str, str], token: str | None, status: int, error: str
) -> None:
    """Two bodies for one status, as Polar has them."""
    answer = ingest(server, event(), headers=headers, token=token)

    assert (answer.status, answer.json["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) == (error == "invalid_token")


def test_a_token_needs_the_scope() -> None:
    """A token that may only read cannot ingest; the header names what is missing."""
    tokens = {"reader": frozenset({"events:read"}), "writer": frozenset({"events:write"})}
    with SandboxServer(tokens=tokens) as server:
        refused = ingest(server, event(), token="reader")

        assert (refused.status, refused.json["error"]) == (403, "insufficient_scope")
        assert 'scope="events:write"' in refused.headers["www-authenticate"]
        assert ingest(server, event(), token="writer").status == 200
        assert call(server, "/v1/events/", token="reader").status == 200
        assert ingest(server, event(), token=TOKEN).status == 401


def test_the_version_is_echoed_and_an_unknown_one_is_not_found(server: SandboxServer) -> None:
    """404 for a version says nothing about the events, so they must not be thrown away over it."""
    default = ingest(server, event())
    chosen = ingest(server, event(), headers={"polar-version": "2026-10"})

    assert (default.headers["polar-version"], chosen.headers["polar-version"]) == ("2026-04", "2026-10")
    for version in ("1999-01", "latest", ""):
        unknown = ingest(server, event(), headers={"polar-version": version})
        assert (unknown.status, unknown.json) == (404, {"detail": "Not Found"})


def test_the_organization_shares_one_budget_per_minute() -> None:
    """Reading the state of a customer eats the same budget as ingesting; the 429 has no body."""
    clock = [NOON]
    with SandboxServer(requests_per_minute=2, now=lambda: clock[0]) as server:
        assert [ingest(server, event()).status, call(server, "/v1/events/").status] == [200, 200]
        limited = ingest(server, event(), token="polar_oat_another")
        clock[0] += 59.5
        still = ingest(server, event())
        clock[0] += 0.5

        assert (limited.status, limited.body, limited.headers["retry-after"]) == (429, b"", "60")
        assert (still.status, still.headers["retry-after"]) == (429, "1")
        assert ingest(server, event()).status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(body=JSON | st.fixed_dictionaries({"events": st.lists(JSON, max_size=3)}))
def test_any_json_gets_a_status(server: SandboxServer, body: Any) -> None:
    """Whatever arrives is answered, and what is refused is not stored."""
    before = len(server.events())

    answer = call(server, URL, json.dumps(body).encode())

    assert answer.status in {200, 422, 500}
    assert answer.status == 200 or len(server.events()) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(body=st.binary(max_size=50))
def test_any_bytes_get_a_status(server: SandboxServer, body: bytes) -> None:
    """Nonsense from the network is an answer, never a crash."""
    assert call(server, URL, body).status in {200, 400, 422, 500}
