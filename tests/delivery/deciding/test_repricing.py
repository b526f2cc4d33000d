"""Specifies what becomes of calls whose price is not known, and that a price once given never changes."""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_polar.billing.pricing import Price, PriceQuery
from otel_polar.billing.rates import Rates
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.orders.files import OrderFiles
from otel_polar.delivery.orders.order import Kind, Row, make_orders
from otel_polar.delivery.pipeline import Pipeline
from tests.delivery.metered_providers import a_provider, read, value
from tests.delivery.support import let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.span import SpanRecord
    from otel_polar.sandbox import SandboxServer

CARD = """[[prices]]
provider = "openai"
model = "gpt-9000"
usd_per_million_tokens = {{ input = "{}", output = "10" }}
"""


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Pipelines over one directory; each lets go of its file at the end."""
    made: list[Pipeline] = []

    def make(base_url: str, **options: Any) -> Pipeline:
        made.append(Pipeline(settings(base_url=base_url, outbox_dir=tmp_path, **options)))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.shutdown()
        for outbox in pipeline.outboxes:
            outbox.close()


def unknown(number: int = 0) -> SpanRecord:
    """A call to a model that no list knows."""
    return a_span(number, **{"gen_ai.response.model": "gpt-9000"})


def states(pipeline: Pipeline) -> dict[State, int]:
    (outbox,) = pipeline.outboxes
    return outbox.counts()


def end(pipeline: Pipeline) -> None:
    """As if the process had ended."""
    pipeline.shutdown()
    let_go(pipeline)


def test_an_unpriced_call_is_held_and_said_once_with_the_lines_to_add(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log copies them, fills in two numbers, and is done."""
    pipeline = make_pipeline(polar_sandbox.url)
    for number in range(3):
        pipeline.take(unknown(number), ALICE, {})
    pipeline.force_flush(10.0)

    assert states(pipeline) == {State.UNPRICED: 3}
    (warning,) = [record.message for record in caplog.records if "held as unpriced" in record.message]
    assert "has no model 'gpt-9000' of provider 'openai'" in warning
    assert warning.endswith(
        '[[prices]]\nprovider = "openai"\nmodel = "gpt-9000"\nusd_per_million_tokens = { input = "?", output = "?" }'
    )


def test_a_card_that_knows_the_model_releases_its_calls_without_a_restart(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """The file is read again when it changes."""
    card = tmp_path / "prices.toml"
    card.write_text(CARD.format("1").replace("gpt-9000", "another"))
    pipeline = make_pipeline(polar_sandbox.url, rate_card=card)
    pipeline.take(unknown(), ALICE, {})
    pipeline.force_flush(10.0)
    assert states(pipeline) == {State.UNPRICED: 1}

    card.write_text(CARD.format("1"))
    os.utime(card, (1.0, 1.0))
    pipeline._tend()
    assert pipeline.force_flush(10.0)

    (event,) = polar_sandbox.wait_for_events(1)
    # 100 at 1 dollar and 10 at 10 dollars a million.
    assert event["metadata"]["cost_nanos"] == 200_000
    assert event["metadata"]["price_model"] == "openai/gpt-9000"
    assert event["metadata"]["price_source"].startswith("prices.toml ")


def test_a_running_process_prices_again_what_an_order_names(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer
) -> None:
    """`otel-polar outbox reprice` cannot open the file of a process that lives; it wakes by itself for an order."""
    known: list[Price] = []

    def mine(_query: PriceQuery) -> Price | None:
        return known[0] if known else None

    pipeline = make_pipeline(polar_sandbox.url, price_resolvers=mine)
    pipeline.take(unknown(), ALICE, {})
    pipeline.force_flush(10.0)
    known.append(Price(Decimal("0.01"), "mine"))
    pipeline._tend()
    pipeline.force_flush(10.0)
    assert states(pipeline) == {State.UNPRICED: 1}

    (row,) = pipeline.outboxes[0].ledger()
    (order,) = make_orders(Kind.REPRICE, [Row(row.external_id, row.state, row.reason)], now=time.time())
    assert pipeline._directory is not None
    OrderFiles(pipeline._directory.path).leave(order)

    (event,) = polar_sandbox.wait_for_events(1)
    assert event["metadata"]["cost_nanos"] == 10_000_000


def test_unpriced_calls_are_sent_without_cost_on_request(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Some bill by tokens, and want no call to wait; it is said all the same."""
    pipeline = make_pipeline(polar_sandbox.url, on_unpriced="send", markup="2")
    pipeline.take(unknown(), ALICE, {})
    assert pipeline.force_flush(10.0)

    (event,) = polar_sandbox.events()
    assert event["metadata"]["total_tokens"] == 110
    assert not [key for key in event["metadata"] if "cost" in key or "charge" in key or "price" in key]
    assert "a model call is sent without cost" in caplog.text


def test_an_approximate_cost_is_marked_and_said_once(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be off, and that is openly known."""
    pipeline = make_pipeline(polar_sandbox.url)
    for number in range(2):
        pipeline.take(a_span(number, **{"server.address": "llm.internal"}), ALICE, {})
    assert pipeline.force_flush(10.0)

    assert [event["metadata"]["price_approximate"] for event in polar_sandbox.events()] == [True, True]
    assert caplog.text.count("through llm.internal, as if called directly") == 1


def test_a_price_that_changes_between_attempt_and_retry_changes_nothing_that_is_frozen(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Polar may have the first attempt: the second must be the same to the last digit, also after a restart."""
    card = tmp_path / "prices.toml"
    card.write_text(CARD.format("1"))
    options: dict[str, Any] = {"rate_card": card, "request_timeout_s": 0.5, "markup": "1.5"}
    first = make_pipeline(polar_sandbox.url, **options)
    polar_sandbox.answer_next(429, headers={"Retry-After": "30"}, after_commit=True)
    first.take(unknown(0), ALICE, {})
    assert not first.force_flush(0.5)
    (outbox,) = first.outboxes
    (frozen,) = (json.loads(row.body or "") for row in outbox.ledger())
    end(first)

    card.write_text(CARD.format("700"))
    second = make_pipeline(polar_sandbox.url, **{**options, "markup": "3"})
    second.take(unknown(1), ALICE, {})
    assert second.force_flush(10.0)

    costs = {event["metadata"]["trace_id"]: event["metadata"] for event in polar_sandbox.wait_for_events(2)}
    old, new = (costs[f"{number:032x}"] for number in (1, 2))
    assert (old["cost_nanos"], old["charge_nanos"]) == (200_000, 300_000)
    assert (new["cost_nanos"], new["charge_nanos"]) == (70_100_000, 210_300_000)
    assert frozen["metadata"]["cost_nanos"] == 200_000


def test_unpriced_calls_are_counted_as_a_metric(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer
) -> None:
    """An alert on it is sooner than a customer's bill."""
    reader = InMemoryMetricReader()
    with a_provider(reader):
        pipeline = make_pipeline(polar_sandbox.url)
        for number in range(3):
            pipeline.take(unknown(number), ALICE, {})
        pipeline.take(a_span(3), ALICE, {})
        pipeline.force_flush(10.0)
        found = read(reader)

    model = {"gen_ai__provider__name": "openai", "otel_polar__model": "gpt-9000"}
    assert value(found, "otel_polar.calls.unpriced", **model) == 3
    assert len(found["otel_polar.calls.unpriced"].points) == 1


def test_a_user_function_gets_what_it_needs_and_no_content(
    make_pipeline: Callable[..., Pipeline], polar_sandbox: SandboxServer
) -> None:
    """It prices in the delivery thread, by what was used."""
    asked: list[PriceQuery] = []

    def mine(query: PriceQuery) -> Price | None:
        asked.append(query)
        rates = Rates({"input": "1", "output": "10"})
        usd = rates.cost_usd(query.usage)
        return None if usd is None else Price(usd, "my contract of 2026", matched=query.model or "", rates=rates)

    def doubled(call: ModelCall, price: Price) -> object:
        return price.usd * (2 if call.provider == "openai" else 1)

    pipeline = make_pipeline(polar_sandbox.url, price_resolvers=[mine], markup=doubled)
    pipeline.take(a_span(), ALICE, {"plan": "pro"})
    assert pipeline.force_flush(10.0)

    (event,) = polar_sandbox.events()
    assert (event["metadata"]["price_source"], event["metadata"]["cost_nanos"]) == ("my contract of 2026", 200_000)
    assert event["metadata"]["charge_nanos"] == 400_000
    assert (asked[0].external_customer_id, asked[0].tags) == ("alice", {"plan": "pro"})
