from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.billing.merging import CONTRADICTION, leading_of, merge
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import model_call, tokens

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

MS = 1_000_000
BEGIN = 1_790_855_999_000_000_000
STRONG = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
ANN = Customer(external_customer_id="ann")
REFUSED = Unattributed("bill_to(None): the application says that nobody pays")


def outer(**fields: Any) -> ModelCall:
    """A span around the other one."""
    return model_call(**_span("outer", 0, 100), **fields)


def inner(**fields: Any) -> ModelCall:
    """The span nearest to the provider."""
    return model_call(**{**_span("inner", 1, 99), **fields})


def _span(name: str, begin_ms: int, end_ms: int) -> dict[str, Any]:
    return {
        "span_id": name.encode().hex().ljust(16, "0"),
        "start_time_unix_nano": BEGIN + begin_ms * MS,
        "end_time_unix_nano": BEGIN + end_ms * MS,
        "scope_name": name,
    }


def test_a_call_that_one_span_tells_of_is_that_span() -> None:
    """Nothing is made up."""
    assert merge([inner()]) == inner()


def test_the_innermost_span_leads() -> None:
    """A proxy's span has the real model where the client's has an alias, whatever came first."""
    client = outer(response_model="my-alias", request_model="my-alias")
    proxy = inner(response_model="gpt-4o-2024-08-06", request_model="azure/gpt-4o", provider="azure.ai.openai")

    for spans in ([client, proxy], [proxy, client]):
        assert merge(spans) == proxy


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("provider", "openai", "Strands names itself where the provider belongs"),
        ("service_tier", "flex", "it has a price of its own"),
        ("server_address", "api.openai.com", "it tells who is paid"),
    ],
)
def test_what_the_innermost_does_not_know_is_taken_from_the_next(field: str, value: str, reason: str) -> None:
    """Field by field, the best that any of them knows."""
    merged = merge([outer(**{field: value}), inner(**{field: None})])

    assert getattr(merged, field) == value, reason


def test_the_models_are_those_of_one_span() -> None:
    """What was asked for on one and what answered on another could be two models."""
    merged = merge([outer(request_model="gpt-4o", response_model=None), inner(request_model=None, response_model=None)])

    assert (merged.request_model, merged.response_model) == ("gpt-4o", None)


def test_a_strong_id_of_any_span_names_the_call() -> None:
    """So that a service that saw only that span names the same event."""
    merged = merge([outer(response_id=STRONG), inner(response_id=None)])

    assert external_id(merged) == f"openai:{STRONG}"


@pytest.mark.parametrize(
    ("theirs", "ours", "expected", "reason"),
    [
        (
            tokens(1_457, 120, cache_read=1_024),
            tokens(1_457, 120),
            tokens(1_457, 120, cache_read=1_024),
            "the division that is finer",
        ),
        (
            tokens(1_457, 120, cache_read=1_024),
            tokens(1_457, 120, reasoning=64),
            tokens(1_457, 120, cache_read=1_024, reasoning=64),
            "input of one, output of the other",
        ),
        (tokens(100, 174), tokens(100, 171), tokens(100, 171), "a wrapper adds a placeholder: the inner is right"),
        (
            tokens(500, 30),
            tokens(500, 100, reasoning=70),
            tokens(500, 100, reasoning=70),
            "a framework leaves thoughts out: the inner is right",
        ),
        (
            TokenUsage(21, 77, 2_000, 300),
            TokenUsage(21, 77, 2_000, 200, cache_write_1h_tokens=100),
            TokenUsage(21, 77, 2_000, 200, cache_write_1h_tokens=100),
            "an hour's write costs more",
        ),
        (
            tokens(100, 10, cache_read=90),
            tokens(120, 10),
            tokens(120, 10),
            "parts of another total do not fit into this one",
        ),
    ],
)
def test_usage_is_the_finest_division_of_the_innermost_totals(
    theirs: TokenUsage, ours: TokenUsage, expected: TokenUsage, reason: str
) -> None:
    """Two totals are never mixed into a third."""
    assert merge([outer(usage=theirs), inner(usage=ours)]).usage == expected, reason


def test_a_span_that_knows_its_tokens_leads_before_one_further_in_that_does_not() -> None:
    """Anthropic's own span of a stream that was closed early has no output; a wrapper's has."""
    half = Unmetered("no count of output tokens", TokenUsage(21, 0, 2_000, 200, cache_write_1h_tokens=100))
    wrapper = outer(usage=TokenUsage(21, 3, 2_000, 300))

    assert leading_of([inner(usage=half), wrapper]) is wrapper
    assert merge([inner(usage=half), wrapper]).usage == TokenUsage(21, 3, 2_000, 200, cache_write_1h_tokens=100)


def test_what_no_span_knows_stays_unmetered() -> None:
    """Two halves are not added up: they may be of two attempts."""
    half = Unmetered("no count of output tokens", TokenUsage(21, 0))
    other_half = Unmetered("no count of input tokens", TokenUsage(0, 5))

    assert merge([outer(usage=other_half), inner(usage=half)]).usage == half


@pytest.mark.parametrize(
    ("theirs", "ours", "expected", "reason"),
    [
        (ANN, NOBODY, ANN, "a span made in a thread without baggage"),
        (NOBODY, ANN, ANN, "the same the other way"),
        (ANN, ANN, ANN, "both agree"),
        (ANN, Customer(external_customer_id="bob"), CONTRADICTION, "a person decides"),
        (ANN, REFUSED, REFUSED, "the innermost says that nobody pays"),
        (REFUSED, NOBODY, REFUSED, "a refusal is a word, nobody is none"),
        (
            Customer(external_customer_id="ann", member_id="seat"),
            ANN,
            Customer(external_customer_id="ann", member_id="seat"),
            "one customer, named more closely",
        ),
    ],
)
def test_who_pays_is_whoever_any_span_names(theirs: Any, ours: Any, expected: Any, reason: str) -> None:
    """The right customer, or nobody until a person decides."""
    assert merge([outer(customer=theirs), inner(customer=ours)]).customer == expected, reason


def test_tags_of_all_spans_come_together_and_those_of_the_innermost_win() -> None:
    """They were set for the same call."""
    merged = merge([outer(tags={"plan": "pro", "team": "a"}), inner(tags={"team": "b"})])

    assert merged.tags == {"plan": "pro", "team": "b"}


def test_a_total_adds_nothing_to_a_call_below_it_but_who_pays() -> None:
    """Its tokens are those of several calls."""
    total = outer(is_total=True, usage=tokens(2_914, 240), customer=ANN)
    part = inner(usage=tokens(1_457, 120), customer=NOBODY)

    merged = merge([part, total])
    assert (merged.usage, merged.customer, merged.is_total) == (tokens(1_457, 120), ANN, False)


def test_what_came_after_the_call_does_not_lead() -> None:
    """An answer fetched an hour later tells the same of it, from another place."""
    fetched = inner(start_time_unix_nano=BEGIN + 3_600_000 * MS, response_model="gpt-4o")

    assert merge([fetched, outer(response_model="gpt-4o-mini")]).response_model == "gpt-4o-mini"


def test_a_child_is_further_in_whatever_the_clocks_say() -> None:
    """A proxy's clock may be behind the client's, and its span has the real model."""
    client = outer(response_model="my-alias")
    for begin_ms in (-500, -3, 0, 500):
        begin = BEGIN + begin_ms * MS
        proxy = inner(response_model="gpt-4o", start_time_unix_nano=begin, end_time_unix_nano=begin + 90 * MS)
        proxy = proxy._replace(parent_span_id=client.span_id)

        assert merge([client, proxy]).response_model == "gpt-4o", begin_ms
