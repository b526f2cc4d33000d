"""Specifies what reaches billing through the Collectors of ``examples/collector``, which run as they are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS
from otel_polar.service.otlp import read_json
from tests.collector.examples import TOKEN, ExampleCollector, Sink, a_sink, certificate, laid_over, to_sink
from tests.servers.child import HOST, free_port, wait_until
from tests.service.messages import pairs, request, span

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = [pytest.mark.slow]

TRACES: Final = 2_000
MARKERS: Final = sorted({*MODEL_CALL_MARKERS, EVENT_NAME})


def a_trace(dice: random.Random, marker: str) -> list[Span]:
    """A request, a span of the work in it, and a call to a model."""
    trace_id, request_id = dice.randbytes(16), dice.randbytes(8)

    def below(name: str, attributes: Mapping[str, Any]) -> Span:
        ids = {"trace_id": trace_id, "span_id": dice.randbytes(8), "parent_span_id": request_id}
        return span(name=name, attributes=pairs(dict(attributes)), **ids)

    root = span(name="POST /ask", trace_id=trace_id, span_id=request_id, attributes=pairs({"enduser.id": "alice"}))
    return [root, below("retrieve", {"db.system": "postgresql"}), below("call", {marker: "LLM"})]


def traces(seed: int) -> list[list[Span]]:
    """Many, in which each of the attributes that mark a call is the only one on it."""
    dice = random.Random(seed)
    return [a_trace(dice, MARKERS[number % len(MARKERS)]) for number in range(TRACES)]


def to_file(path: Path, pipeline: str = "traces/backend") -> dict[str, Any]:
    """Changes by which what is for the backend goes to a file."""
    return {
        "exporters": {"file": {"path": str(path)}},
        "service": {"pipelines": {pipeline: {"exporters": ["file"]}}},
    }


def test_every_call_is_billed_where_one_trace_of_a_hundred_is_kept(binary: Path, tmp_path: Path) -> None:
    """What a sampler has seen first is not billed."""
    kept = tmp_path / "kept.json"
    changes = {"processors": {"tail_sampling": {"decision_wait": "1s"}}}
    with a_sink() as sink:
        changes = laid_over(laid_over(changes, to_sink(sink, tmp_path)), to_file(kept))
        with ExampleCollector(binary, tmp_path / "gateway", "before-tail-sampling", changes) as gateway:
            all_traces = traces(seed=1)
            for begin in range(0, TRACES, 100):
                gateway.take(request(*(one for trace in all_traces[begin : begin + 100] for one in trace)))
            wait_until(lambda: len(sink.spans) >= TRACES, "every call has come")
            # It decides about what is left when it ends.
            assert gateway.stop() == 0

        assert {s.trace_id for s in sink.spans} == {trace[0].trace_id.hex() for trace in all_traces}
        assert {s.name for s in sink.spans} == {"call"}
        of_backend = [s for line in kept.read_bytes().splitlines() for s in read_json(line).spans]
        assert 0 < len(of_backend) == 3 * len({s.trace_id for s in of_backend}) < 3 * TRACES // 20


def test_a_failed_call_is_in_both_places(binary: Path, tmp_path: Path) -> None:
    """Failures are what a backend is for; and one that has used tokens costs money."""
    kept = tmp_path / "kept.json"
    failed = span(attributes=pairs({"gen_ai.operation.name": "chat"}), status=Status(code=Status.STATUS_CODE_ERROR))
    changes = {"processors": {"tail_sampling": {"decision_wait": "100ms"}}}
    with a_sink() as sink:
        changes = laid_over(laid_over(changes, to_sink(sink, tmp_path)), to_file(kept))
        with ExampleCollector(binary, tmp_path / "gateway", "before-tail-sampling", changes) as gateway:
            gateway.take(request(failed))
            wait_until(lambda: len(sink.spans) == 1 and kept.exists() and bool(kept.read_bytes()), "both have it")


def test_what_an_agent_is_given_reaches_otel_polar_through_a_gateway(binary: Path, tmp_path: Path) -> None:
    """With TLS and a token between the two, and a token towards otel-polar; all spans go to the backend, too."""
    all_of_them = tmp_path / "all.json"
    files = certificate(tmp_path)
    tokens = tmp_path / "agents.tokens"
    tokens.write_text("the-token-before-this # until the last agent has the new one\nthe-token-of-agents\n")
    token = tmp_path / "gateway.token"
    token.write_text("the-token-of-agents\n")
    protocols = {"grpc": {"tls": files}, "http": {"tls": files}}
    of_gateway: dict[str, Any] = {
        "extensions": {"bearertokenauth/agents": {"filename": str(tokens)}},
        "receivers": {"otlp": {"protocols": protocols}},
    }
    with a_sink() as sink:
        of_gateway = laid_over(laid_over(of_gateway, to_sink(sink, tmp_path)), to_file(all_of_them))
        with ExampleCollector(binary, tmp_path / "gateway", "gateway", of_gateway) as gateway:
            to_gateway = {
                "endpoint": f"{HOST}:{gateway.grpc_port}",
                "tls": {"ca_file": files["cert_file"]},
                "sending_queue": {"batch": {"flush_timeout": "20ms"}},
            }
            of_agent = {
                "extensions": {"bearertokenauth/gateway": {"filename": str(token)}},
                "exporters": {"otlp_grpc/gateway": to_gateway},
            }
            with ExampleCollector(binary, tmp_path / "agent", "agent", of_agent) as agent:
                trace = a_trace(random.Random(1), "gen_ai.system")
                agent.take(request(*trace))
                wait_until(lambda: len(sink.spans) == 1, "otel-polar has the call")
                wait_until(lambda: bool(all_of_them.exists() and all_of_them.read_bytes()), "the backend has it")

        assert sink.authorizations == {f"Bearer {TOKEN}"}
        assert [s.name for s in sink.spans] == ["call"]
        assert [s.name for s in read_json(all_of_them.read_bytes()).spans] == ["POST /ask", "retrieve", "call"]


def test_what_was_taken_outlives_the_collector(binary: Path, tmp_path: Path) -> None:
    """It was acknowledged, so that nobody will send it again."""
    port = free_port()
    nowhere = Sink()
    nowhere.url = f"http://{HOST}:{port}"
    changes = laid_over(to_sink(nowhere, tmp_path), to_file(tmp_path / "kept.json"))
    calls = [trace[-1] for trace in traces(seed=2)]
    with ExampleCollector(binary, tmp_path / "gateway", "before-tail-sampling", changes) as gateway:
        for begin in range(0, TRACES, 50):
            gateway.take(request(*calls[begin : begin + 50]))
        gateway.kill()
        with a_sink(port) as sink:
            gateway.start()
            wait_until(lambda: len({s.span_id for s in sink.spans}) == TRACES, "all have come")
