"""Specifies how every answer of Polar is sorted, against a running sandbox and a stand-in for the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, RateLimited, TooLarge
from otel_polar.delivery.sending.polar import PolarClient, sort_response
from otel_polar.sandbox import SandboxServer
from tests.delivery.support import NOON, TOKEN, a_body, settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(now=lambda: NOON) as running:
        yield running


@pytest.fixture
def polar(server: SandboxServer) -> Iterator[PolarClient]:
    client = PolarClient(settings(base_url=server.url))
    yield client
    client.close()


def with_changes(number: int, **changes: Any) -> str:
    return json.dumps({**json.loads(a_body(number)), **changes})


def test_events_that_polar_takes_are_accepted(polar: PolarClient, server: SandboxServer) -> None:
    """The everyday answer, through the real SDK and over real HTTP."""
    assert polar.ingest([a_body(1), a_body(2)]) == Accepted(inserted=2, duplicates=0)
    assert [event["external_id"] for event in server.events()] == ["event-1", "event-2"]


def test_events_that_polar_had_are_accepted_too(polar: PolarClient) -> None:
    """An answer that was lost on the way is the reason why they are sent again."""
    polar.ingest([a_body(1)])

    assert polar.ingest([a_body(1), a_body(2)]) == Accepted(inserted=1, duplicates=1)


def test_exactly_the_events_at_fault_are_named(polar: PolarClient) -> None:
    """Polar reports both variants of an event; only the index counts."""
    outcome = polar.ingest([a_body(0), with_changes(1, metadata={"empty": ""}), a_body(2)])

    assert isinstance(outcome, Invalid)
    assert (set(outcome.reasons), outcome.early) == ({1}, frozenset())
    assert "empty" in outcome.reasons[1]


def test_an_unknown_customer_is_named_in_the_second_round(polar: PolarClient) -> None:
    """Polar checks references only when every shape is right."""
    unknown = json.loads(a_body(0))
    del unknown["external_customer_id"]
    unknown["customer_id"] = "8f14e45f-ceea-467f-a0e6-0f1c6b1e3f00"

    outcome = polar.ingest([a_body(1), json.dumps(unknown)])

    assert outcome == Invalid(reasons={1: "customer_id: Customer not found."})


def test_an_event_from_the_future_is_early_and_not_at_fault(polar: PolarClient) -> None:
    """The clocks of two machines differ; the event is good in a second."""
    outcome = polar.ingest([a_body(0), with_changes(1, timestamp="2026-10-01T12:00:02Z")])

    assert outcome == Invalid(reasons={}, early=frozenset({1}))


def test_a_revoked_token_is_denied(server: SandboxServer) -> None:
    """It says nothing about the events, so they wait."""
    client = PolarClient(settings(base_url=server.url, access_token="wrong"))

    assert client.ingest([a_body(1)]) == Denied("401 invalid_token")
    client.close()


def test_a_token_without_the_scope_is_denied() -> None:
    """As above; the log names what Polar calls it."""
    with SandboxServer(tokens={TOKEN: frozenset({"events:read"})}) as server:
        client = PolarClient(settings(base_url=server.url))

        assert client.ingest([a_body(1)]) == Denied("403 insufficient_scope")
        client.close()


def test_no_answer_is_a_failure_of_the_network(server: SandboxServer, polar: PolarClient) -> None:
    """Nobody knows whether Polar has the events: they are sent again."""
    server.hang_up_next(after_commit=True)

    outcome = polar.ingest([a_body(1)])

    assert isinstance(outcome, Failed)
    assert not outcome.answered
    assert polar.ingest([a_body(1)]) == Accepted(inserted=0, duplicates=1)


def test_an_unreachable_address_is_a_failure_of_the_network(server: SandboxServer) -> None:
    """The most common outage of all."""
    client = PolarClient(settings(base_url=server.url))
    server.stop()

    outcome = client.ingest([a_body(1)])

    assert isinstance(outcome, Failed)
    assert not outcome.answered
    client.close()


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        pytest.param(429, {"retry-after": "7"}, b"", RateLimited(7.0), id="seconds"),
        pytest.param(429, {"retry-after": "1.5"}, b"", RateLimited(1.5), id="the SDK leaks ValueError here"),
        pytest.param(429, {"retry-after": "soon"}, b"", RateLimited(60.0), id="garbage: a minute"),
        pytest.param(429, {}, b"", RateLimited(60.0), id="nothing: a minute"),
        pytest.param(413, {}, b"{}", TooLarge(), id="too many bytes"),
        pytest.param(411, {}, b"{}", TooLarge(), id="some proxies say 411"),
        pytest.param(404, {}, b'{"detail":"Not Found"}', Denied("404"), id="a wrong address or API version"),
        pytest.param(403, {}, b"<html>", Failed("HTTP status 403", answered=True), id="a firewall, about one event"),
        pytest.param(403, {}, b'{"message":"Forbidden"}', Failed("HTTP status 403", answered=True), id="a gateway"),
        pytest.param(404, {}, b"<html>", Failed("HTTP status 404", answered=True), id="a proxy whose Polar is away"),
        pytest.param(401, {}, b"", Denied("401"), id="only ever about the token"),
        pytest.param(422, {}, b"[" * 200_000, Failed("HTTP status 422 that names no event", answered=True), id="deep"),
        pytest.param(500, {}, b"Internal Server Error", Failed("HTTP status 500", answered=True), id="their fault"),
        pytest.param(502, {}, b"<html>", Failed("HTTP status 502", answered=True), id="a proxy's fault"),
        pytest.param(302, {"location": "/"}, b"", Failed("HTTP status 302", answered=True), id="never followed"),
        pytest.param(409, {}, b"", Failed("HTTP status 409", answered=True), id="Polar never says this"),
        pytest.param(
            200,
            {},
            b"<html>welcome</html>",
            Failed("HTTP status 200 with a body that is not Polar's", answered=True),
            id="a captive portal: success in name only",
        ),
        pytest.param(
            200,
            {},
            b'{"inserted": 0, "duplicates": 0}',
            Failed("1 events sent, but answered 0 inserted, 0 duplicates", answered=True),
            id="counts that do not add up",
        ),
        pytest.param(200, {}, b'{"inserted": 0}', Accepted(0, 1), id="an older API does not count duplicates"),
        pytest.param(
            422,
            {},
            b'{"detail": "no"}',
            Failed("HTTP status 422 that names no event", answered=True),
            id="no event is named, so none is rejected",
        ),
        pytest.param(
            422,
            {},
            b'{"detail": [{"loc": ["body", 11], "msg": "JSON decode error", "type": "json_invalid"}]}',
            Failed("HTTP status 422 that names no event", answered=True),
            id="about the request",
        ),
        pytest.param(
            422,
            {},
            b'{"detail": [{"loc": ["body", "events", 0, "organization_id"], "msg": "needed", "type": "missing"}]}',
            Denied("422: an organization access token is needed, not a personal one"),
            id="about the token: rejecting for it would bury everything",
        ),
    ],
)
def test_answers_are_sorted_whatever_the_sdk_makes_of_them(
    server: SandboxServer,
    polar: PolarClient,
    status: int,
    headers: dict[str, str],
    body: bytes,
    expected: object,
) -> None:
    """The SDK leaks ValueError and JSONDecodeError, and loses headers: the response itself decides."""
    server.answer_next(status, body, headers)

    assert polar.ingest([a_body(1)]) == expected


def test_an_index_outside_the_batch_names_no_event() -> None:
    """A lying answer must not reject an event it has never seen."""
    detail = [{"loc": ["body", "events", 7, "name"], "msg": "too long", "type": "string_too_long"}]

    outcome = sort_response(422, {}, json.dumps({"detail": detail}), sent=1)

    assert outcome == Failed("HTTP status 422 that names no event", answered=True)


def test_the_reason_never_repeats_what_the_user_sent(polar: PolarClient) -> None:
    """Polar echoes the input; a reason ends in a log."""
    outcome = polar.ingest([with_changes(1, metadata={"note": {"nested": "SECRET"}})])

    assert isinstance(outcome, Invalid)
    assert "SECRET" not in str(outcome)
