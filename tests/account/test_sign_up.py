"""Specifies ``ensure_customer``, as sign-up code calls it."""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from otel_polar import ConfigError, EnsuredCustomer, ensure_customer
from otel_polar.account.customers import Ensured
from otel_polar.errors import PolarError, PolarRateLimitedError, PolarUnreachableError
from tests.delivery.support import TOKEN

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi
    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def options(polar_sandbox: SandboxServer) -> dict[str, Any]:
    """Of a user who gives them in code."""
    return {"access_token": TOKEN, "base_url": polar_sandbox.url, "requests_per_minute": 100_000}


def test_a_customer_is_there_after_it(options: dict[str, Any]) -> None:
    """Ids are those of ``bill_to``: text, whole numbers, UUIDs."""
    ids = ("user_42", 43, UUID("8f14e45f-ceea-467f-a0e6-0f1c6b1e3f00"))

    made = [ensure_customer(each, email=f"{number}@example.com", **options) for number, each in enumerate(ids)]

    assert [each.external_id for each in made] == [str(each) for each in ids]
    assert all(isinstance(each, EnsuredCustomer) and each.how is Ensured.CREATED for each in made)


def test_options_come_from_the_environment(polar_sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of the processor do."""
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("POLAR_BASE_URL", polar_sandbox.url)

    assert ensure_customer("user_42", email="a@example.com").how is Ensured.CREATED


@pytest.mark.parametrize(
    ("user_id", "email"),
    [("", "a@example.com"), (None, "a@example.com"), ("a;b", "a@example.com"), ("u", "a"), ("u", "")],
)
def test_what_cannot_be_an_id_or_an_email_is_refused_without_asking(
    polar_sandbox: SandboxServer, options: dict[str, Any], user_id: object, email: str
) -> None:
    """``bill_to`` would refuse it, too, and the customer would never pay."""
    with pytest.raises(ConfigError):
        ensure_customer(user_id, email=email, **options)

    assert polar_sandbox.requests == []


def test_without_a_token_it_is_an_error() -> None:
    """A sign-up that goes through would be a customer who is never billed."""
    with pytest.raises(ConfigError, match="POLAR_ACCESS_TOKEN"):
        ensure_customer("user_42", email="a@example.com")


def test_a_polar_that_is_down_is_an_error_within_the_time(options: dict[str, Any]) -> None:
    """Somebody waits for the page."""
    with pytest.raises(PolarError) as error:
        ensure_customer(
            "user_42", email="a@example.com", timeout_s=0.2, **{**options, "base_url": "http://127.0.0.1:9"}
        )

    assert isinstance(error.value, PolarUnreachableError | PolarRateLimitedError)


def test_a_rate_limit_is_waited_for_no_longer_than_told(polar_sandbox: SandboxServer, options: dict[str, Any]) -> None:
    """Polar asks for a minute."""
    polar_sandbox.answer_on("/v1/customers/*", 429, headers={"retry-after": "60"}, times=None)

    with pytest.raises(PolarRateLimitedError, match=r"another 60\.0 s") as error:
        ensure_customer("user_42", email="a@example.com", timeout_s=2.0, **options)

    assert error.value.retry_after_s == 60.0


def test_it_may_be_called_by_many_threads(options: dict[str, Any], api: PolarApi) -> None:
    """Servers have them, and the same user may come by several."""

    def sign_up(number: int) -> str:
        return ensure_customer(f"user_{number % 4}", email=f"{number % 4}@example.com", **options).id

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(sign_up, range(8)))

    assert len(set(ids)) == 4
    assert api.get("/v1/customers/")["pagination"]["total_count"] == 4


def test_it_may_be_called_in_a_forked_child(options: dict[str, Any], api: PolarApi) -> None:
    """Workers are forked from a process that has called it."""
    ensure_customer("user_1", email="1@example.com", **options)
    child = multiprocessing.get_context("fork").Process(
        target=ensure_customer, args=("user_2",), kwargs={"email": "2@example.com", **options}
    )
    child.start()
    child.join(20.0)

    assert child.exitcode == 0
    assert api.get("/v1/customers/")["pagination"]["total_count"] == 2


def test_usage_from_before_is_warned_of_without_saying_whose(
    options: dict[str, Any], api: PolarApi, caplog: pytest.LogCaptureFixture
) -> None:
    """Polar never bills it, so customers are to be created before their first call."""
    cost = {"_cost": {"amount": "250", "currency": "usd"}}
    event = {"name": "llm_usage", "external_customer_id": "user_42", "metadata": cost}
    api.post("/v1/events/ingest", {"events": [event]})

    with caplog.at_level(logging.WARNING, "otel_polar"):
        ensure_customer("user_42", email="a@example.com", **options)
        ensure_customer("user_42", email="a@example.com", **options)

    (line,) = caplog.messages
    assert line.startswith("1 events ($2.5) came before their customer")
    assert "user_42" not in line


def test_a_token_that_may_not_see_events_is_enough(polar_sandbox: SandboxServer, options: dict[str, Any]) -> None:
    """The warning is not worth a sign-up."""
    polar_sandbox.answer_on("/v1/events/", 403, b'{"error": "insufficient_scope", "detail": "x"}', times=None)

    assert ensure_customer("user_42", email="a@example.com", **options).how is Ensured.CREATED
