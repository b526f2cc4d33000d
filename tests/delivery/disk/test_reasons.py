"""Specifies the fixed words that held and rejected calls are counted by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from otel_polar.billing.call import NotBilled
from otel_polar.billing.catalog.catalog import Catalog
from otel_polar.billing.customer import NOBODY
from otel_polar.billing.merging import CONTRADICTION
from otel_polar.billing.pricing import Unpriced, price_call
from otel_polar.billing.reading import read_call
from otel_polar.billing.usage import TokenUsage, Unmetered
from otel_polar.capture.identity import REFUSALS
from otel_polar.delivery.disk.reasons import OTHER, fixed_reason
from otel_polar.delivery.disk.rows import State
from tests.delivery.support import a_call
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

CATALOG = Catalog()


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (State.UNATTRIBUTED, NOBODY.reason, "no customer"),
        (State.UNATTRIBUTED, CONTRADICTION.reason, "two customers"),
        (State.UNATTRIBUTED, "bill_to(None): the application says that nobody pays", "bill_to(None)"),
        (State.UNATTRIBUTED, "userId: an id must not contain ';'", "invalid id"),
        *((State.UNATTRIBUTED, refusal.reason, "identity refused") for refusal in sorted(REFUSALS, key=str)),
        (State.UNMETERED, "the metered block failed", "call failed"),
        (State.UNMETERED, "alice_pages is missing", "number missing"),
        (State.UNMETERED, "alice_pages is negative", "impossible number"),
        (State.UNMETERED, "token counts may have been dropped: raise OTEL_SPAN_…", "attributes dropped"),
        (State.UNPRICED, "price resolver f raised ValueError in f, x.py:1", "price function failed"),
        (State.UNPRICED, "the cost reported by 'openrouter' cannot be used: …", "reported cost"),
        (State.UNPRICED, "card.toml has openai/gpt, but not at 'flex'", "service tier"),
        (State.UNPRICED, "the call went to llm.internal, which is self-hosted: …", "self-hosted"),
        (State.UNPRICED, "a sentence of the user's own function about alice", OTHER),
        (State.UNBUILDABLE, "unreadable record: ValueError", "unreadable record"),
        (State.UNBUILDABLE, "map_metadata raised KeyError in f, x.py:1: 'alice'", "map_metadata"),
        (State.UNBUILDABLE, None, OTHER),
        (State.REJECTED, "customer_id: Customer does not exist.", "customer_id"),
        (State.REJECTED, "external_customer_id: Field required", "external_customer_id"),
        (State.REJECTED, "metadata.alice: too long", "metadata"),
        (State.REJECTED, "Polar says the event alone is too large", "too large"),
        (State.REJECTED, "the stored event is damaged: it is not JSON any more", "damaged"),
        (State.REJECTED, "alice: unknown", OTHER),
        (State.SENT, "whatever", OTHER),
    ],
)
def test_each_reason_has_its_word(state: State, reason: str | None, word: str) -> None:
    """Those of ours are worth telling apart; what holds others' words is not repeated."""
    assert fixed_reason(state, reason) == word


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (a_call(provider=None), "unknown provider"),
        (a_call(provider="acme"), "unknown provider"),
        (a_call(request_model="gpt-9000", response_model=None), "unknown model"),
        (a_call(request_model="gpt-4o-mini-2099-01-01", response_model="gpt-4o-mini-2099-01-01"), "approximate model"),
        (a_call(service_tier="acme"), "service tier"),
        (a_call(usage=TokenUsage(10, 10, audio_input_tokens=10)), "no price of a part"),
        (a_call(provider="perplexity", request_model="sonar", response_model=None), "doubtful price"),
    ],
)
def test_what_the_catalogue_says_has_its_word(call: ModelCall, word: str) -> None:
    """If its sentences change, so must the table."""
    answer = price_call(call, [CATALOG])

    assert isinstance(answer, Unpriced)
    assert fixed_reason(State.UNPRICED, answer.reason) == word


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}, "no token counts"),
        ({"gen_ai.usage.input_tokens": None}, "no input tokens"),
        ({"gen_ai.usage.output_tokens": None}, "no output tokens"),
        ({"gen_ai.usage.cache_read.input_tokens": 5_000}, "impossible token counts"),
    ],
)
def test_what_is_wrong_with_token_counts_has_its_word(attributes: dict[str, int | None], word: str) -> None:
    """The same for the reader of spans."""
    span = a_span()
    told = {key: value for key, value in {**span.attributes, **attributes}.items() if value is not None}
    call = read_call(replace(span, attributes=told), ALICE)

    assert not isinstance(call, NotBilled)
    assert isinstance(call.usage, Unmetered)
    assert fixed_reason(State.UNMETERED, call.usage.reason) == word


def test_a_failed_call_has_its_word() -> None:
    """It is no fault of the instrumentation."""
    span = a_span()
    told = {key: value for key, value in span.attributes.items() if "tokens" not in key}
    call = read_call(replace(span, attributes=told, failed=True), ALICE)

    assert not isinstance(call, NotBilled)
    assert isinstance(call.usage, Unmetered)
    assert fixed_reason(State.UNMETERED, call.usage.reason) == "call failed"
