"""What the tests of capture share: an application that bills, one finished model call, and what became of the calls."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Unpack

from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_polar import PolarSpanProcessor
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import LedgerRow
    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.options import Options

TOKEN: Final = "polar_oat_a_secret_of_the_tests"
UUID4: Final = "0b0f1c9e-5c1f-4d0a-9d7e-2f4b8c6a1e55"
OTHER_UUID4: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

HELD: Final = State.UNATTRIBUTED.value

CHAT: Final[Mapping[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
}
"""A finished chat call as an instrumentation describes it."""

FLUSH_MILLIS: Final = 20_000


class App:
    """A user's application: their own provider with their own exporter, and our processor beside it."""

    def __init__(
        self,
        *,
        span_limits: SpanLimits | None = None,
        sampler: Sampler | None = None,
        id_generator: IdGenerator | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            resource=Resource({"service.name": "chat-api"}),
            span_limits=span_limits,
            sampler=sampler,
            id_generator=id_generator,
            shutdown_on_exit=False,
        )
        self.processor = PolarSpanProcessor(**options)
        self.provider.add_span_processor(self.processor)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    @property
    def pipeline(self) -> Pipeline:
        assert self.processor.pipeline is not None
        return self.processor.pipeline

    @property
    def outbox(self) -> Outbox:
        return self.pipeline.outboxes[0]

    def call(self, attributes: Mapping[str, Any] | None = None, *, parent: Context | None = None) -> None:
        """One chat call from start to end, in the current context or in *parent*."""
        self.tracer.start_span("chat gpt-4o-mini", context=parent, attributes={**CHAT, **(attributes or {})}).end()

    def flush(self) -> bool:
        return self.processor.force_flush(FLUSH_MILLIS)

    def ledger(self) -> list[LedgerRow]:
        """Every call on disk after delivery, oldest first."""
        assert self.flush()
        return self.outbox.ledger()

    def bodies(self) -> list[dict[str, Any]]:
        """The events as they were sent."""
        return [json.loads(row.body) for row in self.ledger() if row.body is not None]

    def payers(self) -> list[str]:
        """Whom each call was billed to, by whichever id, or the state in which it is held."""
        return [_payer(row) for row in self.ledger()]

    def shutdown(self) -> None:
        self.provider.shutdown()


def _payer(row: LedgerRow) -> str:
    if row.body is None:
        return row.state.value
    body = json.loads(row.body)
    assert ("customer_id" in body) != ("external_customer_id" in body)
    return str(body.get("customer_id") or body.get("external_customer_id"))


@contextmanager
def inbound_baggage(members: Mapping[str, str]) -> Iterator[None]:
    """The context of a request that came with these members in its ``baggage`` header, or were set by somebody else."""
    current = context.get_current()
    for key, value in members.items():
        current = baggage.set_baggage(key, value, current)
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)


def another_service() -> Context:
    """The context of a service that the current one calls, with nothing but the ``baggage`` header between them."""
    headers: dict[str, str] = {}
    W3CBaggagePropagator().inject(headers)
    return W3CBaggagePropagator().extract(headers, context.Context())


def members() -> dict[str, object]:
    """The baggage of the current context."""
    return dict(baggage.get_all())
