"""What the tests of credits share: a customer with credits on the local Polar, and usage of theirs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.credits import CreditGuard
from otel_polar.settings import Settings
from tests.benchmarks.spans import MODEL_CALL_ATTRIBUTES, ended
from tests.sandbox.support import event, ingest, post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

TOKEN: Final = "polar_oat_test"
USER: Final = "user_4711"
METER: Final = "tokens"
USAGE: Final = {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}
CALL_TOKENS: Final = 1_457 + 120
"""What :func:`make_calls` uses each time."""


def make_meter(server: SandboxServer, summed: str = "total_tokens", name: str = METER) -> str:
    aggregation = {"func": "sum", "property": summed}
    return str(post(server, "/v1/meters/", name=name, filter=USAGE, aggregation=aggregation).json["id"])


def make_customer(server: SandboxServer, name: str = USER) -> None:
    assert post(server, "/v1/customers/", email=f"{name}@example.com", external_id=name).status == 201


def give_credits(server: SandboxServer, meter_id: str, units: int, name: str = USER) -> None:
    """By a free product, to which the customer subscribes."""
    properties = {"units": units, "rollover": False, "meter_id": meter_id}
    benefit = post(server, "/v1/benefits/", type="meter_credit", description="Units", properties=properties).json
    price = {"amount_type": "fixed", "price_amount": 0}
    product = post(server, "/v1/products/", name="Free plan", recurring_interval="month", prices=[price]).json
    assert post(server, f"/v1/products/{product['id']}/benefits", benefits=[benefit["id"]]).status == 200
    subscribed = post(server, "/v1/subscriptions/", product_id=product["id"], external_customer_id=name)
    assert subscribed.status in {200, 201}


def a_customer_with(server: SandboxServer, units: int) -> None:
    """A meter, a customer, and so many credits."""
    meter_id = make_meter(server)
    make_customer(server)
    give_credits(server, meter_id, units)


def use_elsewhere(server: SandboxServer, tokens: int, name: str = USER) -> None:
    """Usage that another machine sends."""
    sent = ingest(server, event(name="llm_usage", external_customer_id=name, metadata={"total_tokens": tokens}))
    assert sent.status == 200


def settings(server_url: str, directory: Path, **options: Any) -> Settings:
    return Settings.load({}, **{"access_token": TOKEN, "base_url": server_url, "outbox_dir": directory, **options})


@contextmanager
def guarding(server_url: str, directory: Path, **options: Any) -> Iterator[CreditGuard]:
    """A guard, closed in the end."""
    guard = CreditGuard(METER, settings=settings(server_url, directory), **options)
    try:
        yield guard
    finally:
        guard.close()


@contextmanager
def an_application(server_url: str, directory: Path, **options: Any) -> Iterator[PolarSpanProcessor]:
    """Whose calls are recorded and, unless *options* say otherwise, only sent when it is told to."""
    told = {"settle_s": 3_600.0, "shutdown_timeout_s": 0.0, **options}
    processor = PolarSpanProcessor(access_token=TOKEN, base_url=server_url, outbox_dir=directory, **told)
    try:
        yield processor
    finally:
        processor.shutdown()


def make_calls(processor: PolarSpanProcessor, count: int, name: str = USER) -> None:
    """Calls to a model, recorded when this returns."""
    for _ in range(count):
        with bill_to(name):
            processor.on_end(ended(processor, "chat gpt-4o-mini", MODEL_CALL_ATTRIBUTES))
