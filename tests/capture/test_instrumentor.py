"""Specifies ``PolarInstrumentor``: processor, sampler and hooks by one line, and all of it taken back by another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI
from openai._base_client import SyncAPIClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_polar import BillingSampler, ConfigError, PolarInstrumentor, PolarSpanProcessor, bill_to
from otel_polar.capture.openai.estimate import count_by_bytes
from otel_polar.sandbox.openai_api import OpenAIServer
from tests.capture.openai.support import CHAT
from tests.capture.support import CHAT as SPAN
from tests.capture.support import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def options(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, Any]:
    """What a user of the local Polar passes."""
    return {"access_token": TOKEN, "base_url": polar_sandbox.url, "outbox_dir": tmp_path, "settle_s": 0, "linger_s": 0}


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture(autouse=True)
def uninstrumented() -> Iterator[None]:
    """There is one instrumentor for the process."""
    yield
    if PolarInstrumentor().is_active:
        PolarInstrumentor().uninstrument()


def test_one_line_bills_calls_that_nobody_instruments_and_nobody_samples(
    options: dict[str, Any], polar_sandbox: SandboxServer
) -> None:
    """The line of the README."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    PolarInstrumentor().instrument(tracer_provider=provider, **options)
    with (
        OpenAIServer() as vendor,
        OpenAI(base_url=vendor.base_url, api_key="sk-test") as client,
        bill_to("user_42", plan="pro"),
    ):
        create: Any = client.chat.completions.create
        create(**CHAT)
        list(create(**CHAT, stream=True))

    events = polar_sandbox.wait_for_events(2)
    assert [(event["external_customer_id"], event["metadata"]["total_tokens"]) for event in events] == [
        ("user_42", 14)
    ] * 2
    provider.shutdown()


def test_uninstrument_takes_all_of_it_back(options: dict[str, Any], provider: TracerProvider) -> None:
    """The application is as it was, and nothing is billed any more."""
    sampler, request = provider.sampler, SyncAPIClient.__dict__["request"]
    instrumentor = PolarInstrumentor()
    instrumentor.instrument(tracer_provider=provider, **options)
    assert isinstance(provider.sampler, BillingSampler)
    assert SyncAPIClient.__dict__["request"] is not request
    processor = instrumentor.processor
    assert processor is not None
    assert processor in provider._active_span_processor._span_processors
    instrumentor.uninstrument()

    assert not instrumentor.is_active
    assert (provider.sampler, SyncAPIClient.__dict__["request"]) == (sampler, request)
    assert provider._active_span_processor._span_processors == ()
    instrumentor.instrument(tracer_provider=provider, **options)
    assert instrumentor.is_active


def test_each_part_can_be_left_out(options: dict[str, Any], provider: TracerProvider) -> None:
    """Somebody may have a sampler that records, or want no hooks."""
    sampler, request = provider.sampler, SyncAPIClient.__dict__["request"]
    PolarInstrumentor().instrument(tracer_provider=provider, **options, record_unsampled="none", openai_hooks=False)

    assert (provider.sampler, SyncAPIClient.__dict__["request"]) == (sampler, request)
    assert PolarInstrumentor().is_active


def test_without_a_token_it_is_inert_and_says_so(
    provider: TracerProvider, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    """It comes with the package into processes that bill nobody; a token may come later."""
    request = SyncAPIClient.__dict__["request"]
    PolarInstrumentor().instrument(tracer_provider=provider)

    assert (PolarInstrumentor().is_active, PolarInstrumentor().processor) == (False, None)
    assert provider._active_span_processor._span_processors == ()
    assert SyncAPIClient.__dict__["request"] is request
    assert caplog.text.count("no access token") == 1
    PolarInstrumentor().instrument(tracer_provider=provider, **options)
    assert PolarInstrumentor().is_active


def test_a_provider_that_is_none_of_the_sdk_is_refused(options: dict[str, Any]) -> None:
    """Set too late, or not at all: nothing would ever be billed."""
    with pytest.raises(ConfigError, match="not a TracerProvider of opentelemetry-sdk: set the global one first"):
        PolarInstrumentor().instrument(tracer_provider=trace.NoOpTracerProvider(), **options)
    assert not PolarInstrumentor().is_active


@pytest.mark.parametrize("wrong", [{"settle_s": -1}, {"tracer_provider": trace.NoOpTracerProvider()}])
def test_called_by_opentelemetrys_command_an_error_is_logged(
    options: dict[str, Any], provider: TracerProvider, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Raising would keep all other libraries from being instrumented."""
    told = {"tracer_provider": provider, **options, **wrong}
    with pytest.raises(ConfigError):
        PolarInstrumentor().instrument(**told)
    PolarInstrumentor().instrument(**told, skip_dep_check=True)

    assert not PolarInstrumentor().is_active
    assert "NOBODY IS BILLED: " in caplog.text


def test_an_option_that_does_not_exist_is_refused(options: dict[str, Any], provider: TracerProvider) -> None:
    """A misspelled option must not be ignored; what OpenTelemetry hands to all instrumentors is no option."""
    with pytest.raises(TypeError, match="recrd_unsampled"):
        PolarInstrumentor().instrument(tracer_provider=provider, **options, recrd_unsampled="all")
    PolarInstrumentor().instrument(tracer_provider=provider, **options, meter_provider=None, logger_provider=None)
    assert PolarInstrumentor().is_active


def test_a_processor_that_is_there_already_bills_alone(
    options: dict[str, Any], provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """By code and by the command: once is enough."""
    mine = PolarSpanProcessor(**options)
    provider.add_span_processor(mine)
    PolarInstrumentor().instrument(tracer_provider=provider, **options)

    assert provider._active_span_processor._span_processors == (mine,)
    assert PolarInstrumentor().processor is None
    assert "has a PolarSpanProcessor already" in caplog.text
    PolarInstrumentor().uninstrument()
    assert provider._active_span_processor._span_processors == (mine,)


def test_a_provider_that_starts_spans_elsewhere_is_said(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its threads do not know who pays."""
    active = ConcurrentMultiSpanProcessor()
    provider = TracerProvider(active_span_processor=active, shutdown_on_exit=False)
    PolarInstrumentor().instrument(tracer_provider=provider, **options)
    PolarInstrumentor().uninstrument()

    assert "ConcurrentMultiSpanProcessor" in caplog.text
    active.shutdown()


def test_there_is_one_for_the_process(options: dict[str, Any], provider: TracerProvider) -> None:
    """As of every instrumentor."""
    assert PolarInstrumentor() is PolarInstrumentor()
    assert PolarInstrumentor().instrumentation_dependencies() == ()
    PolarInstrumentor().instrument(tracer_provider=provider, **options)
    first = PolarInstrumentor().processor
    PolarInstrumentor().instrument(tracer_provider=provider, **options)
    PolarInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)

    assert PolarInstrumentor().processor is first
    provider.get_tracer("tests").start_span("chat", attributes=SPAN).end()
    assert first is not None
    assert first.force_flush()
    assert first.pipeline is not None
    assert len(first.pipeline.outboxes[0].ledger()) == 1


def test_the_hooks_know_the_estimate(options: dict[str, Any], provider: TracerProvider) -> None:
    """An option that is read and not handed on would be ignored."""
    PolarInstrumentor().instrument(tracer_provider=provider, **options, estimate_tokens="bytes")
    installed = PolarInstrumentor()._hooks
    assert installed is not None
    assert installed._planner._estimate_tokens is count_by_bytes
