"""Specifies what is seen of an application: is it billed, once, and by whom."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import ProxyTracerProvider

import otel_polar
from otel_polar import PolarInstrumentor, PolarSpanExporter, PolarSpanProcessor
from otel_polar.checkup.application import provider_findings
from otel_polar.checkup.doctor import doctor
from otel_polar.checkup.finding import Level
from tests.capture.support import CHAT, TOKEN
from tests.checkup.support import told, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


class OurOwn(SpanProcessor):
    """A processor of the application's."""


class OTLPSpanExporter(SpanExporter):
    """Called like the real one."""


@pytest.fixture
def options(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, Any]:
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


def test_an_application_with_the_one_line_is_well(provider: TracerProvider, options: dict[str, Any]) -> None:
    """It is what the README shows."""
    PolarInstrumentor().instrument(tracer_provider=provider, **options)

    assert told(provider_findings(provider)) == {"application.processor": "well"}


@pytest.mark.parametrize("provider", [ProxyTracerProvider(), object(), None])
def test_no_provider_of_the_sdk_is_told(provider: object) -> None:
    """No span is ever made."""
    assert set(wrong(provider_findings(provider))) == {"application.provider"}


def test_a_provider_without_us_is_told_with_the_line_that_is_missing(provider: TracerProvider) -> None:
    """Traces arrive, and no bill does."""
    provider.add_span_processor(OurOwn())

    (finding,) = provider_findings(provider)

    assert (finding.check, finding.level) == ("application.processor", Level.PROBLEM)
    assert "OurOwn" in finding.what
    assert finding.do == ("PolarInstrumentor().instrument(tracer_provider=provider)",)


def test_two_of_us_are_told(provider: TracerProvider, options: dict[str, Any]) -> None:
    """With different options Polar may not know their events again."""
    for _ in range(2):
        provider.add_span_processor(PolarSpanProcessor(**options))

    assert "2 PolarSpanProcessors" in wrong(provider_findings(provider))["application.processor"]


def test_an_exporter_alone_is_told_to_be_the_second_choice(provider: TracerProvider, options: dict[str, Any]) -> None:
    """It comes late, and sees less."""
    provider.add_span_processor(BatchSpanProcessor(PolarSpanExporter(**options)))

    assert "a PolarSpanExporter bills" in wrong(provider_findings(provider))["application.processor"]


def test_a_processor_without_a_token_is_told(provider: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in place, and does nothing."""
    monkeypatch.delenv("POLAR_ACCESS_TOKEN", raising=False)
    provider.add_span_processor(PolarSpanProcessor())

    assert "application.token" in wrong(provider_findings(provider))


def test_a_disabled_provider_is_told(provider: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED was read when it was made."""
    monkeypatch.setattr(provider, "_disabled", True)

    assert "application.disabled" in wrong(provider_findings(provider))


def test_spans_that_start_in_other_threads_are_told(options: dict[str, Any]) -> None:
    """Who pays is not seen there."""
    provider = TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor(), shutdown_on_exit=False)
    provider.add_span_processor(PolarSpanProcessor(**options))

    assert "application.concurrent" in wrong(provider_findings(provider))
    provider.shutdown()


def test_what_stands_before_us_or_blocks_is_told(provider: TracerProvider, options: dict[str, Any]) -> None:
    """The one may swallow spans, the other is taken for our slowness."""
    provider.add_span_processor(OurOwn())
    provider.add_span_processor(PolarSpanProcessor(**options))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))

    found = told(provider_findings(provider))

    assert (found["application.order"], found["application.simple"]) == ("note", "warning")


@pytest.mark.parametrize(
    ("limits", "check"),
    [
        ({"max_span_attributes": 16}, "application.attribute_count"),
        ({"max_span_attribute_length": 12}, "application.attribute_length"),
        ({"max_attribute_length": 12}, "application.attribute_length"),
        ({"max_span_attributes": 128, "max_span_attribute_length": 1_000}, ""),
    ],
)
def test_limits_that_cut_off_who_pays_are_told(options: dict[str, Any], limits: dict[str, int], check: str) -> None:
    """The beginning of an id may be another customer's."""
    provider = TracerProvider(span_limits=SpanLimits(**limits), shutdown_on_exit=False)
    provider.add_span_processor(PolarSpanProcessor(**options))

    assert set(wrong(provider_findings(provider))) == {check} - {""}
    provider.shutdown()


@pytest.mark.parametrize(
    ("opt", "is_told"), [({}, True), ({"enable-threads": True}, False), ({"threads": b"4"}, False)]
)
def test_uwsgi_without_threads_is_told(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch, opt: dict[str, object], *, is_told: bool
) -> None:
    """The delivery thread is there, and never runs."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=opt))

    assert ("application.threads" in wrong(provider_findings(provider))) is is_told


def test_spans_that_were_not_billed_are_told_with_their_reason(
    provider: TracerProvider, options: dict[str, Any]
) -> None:
    """Why nothing was billed is known, once it has happened."""
    provider.add_span_processor(PolarSpanProcessor(**options, bill_scopes="other"))
    with provider.get_tracer("tests").start_as_current_span("chat", attributes=CHAT):
        pass

    (finding,) = (each for each in provider_findings(provider) if each.check == "application.not_billed")

    assert finding.what == "1 span not billed: the scope is not among bill_scopes"


def test_from_inside_everything_is_looked_at_by_the_settings_in_use(
    provider: TracerProvider, options: dict[str, Any], polar_sandbox: SandboxServer
) -> None:
    """They may be in code, and not in the environment."""
    PolarInstrumentor().instrument(tracer_provider=provider, **options)

    report = otel_polar.doctor(customer="user_42")

    found = told(report.findings)
    assert found["application.processor"] == found["sampling.sampler"] == found["polar.reach"] == "well"
    assert found["instrumentations.hooks"] == "well"
    assert found["customers.exists"] == "problem"
    assert not report.is_well
    assert "> otel-polar customers ensure user_42 --email ..." in str(report)
    assert TOKEN not in str(report)
    assert polar_sandbox.events() == []


def test_sections_that_do_not_exist_are_refused() -> None:
    """A check-up of nothing would look well."""
    with pytest.raises(ValueError, match="there is no section 'polars'"):
        doctor(sections=["polars"])
