"""Specifies our own metrics: what the application's provider of metrics is told, and what it never costs."""

from __future__ import annotations

import gc
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import uuid
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.delivery.metrics import telemetry
from otel_polar.delivery.metrics.instruments import NAMES
from otel_polar.delivery.metrics.tally import Tally
from tests.delivery.metered_providers import CALL, a_provider, no_provider, read, value
from tests.delivery.support import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

WAITING = "otel.sdk.processor.span.queue.size"
KEPT = "otel.sdk.processor.span.processed"
AGE = "otel_polar.outbox.oldest_age"
SIZE = "otel_polar.outbox.size"
CALLS = "otel_polar.calls"
DURATION = "otel.sdk.exporter.operation.duration"


class Application:
    """A tracer provider with our processor."""

    def __init__(self, base_url: str, outbox_dir: Path, **options: Any) -> None:
        self.processor = PolarSpanProcessor(
            access_token=TOKEN,
            base_url=base_url,
            **{"outbox_dir": outbox_dir, "settle_s": 0.0, "linger_s": 0.0, "shutdown_timeout_s": 5.0, **options},
        )
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        assert self.processor.pipeline is not None
        self.name = self.processor.pipeline._telemetry.processor["otel.component.name"]
        self.number = int(self.name.rpartition("/")[2])

    def call(self, **attributes: str | int) -> None:
        """A finished call to a model, with dots in names written as ``__``."""
        told = {**CALL, **{key.replace("__", "."): value for key, value in attributes.items()}}
        self.provider.get_tracer("opentelemetry.util.genai.handler").start_span("chat", attributes=told).end()

    def flush(self) -> bool:
        return self.provider.force_flush(10_000)


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """What collects the metrics of an application that has a provider."""
    reader = InMemoryMetricReader()
    with a_provider(reader):
        yield reader


@pytest.fixture
def start(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[Callable[..., Application]]:
    """Applications that bill to the sandbox, shut down after the test."""
    started: list[Application] = []

    def start(base_url: str = polar_sandbox.url, **options: Any) -> Application:
        started.append(Application(base_url, **{"outbox_dir": tmp_path, **options}))
        return started[-1]

    yield start
    for application in started:
        application.provider.shutdown()


def until(condition: Callable[[], Any]) -> Any:
    """What the condition answers when it is true at last."""
    deadline = time.monotonic() + 20
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def test_every_number_is_told_under_its_name_unit_and_attributes(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """Dashboards and alerts are made of these words; whoever changes one breaks them all."""
    application = start()
    with bill_to("alice"):
        application.call()
        application.call(gen_ai__usage__input_tokens=101)
        application.call(gen_ai__request__model="gpt-9000")
        application.call(gen_ai__operation__name="invoke_agent")
    with bill_to(customer_id=str(uuid.uuid4())):
        application.call(gen_ai__usage__input_tokens=102)
    application.call(gen_ai__usage__input_tokens=103)
    application.flush()

    found = read(reader)
    component = {"otel.component.type": "otel_polar.PolarSpanProcessor", "otel.component.name": application.name}
    exporter = {
        "otel.component.type": "otel_polar.PolarSpanExporter",
        "otel.component.name": f"otel_polar.PolarSpanExporter/{application.number}",
    }
    assert {name: (found[name].unit, found[name].kind) for name in found} == {
        "otel.sdk.processor.span.processed": ("{span}", "Sum up"),
        "otel.sdk.processor.span.queue.size": ("{span}", "Sum"),
        "otel.sdk.exporter.span.exported": ("{span}", "Sum up"),
        "otel.sdk.exporter.span.inflight": ("{span}", "Sum"),
        "otel.sdk.exporter.operation.duration": ("s", "Histogram"),
        "otel_polar.outbox.size": ("{call}", "Sum"),
        "otel_polar.outbox.bytes": ("By", "Sum"),
        "otel_polar.outbox.oldest_age": ("s", "Gauge"),
        "otel_polar.calls": ("{call}", "Sum up"),
        "otel_polar.calls.unpriced": ("{call}", "Sum up"),
    }
    assert set(found) == set(NAMES)
    assert found[KEPT].points == [
        (component, 5),
        ({**component, "error.type": "lost"}, 0),
        ({**component, "error.type": "failed"}, 0),
    ]
    assert found[WAITING].points == [(component, 0)]
    assert found["otel.sdk.exporter.span.exported"].points == [
        (exporter, 2),
        ({**exporter, "error.type": "rejected"}, 1),
    ]
    assert found["otel.sdk.exporter.span.inflight"].points == [(exporter, 0)]
    assert {told["otel_polar.state"]: count for told, count in found[SIZE].points} == {
        "recorded": 0,
        "ready": 0,
        "held: unpriced": 1,
        "held: unattributed": 1,
        "held: unmetered": 0,
        "held: unbuildable": 0,
        "rejected": 1,
    }
    assert value(found, "otel_polar.outbox.bytes") > 0
    assert found[AGE].points == [(component, 0)]
    assert {(told["otel_polar.outcome"], told.get("otel_polar.reason")): n for told, n in found[CALLS].points} == {
        ("sent", None): 2,
        ("rejected", "customer_id"): 1,
        ("held: unpriced", "unknown model"): 1,
        ("held: unattributed", "no customer"): 1,
        ("not billed", "operation invoke_agent is not a single call"): 1,
        ("duplicate", None): 0,
        ("dropped", "unattributed"): 0,
    }
    model = {"gen_ai.provider.name": "openai", "otel_polar.model": "gpt-9000"}
    assert found["otel_polar.calls.unpriced"].points == [({**component, **model}, 1)]
    place = {**exporter, "server.address": "127.0.0.1"}
    statuses = {
        (told["http.response.status_code"], told.get("error.type")): count
        for told, count in found[DURATION].points
        if place.items() <= told.items() and isinstance(told["server.port"], int)
    }
    assert statuses[200, None] >= 1
    assert statuses[422, "422"] >= 1


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [((503, b""), "503", 503), ((200, b"<html>"), "invalid_answer", 200), ((429, b""), "429", 429)],
)
def test_a_request_that_failed_is_told_with_what_was_wrong(
    reader: InMemoryMetricReader,
    start: Callable[..., Application],
    polar_sandbox: SandboxServer,
    answer: tuple[int, bytes],
    error: str,
    status: int,
) -> None:
    """Each attempt by itself: an outage shows while it lasts, and not when it is over."""
    polar_sandbox.answer_next(*answer)
    application = start()
    with bill_to("alice"):
        application.call()
    until(lambda: polar_sandbox.ingest_requests)
    told = until(lambda: read(reader).get(DURATION)).points[0][0]

    assert (told.get("error.type"), told["http.response.status_code"]) == (error, status)


def test_a_request_without_an_answer_is_told_by_the_kind_of_error(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """By the name of polar-sdk's exception, without its words, which may hold an address."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    application = start(base_url=f"http://127.0.0.1:{port}")
    with bill_to("alice"):
        application.call()
    told = until(lambda: read(reader).get(DURATION)).points[0][0]

    assert told["error.type"] == "PolarNetworkError"
    assert told["server.port"] == port
    assert "http.response.status_code" not in told
    assert until(lambda: value(read(reader), SIZE, otel_polar__state="ready")) == 1


def test_the_backlog_grows_while_the_delivery_thread_is_stuck_in_a_request(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """That is when somebody has to be told, and the thread that counts is the one that is stuck."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        application = start(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", shutdown_timeout_s=0.0)
        with bill_to("alice"):
            application.call()
            # Closed when the test is over.
            connection, _ = silent.accept()
            until(lambda: value(read(reader), "otel.sdk.exporter.span.inflight") == 1)
            before = value(read(reader), WAITING)
            for number in range(3):
                application.call(gen_ai__usage__input_tokens=200 + number)
        found = read(reader)
        later = until(lambda: value(read(reader), AGE) > value(found, AGE) and read(reader))
        connection.close()

    assert value(found, WAITING) == before + 3
    assert value(found, SIZE, otel_polar__state="recorded") >= 3
    assert value(later, WAITING) == before + 3


def test_no_metric_names_a_customer_or_what_was_said(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """Metrics are for everybody's eyes, and are kept for years."""

    def broken(*_: object) -> dict[str, str]:
        raise LookupError("a prompt")

    application = start(map_metadata=broken)
    customer_id = str(uuid.uuid4())
    with bill_to("alice", plan="secret"):
        application.call(gen_ai__input__messages="a prompt")
        application.call(gen_ai__usage__input_tokens=101)
    with bill_to(customer_id=customer_id):
        application.call(gen_ai__usage__input_tokens=102)
    with bill_to("alice;"):
        application.call(gen_ai__usage__input_tokens=103)
    application.flush()
    found = read(reader)

    assert value(found, CALLS, otel_polar__reason="map_metadata") == 3
    assert value(found, CALLS, otel_polar__reason="invalid id") == 1
    for word in ("alice", customer_id, "secret", "prompt", TOKEN):
        assert word not in str(found)


def test_no_request_of_ours_becomes_a_span_or_a_metric_of_the_application(
    reader: InMemoryMetricReader, start: Callable[..., Application], polar_sandbox: SandboxServer
) -> None:
    """What is told of billing must not be billed, nor fill the application's traces."""
    application = start()
    exporter = InMemorySpanExporter()
    application.provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors: list[Any] = [HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=application.provider)
    try:
        with bill_to("alice"):
            application.call()
        application.flush()
        data = reader.get_metrics_data()
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()

    assert len(polar_sandbox.ingest_requests) == 1
    assert [span.name for span in exporter.get_finished_spans()] == ["chat"]
    assert data is not None
    scopes = {scope.scope.name for resource in data.resource_metrics for scope in resource.scope_metrics}
    assert scopes & {"otel_polar"} == {"otel_polar"}
    assert not any("httpx" in scope for scope in scopes)


def test_without_a_provider_nothing_is_looked_at(
    start: Callable[..., Application], polar_sandbox: SandboxServer
) -> None:
    """Most applications have none: they do not pay for numbers that nobody asks for."""
    with no_provider():
        application = start()
        with bill_to("alice"):
            application.call()
        application.flush()
        assert application.processor.pipeline is not None

        assert len(polar_sandbox.events()) == 1
        assert application.processor.pipeline._telemetry.backlog.last is None
        assert not application.processor.pipeline._telemetry._is_asked


def test_a_provider_that_is_set_late_is_told_everything(start: Callable[..., Application]) -> None:
    """Zero-code configuration sets up metrics after traces."""
    reader = InMemoryMetricReader()
    with no_provider():
        application = start()
        with bill_to("alice"):
            application.call()
            application.flush()
            provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
            metrics.set_meter_provider(provider)
            application.call(gen_ai__usage__input_tokens=101)
            application.flush()
        found = read(reader)
        provider.shutdown()

    assert value(found, CALLS, otel_polar__outcome="sent") == 2
    assert value(found, WAITING) == 0


def test_two_processors_tell_their_own_numbers(
    reader: InMemoryMetricReader, start: Callable[..., Application], tmp_path: Path
) -> None:
    """As for two organizations: one that is stuck must not hide behind one that is not."""
    first, second = start(), start(outbox_dir=tmp_path / "second")
    with bill_to("alice"):
        for application in (first, second, second):
            application.call()
    first.flush()
    second.flush()
    found = read(reader)

    assert second.number == first.number + 1
    assert value(found, KEPT, otel__component__name=first.name, error__type="lost") == 0
    assert [value(found, CALLS, otel__component__name=a.name, otel_polar__outcome="sent") for a in (first, second)] == [
        1,
        2,
    ]


def test_numbers_of_a_pipeline_that_was_shut_down_are_told_once_more_and_then_not(
    reader: InMemoryMetricReader, start: Callable[..., Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script is over before the first minute is: the reader's last collection comes after our shutdown."""
    application = start()
    with bill_to("alice"):
        application.call()
    application.provider.shutdown()
    pipeline = application.processor.pipeline
    assert pipeline is not None
    until(lambda: pipeline._telemetry._over_at is not None)
    found = read(reader)

    assert value(found, CALLS, otel_polar__outcome="sent") == 1
    assert value(found, AGE) == 0
    monkeypatch.setattr(pipeline._telemetry, "_over_at", time.monotonic() - 1)
    assert read(reader).get(AGE) is None


def test_what_is_told_of_does_not_keep_a_pipeline_alive(
    reader: InMemoryMetricReader, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Its outbox is closed with it."""
    application = Application(polar_sandbox.url, tmp_path)
    with bill_to("alice"):
        application.call()
    application.provider.shutdown()
    assert application.processor.pipeline is not None
    pipeline = weakref.ref(application.processor.pipeline)
    del application
    until(lambda: gc.collect() is not None and pipeline() is None)

    assert value(read(reader), CALLS, otel_polar__outcome="sent") == 1


def test_collecting_waits_for_nothing_while_the_pipeline_shuts_down(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """Providers of traces and metrics are shut down at exit in either order, or both at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        application = start(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", shutdown_timeout_s=1.0)
        with bill_to("alice"):
            application.call()
        connection, _ = silent.accept()
        shutdown = threading.Thread(target=application.provider.shutdown)
        shutdown.start()
        collections = 0
        while shutdown.is_alive():
            assert value(read(reader), KEPT, otel__component__name=application.name, error__type="lost") == 0
            collections += 1
        connection.close()

    assert collections > 1


def test_a_number_that_cannot_be_read_costs_only_itself(
    reader: InMemoryMetricReader,
    start: Callable[..., Application],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The application's reader must not see our mistakes, nor log them every minute."""
    application = start()
    with bill_to("alice"):
        application.call()
    application.flush()

    def broken(_: Tally) -> dict[tuple[str, str | None], int]:
        raise LookupError("a bug")

    monkeypatch.setattr(Tally, "ends", broken)
    with caplog.at_level(logging.WARNING):
        found = read(reader)

    assert found.get(CALLS) is None
    assert value(found, WAITING) == 0
    assert caplog.records == []


def test_a_provider_that_raises_stops_neither_delivery_nor_the_application(
    start: Callable[..., Application], polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics are the least of what the thread has to do."""

    class Broken(MeterProvider):
        def get_meter(self, *_arguments: Any, **_options: Any) -> Any:
            raise RuntimeError("no meters today")

    with no_provider():
        metrics.set_meter_provider(Broken(shutdown_on_exit=False))
        application = start()
        with bill_to("alice"):
            application.call()

        assert application.flush()
    assert len(polar_sandbox.events()) == 1
    assert [r.message for r in caplog.records if "metrics" in r.message] == [
        f"the provider of metrics cannot be used ({where})"
        for where in {r.args[0] for r in caplog.records if "metrics" in r.message and isinstance(r.args, tuple)}
    ]
    assert any("RuntimeError" in r.message for r in caplog.records)


def test_what_is_tried_again_in_vain_is_counted_once(
    reader: InMemoryMetricReader, start: Callable[..., Application]
) -> None:
    """Calls without a price are tried again for days; each time they would look like as many new ones."""
    application = start()
    pipeline = application.processor.pipeline
    assert pipeline is not None
    with bill_to("alice"):
        application.call(gen_ai__request__model="gpt-9000")
    application.flush()
    for _ in range(2):
        pipeline._delivery.try_held_again()
        application.flush()
    found = read(reader)

    assert value(found, CALLS, otel_polar__outcome="held: unpriced") == 1
    assert value(found, "otel_polar.calls.unpriced") == 1
    assert value(found, SIZE, otel_polar__state="held: unpriced") == 1


@pytest.mark.slow
def test_a_forked_child_tells_its_own_numbers_and_not_its_parents(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """What two processes told would be added up."""
    told = _of_a_child("fork", polar_sandbox.url, tmp_path)

    assert told == {"child": {"sent": 1, "kept": 1, "waiting": 0}, "parent": {"sent": 3, "kept": 3, "waiting": 0}}


@pytest.mark.slow
def test_the_last_collection_of_a_script_has_everything(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It ends by itself, without a word, and before a reader would have collected for the first time."""
    assert _of_a_child("exit", polar_sandbox.url, tmp_path) == {"sent": 2, "kept": 2, "waiting": 0}


def _of_a_child(what: str, base_url: str, outbox_dir: Path) -> Any:
    arguments = [sys.executable, "-m", "tests.delivery.metered_children", what, base_url, str(outbox_dir)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_pipelines_are_told_of_for_longer_than_readers_sleep() -> None:
    """Readers collect every 60 s unless they are told otherwise (OTEL_METRIC_EXPORT_INTERVAL)."""
    assert telemetry.FAREWELL_S > 60
