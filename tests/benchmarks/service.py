"""What the service costs: spans for a second of its processor time, beside the real Collector, and its memory.

Both receive the same requests from the same sender: 512 spans in 200 KB of protobuf, gzipped, over four connections,
as OTLP/HTTP. The Collector writes them to a file; the service records the calls to models among them with ``fdatasync``
before it answers. Polar takes everything. Processor time is what the operating system counts for the whole process,
recording and, where it says so, delivery included.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from tests.benchmarks.polar_sink import polar_sink
from tests.collector.build import collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROUNDS: Final = 3
CONNECTIONS: Final = 4
SPANS: Final = 512
REQUESTS: Final = int(os.environ.get("BENCHMARK_REQUESTS", "600"))
VARIANTS: Final = 50
"""Different requests. A span that comes again is known again, so calls get other ids each time."""

MEMORY_SPANS: Final = int(os.environ.get("BENCHMARK_SPANS", "1000000"))
WARM_UP_SPANS: Final = 3_500_000
"""Until what is remembered of the last calls is as much as it ever will be."""

MAX_SENDING_S: Final = 120.0
EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Server(NamedTuple):
    """A process under measurement."""

    pid: int
    http: str
    grpc: str


def run() -> Iterator[str]:
    """The figures, a line each."""
    with polar_sink() as polar_url:
        yield from _beside_the_collector(polar_url)
        yield _memory(polar_url)


def _beside_the_collector(polar_url: str) -> Iterator[str]:
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS):
            place = Path(directory) / str(number)
            place.mkdir()
            for every, kind in ((0, "without GenAI spans"), (10, "with 1 GenAI span in 10")):
                with _collector(place / kind) as server:
                    figures.setdefault(f"Collector {kind}", []).append(_rate(server, _post, every))
                with _service(place / kind, polar_url, settle_s=3_600.0) as server:
                    figures.setdefault(f"service {kind}", []).append(_rate(server, _post, every))
                    figures.setdefault(f"gRPC {kind}", []).append(_rate(server, _call, every))
            with _service(place / "sending", polar_url, settle_s=0.0) as server:
                figures.setdefault("service sending", []).append(_rate(server, _post_until_sent, 10))
    medians = {name: statistics.median(rates) for name, rates in figures.items()}
    for kind, aim in (("without GenAI spans", "3"), ("with 1 GenAI span in 10", "0.5")):
        ours, theirs = medians[f"service {kind}"], medians[f"Collector {kind}"]
        yield (
            f"OTLP/HTTP {kind}, spans for a second of processor time: {ours / theirs:.2f} of the Collector's"
            f" ({ours:,.0f} / {theirs:,.0f}; at least {aim})"
        )
        yield f"OTLP/gRPC {kind} / OTLP/HTTP: {medians[f'gRPC {kind}'] / ours:.2f} (at least 0.5)"
    sending = medians["service sending"]
    yield (
        "OTLP/HTTP with 1 GenAI span in 10, until every call was priced and sent to Polar:"
        f" {sending / medians['Collector with 1 GenAI span in 10']:.2f} of the Collector's ({sending:,.0f})"
    )


def _memory(polar_url: str) -> str:
    with tempfile.TemporaryDirectory() as directory, _service(Path(directory), polar_url, settle_s=0.0) as server:
        requests = MEMORY_SPANS // SPANS
        _send(server, _post, WARM_UP_SPANS // SPANS, 100)
        before = _resident_bytes(server.pid)
        _send(server, _post, requests, 100)
        grown = _resident_bytes(server.pid) - before
    return (
        f"resident memory after {requests * SPANS:,} further spans, 1 in 100 a call: {grown / 1e6:+.1f} MB (limit 10),"
        f" from {before / 1e6:.0f} MB"
    )


def _rate(server: Server, sender: Callable[[Server, Sequence[bytes]], None], every: int) -> float:
    """Spans for a second of processor time, when it is warm."""
    _send(server, sender, REQUESTS // 10, every)
    before = _processor_s(server.pid)
    _send(server, sender, REQUESTS, every)
    return REQUESTS * SPANS / (_processor_s(server.pid) - before)


def _send(server: Server, sender: Callable[[Server, Sequence[bytes]], None], requests: int, every: int) -> None:
    portions = [
        [_request(every, number) for number in range(begin, requests, CONNECTIONS)] for begin in range(CONNECTIONS)
    ]
    threads = [threading.Thread(target=sender, args=(server, portion)) for portion in portions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _post(server: Server, requests: Sequence[bytes]) -> None:
    connection = HTTPConnection(server.http)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    for request in requests:
        connection.request("POST", "/v1/traces", request, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()


def _post_until_sent(server: Server, requests: Sequence[bytes]) -> None:
    _post(server, requests)
    connection = HTTPConnection(server.http)
    deadline = time.monotonic() + MAX_SENDING_S
    waiting: str | None = None
    while waiting != "0" and time.monotonic() < deadline:
        time.sleep(0.5)
        connection.request("GET", "/metrics")
        told = connection.getresponse().read().decode()
        found = re.search(r"^otel_sdk_processor_span_queue_size\{.*\} (\d+)", told, re.MULTILINE)
        waiting = None if found is None else found[1]
    connection.close()
    assert waiting == "0", waiting


def _call(server: Server, requests: Sequence[bytes]) -> None:
    with grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        for request in requests:
            export(gzip.decompress(request), compression=grpc.Compression.Gzip, timeout=60)


_random: Final = Random(7)
_templates: Final[dict[int, TracesData]] = {}


def _request(every: int, number: int) -> bytes:
    """A request, in which one span in *every* is a call to a model (0: none), with ids of its own."""
    template = _templates.get(every)
    if template is None:
        template = _templates[every] = _made(every)
    if every or number < VARIANTS:
        for span in template.resource_spans[0].scope_spans[0].spans:
            span.trace_id, span.span_id = _random.randbytes(16), _random.randbytes(8)
    return gzip.compress(template.SerializeToString(), 1)


def _made(every: int) -> TracesData:
    data = TracesData()
    resource = data.resource_spans.add()
    _put(resource.resource.attributes.add, {"service.name": "chat-api", "service.instance.id": "1"})
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2" if every else "opentelemetry.instrumentation.httpx"
    now = time.time_ns()
    for number in range(SPANS):
        span = scope.spans.add(name="GET /v1/items", kind=Span.SPAN_KIND_CLIENT, parent_span_id=_random.randbytes(8))
        span.start_time_unix_nano, span.end_time_unix_nano = now - 10**9, now
        is_call = every and number % every == 0
        _put(span.attributes.add, _CALL if is_call else {**_WEB, "url.full": f"http://10.0.0.1:8080/v1/items/{number}"})
    return data


_CALL: Final = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
    "gen_ai.usage.cache_read.input_tokens": 512,
    "gen_ai.request.temperature": "0.2",
    "server.address": "api.openai.com",
    "server.port": 443,
    "userId": "user_42",
}
_WEB: Final = {
    "http.request.method": "GET",
    "server.address": "10.0.0.1",
    "network.protocol.version": "1.1",
    "user_agent.original": "python-httpx/0.28",
    "http.response.status_code": 200,
    "server.port": 8080,
    "http.route": "/v1/items/{id}",
    "thread.id": 123456,
    "thread.name": "MainThread",
}


def _put(add: Callable[[], object], values: dict[str, object]) -> None:
    for key, value in values.items():
        pair = add()
        pair.key = key  # type: ignore[attr-defined]
        if isinstance(value, int):
            pair.value.int_value = value  # type: ignore[attr-defined]
        else:
            pair.value.string_value = value  # type: ignore[attr-defined]


@contextmanager
def _service(place: Path, polar_url: str, *, settle_s: float) -> Iterator[Server]:
    environment = {
        **os.environ,
        "POLAR_ACCESS_TOKEN": "polar_oat_benchmark",
        "POLAR_BASE_URL": polar_url,
        "OTEL_POLAR_OUTBOX_DIR": str(place / "outbox"),
        "OTEL_POLAR_SETTLE_S": str(settle_s),
        "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000",
        "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "0",
    }
    command = [sys.executable, "-m", "otel_polar", "serve", "--grpc-port", "0", "--http-port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"gRPC on (\S+), OTLP/HTTP on http://(\S+)", process.stdout.readline())
            assert found is not None
            yield Server(process.pid, found[2], found[1])
        finally:
            process.terminate()


@contextmanager
def _collector(place: Path) -> Iterator[Server]:
    place.mkdir(parents=True, exist_ok=True)
    config = place / "collector.yaml"
    port = _free_port()
    config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{file: {{path: "{place}/spans.json"}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}
""")
    with subprocess.Popen(
        [collector(), "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield Server(process.pid, f"127.0.0.1:{port}", "")
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            HTTPConnection("127.0.0.1", port, timeout=1).connect()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the Collector does not listen")


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
