"""The spans that the benchmarks end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider

from otel_polar import bill_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar import PolarSpanProcessor

MODEL_CALL_ATTRIBUTES: Final[Mapping[str, str | int]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "server.address": "api.openai.com",
    "server.port": 443,
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1_457,
    "gen_ai.usage.output_tokens": 120,
    "openai.response.service_tier": "default",
}

_TRACER: Final = TracerProvider(shutdown_on_exit=False).get_tracer("opentelemetry.util.genai.handler")


def model_calls(processor: PolarSpanProcessor, count: int) -> list[ReadableSpan]:
    """So many calls to a model, of fifty users, ended but not handed to ``on_end``."""
    spans = []
    for number in range(count):
        with bill_to(f"user_{number % 50}", plan="pro"):
            response_id = f"chatcmpl-{random.getrandbits(110):029x}"
            spans.append(
                ended(processor, "chat gpt-4o-mini", {**MODEL_CALL_ATTRIBUTES, "gen_ai.response.id": response_id})
            )
    return spans


def ended(processor: PolarSpanProcessor, name: str, attributes: Mapping[str, str | int]) -> ReadableSpan:
    """A span that has been begun and ended; *processor* knows of its begin only."""
    span = _TRACER.start_span(name, attributes=attributes)
    assert isinstance(span, Span)
    processor.on_start(span)
    # The provider has no processor, so this is only the end; on_end is called, and timed, by the benchmark.
    span.end()
    return span._readable_span()
