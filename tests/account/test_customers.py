"""Specifies that there is a customer with your id once, and that nobody's is taken away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from otel_polar.account.customers import NO_EMAIL, OF_ANOTHER, Ensured, ensure
from otel_polar.account.earlier import EarlierUsage, earlier_usage
from otel_polar.errors import PolarRefusedError, PolarUnreachableError
from otel_polar.polar_api import customers
from otel_polar.polar_api.client import PolarApi
from tests.delivery.support import settings

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

EMAIL = "alice@example.com"


def everybody(api: PolarApi) -> list[str | None]:
    return [customer.external_id for customer in customers.list_customers(api)]


def test_a_customer_is_created_once(api: PolarApi) -> None:
    """Sign-up code is retried."""
    first = ensure(api, "user_42", email=EMAIL, name="Alice", metadata={"plan": "pro"})
    second = ensure(api, "user_42", email=EMAIL)

    assert (first.how, second.how) == (Ensured.CREATED, Ensured.THERE)
    assert first.id == second.id
    assert everybody(api) == ["user_42"]
    made = api.get(f"/v1/customers/{first.id}")
    assert (made["name"], made["metadata"]) == ("Alice", {"plan": "pro"})


def test_who_is_there_needs_no_email_and_who_is_not_does(api: PolarApi) -> None:
    """Polar creates nobody without one, and an invented one would be written to."""
    ensure(api, "user_42", email=EMAIL)

    assert ensure(api, "user_42", email=None).how is Ensured.THERE
    with pytest.raises(PolarRefusedError, match=NO_EMAIL):
        ensure(api, "user_43", email=None)


def test_a_customer_with_that_email_and_no_id_gets_it(api: PolarApi) -> None:
    """They bought something before the application knew of them; the case of an email makes no difference."""
    bought = api.post("/v1/customers/", {"email": "Alice@Example.com"})

    ensured = ensure(api, "user_42", email=EMAIL)

    assert (ensured.how, ensured.id) == (Ensured.LINKED, bought["id"])
    assert everybody(api) == ["user_42"]


def test_a_customer_with_another_id_is_never_taken(api: PolarApi) -> None:
    """One of them would pay for what the other uses."""
    ensure(api, "user_41", email="Alice@example.com")

    with pytest.raises(PolarRefusedError, match="another external id") as refused:
        ensure(api, "user_42", email=EMAIL)

    assert refused.value.reasons == (OF_ANOTHER,)
    assert everybody(api) == ["user_41"]


def test_an_email_that_polar_does_not_take_is_its_refusal(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is not asked for again and again."""
    with pytest.raises(PolarRefusedError, match="email"):
        ensure(api, "user_42", email="nobody@nowhere")

    assert [request.method for request in polar_sandbox.requests].count("POST") == 1


@pytest.mark.parametrize("has_bought", [False, True])
def test_several_at_once_make_one_customer(polar_sandbox: SandboxServer, *, has_bought: bool) -> None:
    """Two tabs, two workers, a retry that overtakes: whoever is refused looks again."""
    options = settings(base_url=polar_sandbox.url, requests_per_minute=100_000)
    if has_bought:
        with PolarApi(options) as api:
            api.post("/v1/customers/", {"email": EMAIL})
    polar_sandbox.delay_on("/v1/customers/", 0.1, method="GET", times=None)

    def sign_up(_: int) -> Ensured:
        with PolarApi(options, is_patient=True) as api:
            return ensure(api, "user_42", email=EMAIL).how

    with ThreadPoolExecutor(4) as pool:
        hows = list(pool.map(sign_up, range(4)))

    polar_sandbox.clear_faults()
    with PolarApi(options, is_patient=True) as api:
        assert everybody(api) == ["user_42"]
    assert set(hows) <= {Ensured.CREATED, Ensured.LINKED, Ensured.THERE}


def test_two_users_who_want_one_customer_at_once_do_not_both_get_it(
    api: PolarApi, polar_sandbox: SandboxServer
) -> None:
    """The customer was free when it was looked at, and is not any more when it is asked for."""
    bought = api.post("/v1/customers/", {"email": EMAIL})
    free = b'{"items": [{"id": "%s", "external_id": null, "email": "%s", "name": null}], "pagination": {"max_page": 1}}'
    customers.set_external_id(api, bought["id"], "user_41")
    polar_sandbox.answer_on("/v1/customers/", 200, free % (bought["id"].encode(), EMAIL.encode()), method="GET")

    with pytest.raises(PolarRefusedError, match="another external id"):
        ensure(api, "user_42", email=EMAIL)

    assert everybody(api) == ["user_41"]


def test_a_customer_whose_creation_was_not_answered_is_found(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """Polar has done it, and would refuse it a second time."""
    polar_sandbox.hang_up_on("/v1/customers/", method="POST", after_commit=True)

    assert ensure(api, "user_42", email=EMAIL).how is Ensured.CREATED


def test_a_creation_that_did_not_happen_is_an_error_and_can_be_tried_again(
    api: PolarApi, polar_sandbox: SandboxServer
) -> None:
    """It is not believed to have happened."""
    polar_sandbox.hang_up_on("/v1/customers/", method="POST")

    with pytest.raises(PolarUnreachableError):
        ensure(api, "user_42", email=EMAIL)
    assert ensure(api, "user_42", email=EMAIL).how is Ensured.CREATED


def test_usage_from_before_the_customer_is_added_up(api: PolarApi) -> None:
    """It is never billed: somebody should know how much that is."""
    events = [
        {
            "name": "llm_usage",
            "external_customer_id": "user_42",
            "external_id": f"e{number}",
            "metadata": {"_cost": {"amount": "0.01686", "currency": "usd"}} if number else {},
        }
        for number in range(102)
    ]
    api.post("/v1/events/ingest", {"events": events})

    assert earlier_usage(api, "user_42") == EarlierUsage(102, Decimal("0.0170286"), is_all_counted=True)
    assert earlier_usage(api, "user_43") is None


def test_what_polar_itself_says_of_a_customer_is_no_usage(api: PolarApi) -> None:
    """It writes events of its own when one is created."""
    ensure(api, "user_42", email=EMAIL)

    assert earlier_usage(api, "user_42") is None
