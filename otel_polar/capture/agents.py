"""``Runs``: an event for each run of an agent or a workflow, so that Polar shows its calls below it.

Polar shows neither an event whose parent never comes nor what is below it, though it bills them (polarsource/polar,
server/polar/event/service.py). A run's span ends after its calls, or never. So its event is recorded before the first
of its calls, while the span is still open, and carries no duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import get_current_span

from otel_polar.billing.agents import read_run
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.span import attributes_of
from otel_polar.capture.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from otel_polar.billing.span import SpanRecord

MAX_ANCESTORS: Final = 100


class _Run(NamedTuple):
    customer: Customer
    external_id: str


class Runs:
    """The runs that are open. ``event_name`` is that of their events; *record* puts one on disk."""

    def __init__(self, event_name: str, record: Callable[[Measurement], None]) -> None:
        self._event_name = event_name
        self._record = record
        self._around: Starts[ReadableSpan] = Starts()
        self._runs: Starts[_Run] = Starts()

    def begin(self, span: Any, context: Context) -> None:
        """A span begins in *context*: remember what it lies in."""
        around = get_current_span(context)
        if isinstance(around, ReadableSpan):
            self._around.keep(span, around)

    def end(self, span: ReadableSpan) -> ReadableSpan | None:
        """A span has ended; what it lies in."""
        self._runs.take(span)
        return self._around.take(span)

    def event_around(
        self, around: ReadableSpan | None, call: SpanRecord, customer: Customer | Unattributed
    ) -> str | None:
        """The event of the innermost run around a call, recorded by now; ``None`` if it is in none of its customer."""
        if isinstance(customer, Unattributed):
            return None
        for _ in range(MAX_ANCESTORS):
            if around is None or around.end_time is not None:
                return None
            told = read_run(attributes_of(around))
            if told is not None:
                return self._event_of(around, told, call, customer)
            around = self._around.look(around)
        return None

    def _event_of(self, span: ReadableSpan, told: dict[str, Any], call: SpanRecord, customer: Customer) -> str | None:
        run = self._runs.look(span)
        if run is None:
            context, started_at = span.get_span_context(), span.start_time
            if context is None or started_at is None:
                return None
            measurement = Measurement(
                event_name=self._event_name,
                values=told,
                trace_id=f"{context.trace_id:032x}",
                span_id=f"{context.span_id:016x}",
                start_time_unix_nano=started_at,
                end_time_unix_nano=None,
                customer=customer,
                service_name=None,
                parent_event_id=self.event_around(self._around.look(span), call, customer),
            )
            self._record(measurement)
            run = _Run(customer, measurement.external_id)
            self._runs.keep(span, run)
        return run.external_id if run.customer == customer else None
