"""Every hazard of billing twice, as real spans: shuffled, and split over several requests of a Collector.

The spans are those of ``tests/corpus``, put into OTLP/JSON, read as the service reads them, recorded at different
moments and decided by the delivery thread's own rules. What comes out is compared with what the provider answered.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer
from otel_polar.billing.pricing import Price
from otel_polar.billing.reading import read_call
from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.record import dump_call
from otel_polar.delivery.notices import Notices
from otel_polar.service.otlp import read_json
from tests.billing.test_corpus import TRUTH, WRONG_ON_THE_SPAN, lines
from tests.delivery.support import NOON, Clock, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLE_S = 2.0
USER = Customer(external_customer_id="user_42")
HAZARDS = {
    "scenario-agent-framework-native": "an agent's total beside its calls",
    "scenario-strands-native": "totals over the life of an agent",
    "scenario-vercel-ai7": "the sum of several steps",
    "scenario-langsmith-otel": "chains that carry the tokens of retries and fallbacks",
    "openinference-smolagents": "agents that carry tokens",
    "traceloop-agno": "an agent's total without any call",
    "pydantic-ai": "aggregated usage",
    "scenario-genai-anthropic+native": "Anthropic's SDK beside an instrumentation",
    "scenario-tl-anthropic+native": "the same, in other traces",
    "scenario-oi-langchain+oi-openai": "a framework and the client, without any id",
    "scenario-oi-langchain+genai-openai": "the same across families",
    "scenario-tl-langchain+genai-openai": "the same, and streams",
    "scenario-tl-langchain+tl-openai": "the Responses API within one family",
    "scenario-genai12-langchain+genai12-openai": "the official family before it suppressed",
    "scenario-agent-framework-native+genai-openai": "three spans for one call",
    "scenario-semantic-kernel-native+genai-openai": "a framework and the client",
    "scenario-strands-native+genai-openai": "the same",
    "scenario-oi-openai-agents+oi-openai": "the same",
    "scenario-tl-openai-agents+tl-openai": "the same",
    "scenario-litellm-otel-callback+genai-openai": "a gateway and the client",
    "scenario-litellm-proxy+client": "two services",
    "scenario-oi-litellm": "retries, and fallbacks in a span in a span",
    "scenario-tl-openai": "fetching an answer again",
    "scenario-logfire": "tokens on a second span",
    "traceloop-ollama": "wrappers around wrappers",
    "scenario-official-nested-suppression": "calls that were swallowed",
}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox-1.db")
    yield outbox
    outbox.close()


@pytest.mark.parametrize("emitter", HAZARDS)
def test_spans_in_any_order_and_any_request_are_billed_as_the_provider_counts(emitter: str, tmp_path: Path) -> None:
    """Nothing is certain of the order in which a fleet's spans come, but that one call is one event."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for span in lines(emitter):
        runs.setdefault(span["test"], []).append(span)
    for number, (test, spans) in enumerate(runs.items()):
        if (emitter, test) not in TRUTH or emitter in WRONG_ON_THE_SPAN:
            continue
        order = random.Random(test)
        outbox = Outbox(tmp_path / f"outbox-{number}.db")
        deliver(outbox, split(spans, order))
        in_parts = billed(outbox)
        outbox.close()

        other = Outbox(tmp_path / f"other-{number}.db")
        deliver(other, [spans])
        assert in_parts == billed(other), test
        other.close()
        assert all(in_parts[key] <= TRUTH[emitter, test]["billable"].get(key, 0) for key in in_parts), test


def test_a_request_that_is_delivered_again_changes_nothing(outbox: Outbox) -> None:
    """A Collector repeats what was not acknowledged in time, also in other parts and after everything was sent."""
    spans = lines("scenario-oi-langchain+oi-openai")
    spans = [span for span in spans if span["test"] == spans[0]["test"]]
    deliver(outbox, [spans])
    before = billed(outbox)

    for seed in range(3):
        deliver(outbox, split(spans, random.Random(seed)), now=NOON + 3_600 * (seed + 1))

    assert billed(outbox) == before


def split(spans: list[dict[str, Any]], order: random.Random) -> list[list[dict[str, Any]]]:
    """Up to four requests with these spans, in any order."""
    shuffled = order.sample(spans, len(spans))
    cuts = sorted(order.choices(range(len(spans) + 1), k=3))
    return [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(spans)], strict=True)]


def deliver(outbox: Outbox, requests: list[list[dict[str, Any]]], *, now: float = NOON) -> None:
    """Record the requests half a second apart, and decide after each of them what has rested, and at last all."""
    intake = Intake(
        outbox,
        settings=settings(),
        price=lambda _: Price(Decimal("1e-12"), "test"),
        notices=Notices(),
        counts=Counter(),
    )
    clock = Clock(now)
    for request in requests:
        for span in read_json(json.dumps(otlp(request))).spans:
            call = read_call(span, USER)
            if isinstance(call, ModelCall):
                outbox.record(dump_call(call), clock())
        clock.now += 0.5
        intake.decide(settle_s=SETTLE_S, clock=clock)
    clock.now += SETTLE_S
    while intake.decide(settle_s=SETTLE_S, clock=clock) == 0.0:
        pass


def billed(outbox: Outbox) -> dict[str, int]:
    """The totals of all events, in the words of the truth."""
    bodies = [json.loads(row.body)["metadata"] for row in outbox.ledger() if row.body is not None]
    return {
        "input_total": sum(body["input_tokens"] for body in bodies),
        "output_total": sum(body["output_tokens"] for body in bodies),
    }


def otlp(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """Spans of the corpus as an OTLP/JSON request, each with its resource and scope."""
    return {"resourceSpans": [_resource_span(span) for span in spans]}


def _resource_span(span: dict[str, Any]) -> dict[str, Any]:
    resource = {**span["resource"], "service.instance.id": span.get("service", "app")}
    return {
        "resource": {"attributes": _attributes(resource)},
        "scopeSpans": [
            {
                "scope": {"name": span["scope"]},
                "spans": [
                    {
                        "traceId": span["trace_id"],
                        "spanId": span["span_id"],
                        "parentSpanId": span["parent_span_id"] or "",
                        "name": span["name"],
                        "startTimeUnixNano": str(span["start_ns"]),
                        "endTimeUnixNano": str(span["end_ns"]),
                        "attributes": _attributes(span["attributes"]),
                        "droppedAttributesCount": span["dropped_attributes"],
                        "status": {"code": 2 if span["status"] == "ERROR" else 0},
                    },
                ],
            },
        ],
    }


def _attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {} if value is None else {"stringValue": str(value)}
