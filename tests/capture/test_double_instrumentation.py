"""One call that two instrumentations tell of, with the real SDK, from the span to Polar."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace

from otel_polar import bill_to
from otel_polar.delivery.disk.rows import State
from tests.capture.support import CHAT

if TYPE_CHECKING:
    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

CLIENT = "opentelemetry.instrumentation.genai.openai"
FRAMEWORK = "openinference.instrumentation.langchain"
AGENTS = "agent_framework"
OPENINFERENCE: dict[str, str | int] = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o-mini-2024-07-18",
    "llm.token_count.prompt": 10,
    "llm.token_count.completion": 5,
}


def call_through_two_layers(app: App, *, own_traces: bool) -> None:
    """A framework's span around a client's, as LangChain's callbacks and a wrapped client make them."""
    framework, client = app.provider.get_tracer(FRAMEWORK), app.provider.get_tracer(CLIENT)
    around = framework.start_span("ChatOpenAI", attributes=OPENINFERENCE)
    parent = context.get_current() if own_traces else trace.set_span_in_context(around)
    client.start_span("chat gpt-4o-mini", context=parent, attributes=CHAT).end()
    around.end()


@pytest.mark.parametrize("own_traces", [True, False])
def test_a_call_through_a_framework_is_one_event(app: App, *, own_traces: bool) -> None:
    """They often share neither a trace nor a response id."""
    with bill_to("user_42"):
        for _ in range(3):
            call_through_two_layers(app, own_traces=own_traces)

    assert app.payers().count("user_42") == 3
    assert [row.state for row in app.ledger()].count(State.DUPLICATE) == 3
    assert {body["metadata"]["total_tokens"] for body in app.bodies()} == {15}


def test_an_agent_and_its_calls_are_the_calls(app: App) -> None:
    """Agent Framework beside an instrumented client: three spans with tokens for one call."""
    agents = app.provider.get_tracer(AGENTS)
    sum_of_run: dict[str, Any] = {**CHAT, "gen_ai.operation.name": "invoke_agent"}
    with (
        bill_to("user_42"),
        agents.start_as_current_span("invoke_agent A", attributes=sum_of_run),
        agents.start_as_current_span("chat gpt-4o-mini", attributes=CHAT),
    ):
        app.provider.get_tracer(CLIENT).start_span("chat gpt-4o-mini", attributes=CHAT).end()

    assert len(app.bodies()) == 1


def test_only_the_named_scopes_bill(make_app: MakeApp) -> None:
    """A user who knows better than the rule names the layer."""
    app = make_app(bill_scopes="opentelemetry.instrumentation.*")
    with bill_to("user_42"):
        call_through_two_layers(app, own_traces=True)

    assert len(app.ledger()) == 1
    assert app.pipeline.counts["not billed: the scope is not among bill_scopes"] == 1


def test_two_instrumentations_are_said_once(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With the switch that ends it."""
    with caplog.at_level(logging.WARNING, "otel_polar"), bill_to("user_42"):
        for _ in range(3):
            call_through_two_layers(app, own_traces=True)
        app.flush()

    (warning,) = [record.getMessage() for record in caplog.records if "TWO INSTRUMENTATIONS" in record.getMessage()]
    assert f"OTEL_POLAR_BILL_SCOPES={CLIENT}" in warning


def test_openinference_alone_is_billed(app: App) -> None:
    """It writes no gen_ai attribute at all."""
    with bill_to("user_42"):
        app.provider.get_tracer(FRAMEWORK).start_span("ChatOpenAI", attributes=OPENINFERENCE).end()

    (body,) = app.bodies()
    assert body["metadata"]["model"] == "gpt-4o-mini-2024-07-18"
    assert body["metadata"]["input_tokens"] == 10
