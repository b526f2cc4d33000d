"""What reading a model call off a span costs, against creating and ending that span with the SDK.

The spans are those of real instrumentations, attribute by attribute as they set them. Both of a pair run alternately,
and each figure is the ratio of the two medians. The tracer provider has no processor: it is the SDK alone.
"""

from __future__ import annotations

import gzip
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call
from otel_polar.billing.span import read_span

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS: Final = Path(__file__).parent.parent / "corpus"
EMITTERS: Final = (
    "scenario-genai-openai",
    "scenario-anthropic-sdk-native",
    "scenario-tl-openai",
    "scenario-oi-openai",
    "pydantic-ai",
)
ROUNDS: Final = 2_000
EACH: Final = 10


def run() -> Iterator[str]:
    """The figures, a line each."""
    provider = TracerProvider(shutdown_on_exit=False)
    for emitter in EMITTERS:
        yield _reading(emitter, provider)


def _reading(emitter: str, provider: TracerProvider) -> str:
    recorded = _first_model_call(emitter)
    tracer = provider.get_tracer(recorded["scope"])
    at_start = {key: recorded["attributes"][key] for key in recorded["start_attribute_keys"]}
    later = {key: value for key, value in recorded["attributes"].items() if key not in at_start}

    def create_and_end() -> ReadableSpan:
        with tracer.start_as_current_span(recorded["name"], kind=SpanKind.CLIENT, attributes=at_start) as span:
            for key, value in later.items():
                span.set_attribute(key, value)
        assert isinstance(span, ReadableSpan)
        return span

    record = read_span(create_and_end())
    assert isinstance(read_call(record), ModelCall)
    sdk_ns, ours_ns = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(EACH):
            create_and_end()
        middle = time.perf_counter_ns()
        for _ in range(EACH):
            read_call(record)
        sdk_ns.append((middle - begin) / EACH)
        ours_ns.append((time.perf_counter_ns() - middle) / EACH)
    sdk, ours = statistics.median(sdk_ns), statistics.median(ours_ns)
    figures = f"{ours / sdk:.3f} ({ours:,.0f} ns / {sdk:,.0f} ns; at most 0.1)"
    return f"reading a model call of {emitter} / creating and ending it with the SDK: {figures}"


def _first_model_call(emitter: str) -> dict[str, Any]:
    with gzip.open(CORPUS / f"{emitter}.jsonl.gz", "rt") as file:
        spans = [json.loads(line) for line in file]
    span: dict[str, Any] = next(span for span in spans if any("token" in key for key in span["attributes"]))
    return span
