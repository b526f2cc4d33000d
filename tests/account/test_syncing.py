"""Specifies that a whole list of users gets its customers with as few requests as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.account.customers import NO_EMAIL, OF_ANOTHER, Ensured
from otel_polar.account.syncing import Syncing
from otel_polar.account.user_list import User
from otel_polar.polar_api import customers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.account.syncing import Synced
    from otel_polar.polar_api.client import PolarApi
    from otel_polar.sandbox import SandboxServer


def users(*numbers: int) -> list[User]:
    return [User(number, f"user_{number}", f"{number}@example.com", None) for number in numbers]


def sync(api: PolarApi, wanted: Sequence[User], *, is_dry_run: bool = False) -> list[Synced]:
    syncing = Syncing(api, is_dry_run=is_dry_run)
    syncing.look_around(len(wanted))
    return [syncing.sync(user) for user in wanted]


def test_each_is_created_and_a_second_time_none(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is run every night; who is there costs a hundredth of a request."""
    first = sync(api, users(*range(5)))
    before = len(polar_sandbox.requests)
    second = sync(api, users(*range(5)))

    assert {each.how for each in first} == {Ensured.CREATED}
    assert {each.how for each in second} == {Ensured.THERE}
    assert len(polar_sandbox.requests) - before == 2


def test_it_goes_on_where_it_was_interrupted(api: PolarApi) -> None:
    """Ten thousand take half an hour."""
    sync(api, users(0, 1))

    assert [each.how for each in sync(api, users(0, 1, 2))] == [Ensured.THERE, Ensured.THERE, Ensured.CREATED]


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_each_of_them_gets_what_ensure_would_do(
    api: PolarApi, polar_sandbox: SandboxServer, *, is_dry_run: bool
) -> None:
    """Dry, it says the same and changes nothing."""
    customers.create(api, "user_0", email="0@example.com")
    api.post("/v1/customers/", {"email": "1@EXAMPLE.com"})
    before = len(polar_sandbox.requests)
    wanted = [
        *users(0, 1, 2),
        User(3, "user_3", "0@Example.com", None),  # somebody else's email
        User(4, "user_4", None, None),  # none
        User(5, "user_2", "2@example.com", None),  # a second time
    ]

    synced = sync(api, wanted, is_dry_run=is_dry_run)

    there, linked, created = Ensured.THERE, Ensured.LINKED, Ensured.CREATED
    assert [each.how for each in synced] == [there, linked, created, None, None, there]
    assert [each.reason for each in synced[3:5]] == [OF_ANOTHER, NO_EMAIL]
    changes = [request.method for request in polar_sandbox.requests[before:] if request.method != "GET"]
    assert changes == ([] if is_dry_run else ["PATCH", "POST"])


def test_a_short_list_does_not_read_all_of_polars_customers(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """There may be a million of them."""
    for number in range(101):
        customers.create(api, f"there_{number}", email=f"there{number}@example.com")
    before = len(polar_sandbox.requests)

    (synced,) = sync(api, users(0))

    assert synced.how is Ensured.CREATED
    # How many there are, by id, by email, the creation, and what was used before.
    assert len(polar_sandbox.requests) - before == 5


def test_a_customer_that_somebody_else_makes_meanwhile_is_there(api: PolarApi) -> None:
    """Sign-ups go on while it runs."""
    syncing = Syncing(api, is_dry_run=False)
    syncing.look_around(1)
    customers.create(api, "user_0", email="0@example.com")

    assert syncing.sync(users(0)[0]).how is Ensured.THERE


def test_what_polar_refuses_is_told_and_the_rest_goes_on(api: PolarApi) -> None:
    """An address may have no such host."""
    bad = User(1, "user_1", "a@nowhere", None)

    refused, created = sync(api, [bad, *users(2)])

    assert refused.how is None
    assert "email" in str(refused.reason)
    assert created.how is Ensured.CREATED


def test_usage_from_before_is_told_unless_the_token_may_not_see_it(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is never billed."""
    events = [{"name": "llm_usage", "external_customer_id": f"user_{number}"} for number in (0, 1)]
    api.post("/v1/events/ingest", {"events": events})
    (told,) = sync(api, users(0))
    polar_sandbox.answer_on("/v1/events/", 403, b'{"error": "insufficient_scope", "detail": "x"}', times=None)
    syncing = Syncing(api, is_dry_run=False)

    untold = syncing.sync(users(1)[0])

    assert told.earlier is not None
    assert told.earlier.events == 1
    assert (untold.how, untold.earlier) == (Ensured.CREATED, None)
    assert syncing.cannot_see_usage is not None
