"""Specifies ``BillingSampler``: what is not sampled is billed, and exporters see exactly what they saw before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_polar import BillingSampler, bill_to
from otel_polar.capture.sampling import (
    START_MARKERS,
    billing_sampler,
    install_sampler,
    remove_sampler,
    warn_of_invisible_spans,
)
from otel_polar.errors import ConfigError
from tests.capture.support import CHAT, inbound_baggage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from tests.capture.conftest import MakeApp

CALLS: Final = 100
UNSAMPLED: Final = TraceContextTextMapPropagator().extract(
    {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}
)


@pytest.mark.parametrize("record", ["all", "genai"])
@pytest.mark.parametrize(
    ("sampler", "parent"),
    [(TraceIdRatioBased(0.0), None), (ParentBased(ALWAYS_OFF), None), (DEFAULT_ON, UNSAMPLED)],
    ids=["ratio 0", "parent-based", "a caller's traceparent"],
)
def test_what_is_not_sampled_is_billed_and_not_exported(
    make_app: MakeApp, sampler: Sampler, parent: Context | None, record: Any
) -> None:
    """100 of 100 calls billed, 0 of 100 exported, by either of the SDK's processors."""
    app = make_app(sampler=sampler)
    batched = InMemorySpanExporter()
    app.provider.add_span_processor(BatchSpanProcessor(batched))
    install_sampler(app.provider, record)
    with bill_to("user_42"):
        for _ in range(CALLS):
            app.call(parent=parent and set_span_in_context(trace.get_current_span(parent), context.get_current()))
    app.provider.force_flush()

    assert app.payers() == ["user_42"] * CALLS
    assert (app.exporter.get_finished_spans(), batched.get_finished_spans()) == ((), ())


def test_what_a_span_starts_with_is_on_it(make_app: MakeApp) -> None:
    """The SDK's root samplers throw the attributes of what they drop away."""
    app = make_app(sampler=BillingSampler(ALWAYS_OFF))
    with app.tracer.start_as_current_span("chat", attributes=CHAT) as span:
        assert dict(span.attributes or {}) == CHAT  # type: ignore[attr-defined] # it is recording
        assert not span.get_span_context().trace_flags.sampled


@pytest.mark.parametrize(
    "sampler", [ALWAYS_ON, ALWAYS_OFF, DEFAULT_ON, TraceIdRatioBased(0.5), ParentBasedTraceIdRatio(0.3)]
)
def test_exporters_see_exactly_the_spans_they_saw_before(sampler: Sampler) -> None:
    """In traces of several spans, with parents here and elsewhere, sampled and not."""
    for number in range(50):
        assert _exported(sampler, number) == _exported(BillingSampler(sampler), number)


def _exported(sampler: Sampler, number: int) -> list[tuple[str, int, Mapping[str, Any]]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    trace_id = ((number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << 128)
    for flags in (TraceFlags.DEFAULT, TraceFlags.SAMPLED):
        remote = NonRecordingSpan(SpanContext(trace_id, 1, is_remote=True, trace_flags=TraceFlags(flags)))
        with (
            tracer.start_as_current_span("outer", context=set_span_in_context(remote), attributes={"a": 1}),
            tracer.start_as_current_span("inner", attributes=CHAT),
        ):
            pass
    return [
        (span.name, span.context.trace_flags, dict(span.attributes or {}))
        for span in exporter.get_finished_spans()
        if span.context is not None
    ]


@pytest.mark.parametrize("name", sorted(START_MARKERS))
def test_a_span_that_starts_as_a_model_call_is_recorded_where_others_are_not(name: str) -> None:
    """Each emitter has an attribute of its own."""
    assert _decision(BillingSampler(ALWAYS_OFF, record="genai"), {name: "x"}) is Decision.RECORD_ONLY


@pytest.mark.parametrize("attributes", [None, {}, {"http.request.method": "GET"}])
def test_other_spans_are_recorded_only_if_all_are(attributes: dict[str, str] | None) -> None:
    """A cheaper way, for who knows that their emitters say at once what a span is."""
    assert _decision(BillingSampler(ALWAYS_OFF, record="genai"), attributes) is Decision.DROP
    assert _decision(BillingSampler(ALWAYS_OFF), attributes) is Decision.RECORD_ONLY


def test_a_request_that_may_carry_who_pays_is_recorded() -> None:
    """The guarded propagator reads on it which host it goes to."""
    sampler = BillingSampler(ALWAYS_OFF, record="genai")
    with inbound_baggage({"userId": "alice"}):
        assert _decision(sampler, {"url.full": "x"}, SpanKind.CLIENT) is Decision.RECORD_ONLY
        assert _decision(sampler, {"url.full": "x"}, SpanKind.SERVER) is Decision.DROP
    assert _decision(sampler, {"url.full": "x"}, SpanKind.CLIENT) is Decision.DROP


def _decision(sampler: Sampler, attributes: dict[str, str] | None, kind: SpanKind = SpanKind.INTERNAL) -> Decision:
    return sampler.should_sample(None, 1, "name", kind, attributes).decision


def test_what_the_root_decides_otherwise_stays() -> None:
    """Its attributes and its trace state are its own."""

    class Root(Sampler):
        def should_sample(self, *_args: Any, **_options: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"sampled.by": "root"})

        def get_description(self) -> str:
            return "Root"

    result = BillingSampler(Root()).should_sample(None, 1, "name", attributes={"a": 1})

    assert dict(result.attributes) == {"sampled.by": "root"}
    assert BillingSampler(Root()).get_description() == "BillingSampler{Root}"


def test_it_is_put_on_tracers_that_exist_already_and_taken_off_again() -> None:
    """Instrumentations take their tracers when they are installed, which may be before."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    early = provider.get_tracer("early")
    install_sampler(provider, "all")
    install_sampler(provider, "all")
    late = provider.get_tracer("late")

    assert [tracer.start_span("x").is_recording() for tracer in (early, late)] == [True, True]
    remove_sampler(provider)
    assert [tracer.start_span("x").is_recording() for tracer in (early, late)] == [False, False]
    assert provider.sampler is ALWAYS_OFF


def test_a_provider_that_hides_its_tracers_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Those of opentelemetry-sdk before 1.40 are out of reach."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    tracers = provider._tracers
    del provider._tracers
    install_sampler(provider, "all")
    provider._tracers = tracers

    assert provider.get_tracer("late").start_span("x").is_recording()
    assert "spans of those made before now are billed only if they are sampled" in caplog.text


def test_what_stays_invisible_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """No processor hears of a disabled SDK or scope."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    warn_of_invisible_spans(TracerProvider(shutdown_on_exit=False))
    assert "OTEL_SDK_DISABLED is set: there are no spans" in caplog.text
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    caplog.clear()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.get_tracer("on")
    warn_of_invisible_spans(provider)
    assert caplog.text == ""
    provider.get_tracer("off")._set_tracer_config(type(provider.get_tracer("on")._tracer_config)(is_enabled=False))  # type: ignore[attr-defined] # the SDK's
    warn_of_invisible_spans(provider)
    assert "spans of the scope off are disabled" in caplog.text
    assert "scope on" not in caplog.text


@pytest.mark.parametrize(
    ("argument", "description"),
    [
        (None, "ParentBased{root:AlwaysOnSampler"),
        ("", "ParentBased{root:AlwaysOnSampler"),
        ("always_off", "AlwaysOffSampler"),
        (" Always_On ", "AlwaysOnSampler"),
        ("parentbased_always_off", "ParentBased{root:AlwaysOffSampler"),
        ("traceidratio:0.25", "TraceIdRatioBased{0.25}"),
        ("traceidratio", "TraceIdRatioBased{1.0}"),
        ("parentbased_traceidratio:0.1", "ParentBased{root:TraceIdRatioBased{0.1}"),
    ],
)
def test_the_environment_names_the_root(argument: str | None, description: str) -> None:
    """In the words of OTEL_TRACES_SAMPLER."""
    assert billing_sampler(argument).get_description().startswith(f"BillingSampler{{{description}")


@pytest.mark.parametrize("argument", ["jaeger_remote", "traceidratio:2", "traceidratio:x", "always_on:1"])
def test_a_root_that_does_not_exist_is_refused(argument: str) -> None:
    """With what there is."""
    with pytest.raises(ConfigError, match=r"OTEL_TRACES_SAMPLER_ARG is .*parentbased_always_on"):
        billing_sampler(argument)
