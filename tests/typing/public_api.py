"""The public face as types: never run, only checked by mypy. A change here is a change for users."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type
from uuid import UUID

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otel_polar import (
    ConfigError,
    Customer,
    EnsuredCustomer,
    ModelCall,
    OtelPolarError,
    PolarSpanProcessor,
    Price,
    PriceQuery,
    PriceResolver,
    RateCard,
    Rates,
    Settings,
    TokenUsage,
    Unpriced,
    bill_to,
    doctor,
    ensure_customer,
)
from otel_polar.billing.usage import Unmetered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from otel_polar.billing.metadata import Metadata


def name_by_operation(call: ModelCall) -> str:
    return f"llm_{call.operation}"


def without_ids(_call: ModelCall, metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if key != "trace_id"}


def our_prices(query: PriceQuery) -> Price | Unpriced | None:
    usd = Rates({"input": "1"}).cost_usd(query.usage)
    return Price(usd, "ours") if usd is not None else Unpriced("no price for output")


def twice(_call: ModelCall, price: Price) -> object:
    return price.usd * 2


as_resolver: PriceResolver = our_prices
card_as_resolver: PriceResolver = RateCard({"gpt-4o": {"promptTokens": 1e-6}})

PolarSpanProcessor(rate_card="prices.toml", price_resolvers=[our_prices, card_as_resolver], markup="1.2")
PolarSpanProcessor(rate_card={"gpt-4o": {"promptTokens": 1e-6}}, price_resolvers=our_prices, markup=twice)
PolarSpanProcessor(trusted_costs={"openrouter": "gen_ai.usage.cost"}, gateways=["llm.internal"], markup=1.5)
PolarSpanProcessor(approximate_models="maybe")  # type: ignore[arg-type]  # held, or priced
PolarSpanProcessor(price_resolvers=twice)  # type: ignore[arg-type]  # a resolver takes a query

processor = PolarSpanProcessor(
    access_token="polar_oat_x",
    server="production",
    event_name=name_by_operation,
    external_customer_id_keys=("tenant_id",),
    customer_id_keys="customer_id",
    tags=["plan"],
    map_metadata=without_ids,
    on_unattributed="drop",
    on_unpriced="send",
    outbox_dir="/var/lib/app/outbox",
    settle_s=1.5,
)
assert_type(processor.force_flush(5_000), bool)
as_processor: SpanProcessor = processor
TracerProvider().add_span_processor(PolarSpanProcessor())

PolarSpanProcessor(server="prod")  # type: ignore[arg-type]  # only the two that Polar has
PolarSpanProcessor(on_unpriced="free")  # type: ignore[arg-type]  # an unknown price is never 0
PolarSpanProcessor(tolken="x")  # type: ignore[call-arg]  # misspelt options are found while writing

with bill_to("user_42", plan="pro", seats=3, trial=False):
    pass
with bill_to(42), bill_to(UUID(int=0)), bill_to(None), bill_to(plan="pro"):
    pass
with bill_to(customer_id="8f14e45f-ceea-467f-a0e6-0f1c6b1e3f00", member_id="m1"):
    pass
assert_type(ensure_customer(UUID(int=0), email="a@example.com", metadata={"seats": 3}), EnsuredCustomer)
ensure_customer("user_42")  # type: ignore[call-arg]  # Polar creates nobody without an email
bill_to(b"bytes")  # type: ignore[arg-type]  # an id is text


@bill_to("batch-job")
def summarise(text: str, *, words: int = 10) -> list[str]:
    return text.split()[:words]


@bill_to("batch-job")
async def summarise_later(text: str) -> str:
    return text


typed: Callable[[str], list[str]] = summarise
typed_later: Callable[[str], Awaitable[str]] = summarise_later


def read(call: ModelCall, settings: Settings) -> None:
    assert_type(call.usage, TokenUsage | Unmetered)
    assert_type(call.model, str | None)
    assert_type(call.duration_ms, int)
    assert_type(settings.settle_s, float)
    if isinstance(call.usage, TokenUsage):
        assert_type(call.usage.input_tokens, int)
    if isinstance(call.customer, Customer):
        assert_type(call.customer.external_customer_id, str | None)
    tags: Mapping[str, str | int | float | bool] = call.tags
    del tags


report = doctor(TracerProvider(), customer="user_42", sections=["polar"])
assert_type(report.is_well, bool)
assert_type(report.findings[0].do, tuple[str, ...])

assert issubclass(ConfigError, OtelPolarError)
