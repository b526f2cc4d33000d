"""Specifies which samplers lose money."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    AlwaysRecordSampler,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

from otel_polar import BillingSampler
from otel_polar.capture.sampling import install_sampler
from otel_polar.checkup.sampling import recorded_share, sampler_findings
from tests.checkup.support import told


class OurOwn(Sampler):
    def __init__(self, description: str) -> None:
        self._description = description

    def should_sample(self, *_args: object, **_options: object) -> SamplingResult:
        raise AssertionError("looking must not ask it: it may count")

    def get_description(self) -> str:
        return self._description


@pytest.mark.parametrize(
    ("sampler", "share", "level"),
    [
        (TraceIdRatioBased(0.01), 0.01, "problem"),
        (ParentBasedTraceIdRatio(0.5), 0.5, "problem"),
        (ALWAYS_OFF, 0.0, "problem"),
        (ALWAYS_ON, 1.0, "note"),
        (TraceIdRatioBased(1.0), 1.0, "note"),
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON), 1.0, "note"),
        (BillingSampler(TraceIdRatioBased(0.01)), 1.0, "well"),
        (OurOwn("ComposableTraceIDRatioBased{threshold=x, ratio=0.1}"), None, "warning"),
        (OurOwn("Rules{TraceIdRatioBased{0.1}}"), 0.1, "problem"),
        (OurOwn("JaegerRemoteSampler"), None, "warning"),
        (AlwaysRecordSampler(TraceIdRatioBased(0.1)), 1.0, "warning"),
    ],
)
def test_each_sampler_is_judged_by_what_it_drops(sampler: Sampler, share: float | None, level: str) -> None:
    """A span that is not sampled does not exist, and neither does its bill."""
    assert recorded_share(sampler) == share
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    assert told(sampler_findings(provider)) == {"sampling.sampler": level}


def test_the_share_that_is_lost_is_told_in_per_cent() -> None:
    """1 % sounds like little until it is said the other way round."""
    (finding,) = sampler_findings(TracerProvider(sampler=TraceIdRatioBased(0.01), shutdown_on_exit=False))

    assert "records 1 % of all traces" in finding.what
    assert "99 % of the model calls are not billed" in finding.what
    assert "PolarInstrumentor" in finding.do[0]


def test_the_default_lets_a_caller_switch_billing_off() -> None:
    """A traceparent header is enough."""
    assert told(sampler_findings(TracerProvider(sampler=DEFAULT_ON, shutdown_on_exit=False))) == {
        "sampling.parent": "warning"
    }


def test_a_tracer_that_has_the_old_sampler_is_told() -> None:
    """Tracers take a copy when they are made."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    tracer = provider.get_tracer("early")
    install_sampler(provider, "all")
    assert told(sampler_findings(provider)) == {"sampling.sampler": "well"}

    tracer.sampler = ALWAYS_OFF  # type: ignore[attr-defined]  # the SDK's

    assert told(sampler_findings(provider)) == {"sampling.tracers": "warning"}
