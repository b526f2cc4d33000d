"""Faults ordered for any address of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.support import call, post

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

CUSTOMERS = "/v1/customers/"


def test_a_fault_waits_for_its_own_address_and_method(server: SandboxServer) -> None:
    """Others are answered truly, and so is the next one."""
    server.answer_on(CUSTOMERS, 503, b"down", {"retry-after": "3"}, method="POST")

    assert call(server, CUSTOMERS).status == 200
    assert call(server, "/v1/meters/").status == 200
    refused = post(server, CUSTOMERS, email="a@example.com")
    assert (refused.status, refused.body, refused.headers["retry-after"]) == (503, b"down", "3")
    assert post(server, CUSTOMERS, email="a@example.com").status == 201


def test_a_fault_comes_as_often_as_it_was_ordered(server: SandboxServer) -> None:
    """Twice, or until it is cleared; a star stands for any part of an address."""
    server.answer_on("/v1/customers/external/*", 500, times=2)
    server.answer_on("/v1/meters*", 429, times=None)

    path = "/v1/customers/external/ann/state"
    assert [call(server, path).status for _ in range(3)] == [500, 500, 404]
    assert [call(server, "/v1/meters/").status for _ in range(3)] == [429] * 3
    server.clear_faults()
    assert call(server, "/v1/meters/").status == 200


@pytest.mark.parametrize(("after_commit", "count"), [(False, 0), (True, 1)])
def test_a_connection_is_cut_before_or_after_the_request_was_obeyed(
    server: SandboxServer, *, after_commit: bool, count: int
) -> None:
    """The client cannot know which."""
    server.hang_up_on(CUSTOMERS, method="POST", after_commit=after_commit)

    with pytest.raises(ConnectionError):
        post(server, CUSTOMERS, email="a@example.com")

    assert len(server.store.customers()) == count


def test_an_answer_hides_that_the_request_was_obeyed(server: SandboxServer) -> None:
    """A proxy gave up; the customer is there."""
    server.answer_on(CUSTOMERS, 502, after_commit=True)

    assert post(server, CUSTOMERS, email="a@example.com").status == 502
    assert len(server.store.customers()) == 1


def test_a_slow_answer_is_a_true_one(server: SandboxServer) -> None:
    """A client that waits gets it; one that does not has timed out."""
    server.delay_on("/v1/organizations/", 0.2)

    with pytest.raises(TimeoutError):
        call(server, "/v1/organizations/", timeout_s=0.05)
    server.delay_on("/v1/organizations/", 0.01)
    assert call(server, "/v1/organizations/").json["pagination"]["total_count"] == 1


def test_every_request_is_recorded(server: SandboxServer) -> None:
    """A test can ask how often its program called, and with what."""
    server.hang_up_on("/v1/meters/")
    with pytest.raises(ConnectionError):
        call(server, "/v1/meters/?limit=1")
    call(server, CUSTOMERS, headers={"X-Attempt": "2"})
    call(server, CUSTOMERS, token=None)

    recorded = [(one.method, one.path, one.query, one.status) for one in server.requests]

    assert recorded == [
        ("GET", "/v1/meters/", "limit=1", None),
        ("GET", CUSTOMERS, "", 200),
        ("GET", CUSTOMERS, "", 401),
    ]
    assert server.requests[1].headers["x-attempt"] == "2"
    assert server.ingest_requests == []
