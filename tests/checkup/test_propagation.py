"""Specifies what is said about who pays, from one service to the next."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_polar.capture.propagator import PolarBaggagePropagator
from otel_polar.checkup.propagation import propagation_findings
from otel_polar.settings import Settings
from tests.checkup.support import told

TRACE = TraceContextTextMapPropagator()
OPEN = W3CBaggagePropagator()
GUARDED = PolarBaggagePropagator(hosts=())


@pytest.mark.parametrize(
    ("propagators", "options", "level"),
    [
        ([TRACE, GUARDED], {}, "well"),
        ([TRACE, OPEN], {}, "warning"),
        ([TRACE, OPEN], {"baggage_secret": "sixteen characters"}, "note"),
        ([TRACE], {}, "note"),
        ([TRACE, OPEN, GUARDED], {}, "warning"),
        ([CompositePropagator([TRACE, GUARDED])], {}, "well"),
    ],
)
def test_each_choice_of_propagators_is_judged(propagators: list[Any], options: dict[str, Any], level: str) -> None:
    """Baggage is a header: anybody may write it, and whoever is called reads it."""
    found = propagation_findings(Settings.load({}, **options), CompositePropagator(propagators))

    assert told(found) == {"propagation.baggage": level}
