"""Specifies ``PolarSpanExporter``: for pipelines built by hand, by what stands on the spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from otel_polar import PolarSpanExporter, SpanRule, bill_to
from otel_polar.billing.span import read_span
from otel_polar.capture import exporter as exporter_module
from otel_polar.delivery.disk.rows import State
from tests.capture.support import CHAT, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_polar.sandbox import SandboxServer


class Stamp(SpanProcessor):
    """What opentelemetry-processor-baggage does."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for key, value in baggage.get_all(parent_context).items():
            span.set_attribute(key, str(value))


@pytest.fixture
def options(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, Any]:
    return {"access_token": TOKEN, "base_url": polar_sandbox.url, "outbox_dir": tmp_path, "settle_s": 0, "linger_s": 0}


def test_calls_are_billed_by_what_was_stamped_on_their_spans(
    options: dict[str, Any], polar_sandbox: SandboxServer
) -> None:
    """In the thread of a batch processor there is no context any more."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Stamp())
    provider.add_span_processor(BatchSpanProcessor(PolarSpanExporter(**options, tags="plan")))
    tracer = provider.get_tracer("tests")
    with bill_to("alice", plan="pro"):
        tracer.start_span("chat", attributes=CHAT).end()
        tracer.start_span("GET /").end()
    tracer.start_span("chat", attributes={**CHAT, "userId": "bob"}).end()
    assert provider.force_flush()

    events = polar_sandbox.wait_for_events(2)
    told = sorted((event["external_customer_id"], event["metadata"].get("plan")) for event in events)
    assert told == [("alice", "pro"), ("bob", None)]
    provider.shutdown()


def test_a_call_without_a_stamp_is_held(options: dict[str, Any]) -> None:
    """What baggage said is not seen by an exporter."""
    exporter = PolarSpanExporter(**options)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with bill_to("alice"):
        provider.get_tracer("tests").start_span("chat", attributes=CHAT).end()
    provider.force_flush()

    assert exporter.force_flush()
    assert exporter.pipeline is not None
    assert exporter.pipeline.outboxes[0].counts() == {State.UNATTRIBUTED: 1}
    provider.shutdown()


def test_a_span_that_cannot_be_read_costs_no_other(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And no exception reaches the batch processor."""
    exporter = PolarSpanExporter(**options)
    provider = TracerProvider(shutdown_on_exit=False)
    spans = [provider.get_tracer("tests").start_span("chat", attributes=CHAT) for _ in range(3)]
    for span in spans:
        span.end()
    read = read_span

    def read_but_one(span: Any, **fields: Any) -> Any:
        if span is spans[1]:
            raise ZeroDivisionError
        return read(span, **fields)

    monkeypatch.setattr(exporter_module, "read_span", read_but_one)

    assert exporter.export(spans) is SpanExportResult.SUCCESS  # type: ignore[arg-type] # of the SDK
    assert exporter.pipeline is not None
    assert exporter.pipeline.counts["recorded"] == 2
    assert "ZeroDivisionError" in caplog.text
    exporter.shutdown()


def test_without_a_token_it_does_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """As the processor."""
    exporter = PolarSpanExporter()

    assert exporter.export([]) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()
    assert exporter.pipeline is None
    assert "no access token" in caplog.text


def test_usage_that_is_no_call_to_a_model_is_billed_and_what_cannot_be_is_said(
    options: dict[str, Any], polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An option that is read and ignored would bill nothing without a word."""
    rule = SpanRule(event_name="report", span_name="render *")
    exporter = PolarSpanExporter(**options, span_rules=rule, agent_event_name="agent_run")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for name, attributes in (("render x", {}), ("up", {"otel_polar.event.name": "upload"}), ("GET /", {})):
        provider.get_tracer("tests").start_span(name, attributes={"userId": "alice", **attributes}).end()
    provider.force_flush()

    events = polar_sandbox.wait_for_events(2)
    assert sorted(event["name"] for event in events) == ["report", "upload"]
    assert "agent_event_name (OTEL_POLAR_AGENT_EVENT_NAME) needs a processor" in caplog.text
    provider.shutdown()
