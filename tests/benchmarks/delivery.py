"""What delivery costs: callers while a backlog is sent, the processor's time for each event, and memory.

Polar is a process that takes everything. Time for an event is that of the whole process, recording included, and is
compared with bare polar-sdk posting the same events, ready-made, in batches of 100 to the same server.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from polar.v2026_10 import Polar

from otel_polar import PolarSpanProcessor
from tests.benchmarks.polar_sink import polar_sink
from tests.benchmarks.spans import model_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_polar.delivery.disk.outbox import Outbox

ROUNDS: Final = 3
BACKLOG: Final = 20_000
CALLS: Final = 2_000
PAUSE_S: Final = 0.001
"""Between two calls of an application; back to back there would be no other thread to share with."""

BATCH: Final = 100
WARM_UP: Final = 60_000
EVENTS: Final = int(os.environ.get("BENCHMARK_EVENTS", "100000"))
AT_ONCE: Final = 5_000
FLUSH_MS: Final = 300_000


def run() -> Iterator[str]:
    """The figures, a line each."""
    with polar_sink() as url:
        yield _on_end_while_a_backlog_is_sent(url)
        yield _events_for_processor_time(url)
        yield _memory(url)


def _on_end_while_a_backlog_is_sent(url: str) -> str:
    ratios, idle_us, busy_us = [], [], []
    for _ in range(ROUNDS):
        with _processor(url, settle_s=3_600.0) as processor:
            idle_us.append(_p99_us(processor, model_calls(processor, CALLS), lambda: True))
            for span in model_calls(processor, BACKLOG):
                processor.on_end(span)
            spans = model_calls(processor, CALLS)
            drain = threading.Thread(target=processor.force_flush, args=(FLUSH_MS,))
            drain.start()
            busy_us.append(_p99_us(processor, spans, drain.is_alive))
            drain.join()
            ratios.append(busy_us[-1] / idle_us[-1])
    busy, idle = statistics.median(busy_us), statistics.median(idle_us)
    return (
        "on_end of a model call, 99th percentile while a backlog is sent / while nothing is:"
        f" {statistics.median(ratios):.1f} ({busy:,.0f} us / {idle:,.0f} us; at most 5)"
    )


def _p99_us(processor: PolarSpanProcessor, spans: list[ReadableSpan], goes_on: Callable[[], bool]) -> float:
    times_ns = []
    for span in spans:
        time.sleep(PAUSE_S)
        if not goes_on():
            break
        begin = time.perf_counter_ns()
        processor.on_end(span)
        times_ns.append(time.perf_counter_ns() - begin)
    return statistics.quantiles(times_ns, n=100)[-1] / 1_000


def _events_for_processor_time(url: str) -> str:
    ratios, ours_us, bare_us = [], [], []
    for _ in range(ROUNDS):
        with _processor(url) as processor:
            spans = model_calls(processor, BACKLOG)
            begin = time.process_time()
            for span in spans:
                processor.on_end(span)
            assert processor.force_flush(FLUSH_MS)
            ours_us.append((time.process_time() - begin) / len(spans) * 1e6)
            events = [json.loads(row.body) for row in _outbox(processor).ledger() if row.body is not None][-BACKLOG:]
        with Polar("polar_oat_benchmark", base_url=url) as polar:
            polar.events.ingest(events=events[:BATCH])
            begin = time.process_time()
            for first in range(0, len(events), BATCH):
                polar.events.ingest(events=events[first : first + BATCH])
            bare_us.append((time.process_time() - begin) / len(events) * 1e6)
        ratios.append(bare_us[-1] / ours_us[-1])
    return (
        "events for a second of processor time, from on_end to Polar / bare polar-sdk with ready-made events:"
        f" {statistics.median(ratios):.2f} ({1e6 / statistics.median(ours_us):,.0f} /"
        f" {1e6 / statistics.median(bare_us):,.0f}; the aim is 0.33)"
    )


def _memory(url: str) -> str:
    with _processor(url) as processor:
        _send(processor, WARM_UP)
        before = _resident_bytes()
        _send(processor, EVENTS)
        grown_mb = (_resident_bytes() - before) / 1e6
        path = _outbox(processor).path
        assert path is not None
        on_disk = sum(file.stat().st_size for file in path.parent.glob("outbox-*"))
    return (
        f"memory after {EVENTS:,} further events: {grown_mb:+.1f} MB (at most +10);"
        f" on disk {on_disk / (WARM_UP + EVENTS):,.0f} bytes for each event, as long as retention_days keeps it"
    )


def _send(processor: PolarSpanProcessor, count: int) -> None:
    for _ in range(0, count, AT_ONCE):
        for span in model_calls(processor, AT_ONCE):
            processor.on_end(span)
        assert processor.force_flush(FLUSH_MS)


def _outbox(processor: PolarSpanProcessor) -> Outbox:
    assert processor.pipeline is not None
    (outbox,) = processor.pipeline.outboxes
    return outbox


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _processor(url: str, *, settle_s: float = 0.0) -> Iterator[PolarSpanProcessor]:
    with tempfile.TemporaryDirectory() as directory:
        processor = PolarSpanProcessor(
            access_token="polar_oat_benchmark",
            base_url=url,
            outbox_dir=directory,
            requests_per_minute=100_000,
            settle_s=settle_s,
        )
        # What is imported and opened when it is first needed is not what is measured.
        for span in model_calls(processor, CALLS):
            processor.on_end(span)
        assert processor.force_flush(FLUSH_MS)
        yield processor
        processor.shutdown()
