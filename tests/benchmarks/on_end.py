"""What ``on_end`` costs the application: for a model call, and for any other span.

A model call is compared with one bare SQLite commit of the same bytes, the least that "on disk before on_end returns"
can cost; any other span with ``BatchSpanProcessor.on_end``, which every application pays already. Both of a pair run
alternately on the same spans, and each figure is the ratio of the two medians.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer
from otel_polar.billing.reading import read_call
from otel_polar.billing.span import read_span
from otel_polar.delivery.disk.record import dump_call
from tests.benchmarks.spans import ended, model_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

MODEL_CALLS: Final = 5_000
OTHER_ROUNDS: Final = 3_000
OTHER_SPANS: Final = 16
HTTP_ATTRIBUTES: Final = {f"http.attribute_{number}": "value" for number in range(10)}


def run() -> Iterator[str]:
    """The figures, a line each."""
    with tempfile.TemporaryDirectory() as directory:
        processor = PolarSpanProcessor(
            access_token="polar_oat_benchmark",
            base_url="http://127.0.0.1:9",
            outbox_dir=directory,
            settle_s=3_600,  # the delivery thread stays out of the way
            shutdown_timeout_s=0,
        )
        yield _model_call(processor, Path(directory))
        yield _other_span(processor)
        # Before its directory goes.
        processor.shutdown()


def _model_call(processor: PolarSpanProcessor, directory: Path) -> str:
    spans = model_calls(processor, MODEL_CALLS)
    call = read_call(read_span(spans[0]), Customer(external_customer_id="user_0"), {"plan": "pro"})
    assert isinstance(call, ModelCall)
    line = dump_call(call)
    bare = sqlite3.connect(directory / "bare.db", isolation_level=None, cached_statements=0)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 0"):
        bare.execute(statement)
    bare.execute("CREATE TABLE rows (body TEXT)")

    def commit(_span: ReadableSpan) -> None:
        bare.execute("INSERT INTO rows VALUES (?)", (line,))

    ours_ns: list[int] = []
    bare_ns: list[int] = []
    for span in spans:
        ours_ns.append(_time_ns(processor.on_end, [span]))
        bare_ns.append(_time_ns(commit, [span]))
    bare.close()
    return _line("on_end of a model call / a bare SQLite commit of the same bytes", ours_ns, bare_ns, each=1, limit=3)


def _other_span(processor: PolarSpanProcessor) -> str:
    batch = BatchSpanProcessor(
        InMemorySpanExporter(),
        max_queue_size=2**20,
        max_export_batch_size=2**19,
        schedule_delay_millis=3_600_000,
    )
    ours_ns: list[int] = []
    batch_ns: list[int] = []
    for number in range(OTHER_ROUNDS):
        # A request: its spans start and end where somebody pays.
        with bill_to(f"user_{number}", plan="pro"):
            spans = [ended(processor, "GET /", HTTP_ATTRIBUTES) for _ in range(OTHER_SPANS)]
            # Whoever comes first pays for spans that have left the machine's cache.
            if number % 2:
                ours_ns.append(_time_ns(processor.on_end, spans))
                batch_ns.append(_time_ns(batch.on_end, spans))
            else:
                batch_ns.append(_time_ns(batch.on_end, spans))
                ours_ns.append(_time_ns(processor.on_end, spans))
    name = "on_end of another span, inside bill_to / BatchSpanProcessor.on_end"
    return _line(name, ours_ns, batch_ns, each=OTHER_SPANS, limit=1 / 3)


def _time_ns(function: Callable[[ReadableSpan], None], spans: list[ReadableSpan]) -> int:
    begin = time.perf_counter_ns()
    for span in spans:
        function(span)
    return time.perf_counter_ns() - begin


def _line(name: str, ours_ns: list[int], theirs_ns: list[int], *, each: int, limit: float) -> str:
    ours, theirs = statistics.median(ours_ns) / each, statistics.median(theirs_ns) / each
    return f"{name}: {ours / theirs:.2f} ({ours:,.0f} ns / {theirs:,.0f} ns; at most {limit:.2f})"
