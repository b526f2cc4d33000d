"""An application in front of a Collector: real spans of calls to a model, sent by OpenTelemetry's own exporters.

Who pays stands on each span, as a processor that copies baggage to attributes would stamp it there. What the Collector
has not acknowledged is sent again, as it is: the same spans with the same ids.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.servers.child import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.collector.collector import Collector

Kind = Literal["with a strong id", "without an id", "told twice"]
Protocol = Literal["grpc", "http"]

KINDS: Final[tuple[Kind, ...]] = ("with a strong id", "without an id", "told twice")

_ACKNOWLEDGED_S: Final = 60.0
_ATTEMPT_S: Final = 2.0
_MODEL: Final = "gpt-4o-mini-2024-07-18"
_INPUT_NANOS: Final = 150
"""For a token: 0.15 dollars for a million of them."""

_OUTPUT_NANOS: Final = 600


@dataclass(frozen=True, slots=True)
class Call:
    """What an application knows of a call."""

    key: str
    customer: str
    input_tokens: int
    output_tokens: int

    @property
    def cost_nanos(self) -> int:
        """In billionths of a dollar."""
        return self.input_tokens * _INPUT_NANOS + self.output_tokens * _OUTPUT_NANOS


class Application:
    """Makes calls, and hands their spans to a Collector until it has acknowledged them."""

    def __init__(self, collector: Collector, random: Random, protocol: Protocol = "grpc") -> None:
        self._random = random
        self._finished = InMemorySpanExporter()
        self._exporter = _exporter_to(collector, protocol)
        self._provider = TracerProvider(resource=Resource({"service.name": "chat-api"}), shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._finished))
        self.calls: dict[str, Call] = {}
        """All of them, by key."""

    def call(self, kind: Kind | None = None, attributes: Mapping[str, str] | None = None) -> None:
        """A call of this kind, or of any; it ends at once."""
        kind = kind or self._random.choice(KINDS)
        number = len(self.calls)
        call = Call(
            f"call-{number}",
            f"user_{self._random.randint(1, 9)}",
            self._random.randint(1, 4_000),
            self._random.randint(1, 900),
        )
        self.calls[call.key] = call
        on_span: dict[str, Any] = {"user.id": call.customer, "call": call.key, **(attributes or {})}
        inner = {**on_span, **_in_genai(call)}
        if kind == "with a strong id":
            inner["gen_ai.response.id"] = f"chatcmpl-{self._random.getrandbits(128):032x}"
        client = self._provider.get_tracer("opentelemetry.instrumentation.genai.openai")
        if kind == "told twice":
            wrapper = self._provider.get_tracer("openinference.instrumentation.openai")
            # The first span is around the second and does not contain it, as two wrappers of a client have it: what
            # they share is the span of the request.
            with self._provider.get_tracer("chat-api").start_as_current_span("POST /chat"):
                outer_span = wrapper.start_span("ChatCompletion", attributes={**on_span, **_in_openinference(call)})
                client.start_span("chat gpt-4o-mini", attributes=inner).end()
                outer_span.end()
        else:
            client.start_span("chat gpt-4o-mini", attributes=inner).end()

    def deliver_calls(self, count: int, kind: Kind | None = None, attributes: Mapping[str, str] | None = None) -> None:
        """So many calls, sent until they are acknowledged."""
        for _ in range(count):
            self.call(kind, attributes)
        self.deliver()

    def deliver(self) -> None:
        """Send what has ended, until it is acknowledged.

        Raises:
            AssertionError: if it is not within a minute.
        """
        spans = self._finished.get_finished_spans()
        self._finished.clear()
        # A batch ends anywhere, also between two spans that tell of one call.
        middle = self._random.randint(0, len(spans))
        for batch in (spans[:middle], spans[middle:]):
            deadline = time.monotonic() + _ACKNOWLEDGED_S
            while batch and not self._is_acknowledged(batch):
                assert time.monotonic() < deadline, f"{len(batch)} spans are not acknowledged"
                time.sleep(0.05)

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()

    def _is_acknowledged(self, spans: tuple[ReadableSpan, ...]) -> bool:
        return self._exporter.export(spans) is SpanExportResult.SUCCESS


def _exporter_to(collector: Collector, protocol: Protocol) -> SpanExporter:
    if protocol == "grpc":
        return GrpcExporter(endpoint=f"{HOST}:{collector.grpc_port}", insecure=True, timeout=_ATTEMPT_S)
    return HttpExporter(endpoint=f"http://{HOST}:{collector.http_port}/v1/traces", timeout=_ATTEMPT_S)


def _in_genai(call: Call) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": _MODEL,
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
    }


def _in_openinference(call: Call) -> dict[str, Any]:
    return {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.provider": "openai",
        "llm.model_name": _MODEL,
        "llm.token_count.prompt": call.input_tokens,
        "llm.token_count.completion": call.output_tokens,
        "llm.token_count.total": call.input_tokens + call.output_tokens,
    }
