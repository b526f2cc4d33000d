"""An application whose spans come to a topic as the Collector's exporter writes them with partition_traces_by_id."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import Producer
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from tests.collector.application import Application
from tests.kafka.broker import Silent, group_of
from tests.servers.child import wait_until
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.collector.collector import Collector
    from tests.kafka.broker import Broker

_ACKNOWLEDGED_S: Final = 60.0
_NO_COLLECTOR: Final = cast("Collector", SimpleNamespace(http_port=9, grpc_port=9))


class WholeBatches(Application):
    """Hands its Collector the spans of a call together.

    Where they come in two batches they are two messages: a member that dies between them bills the first, and the next
    owner of the partition, who has not seen it, the second.
    """

    def deliver(self) -> None:
        """Send what has ended, until it is acknowledged.

        Raises:
            AssertionError: if it is not within a minute.
        """
        spans = self._finished.get_finished_spans()
        self._finished.clear()
        wait_until(lambda: self._is_acknowledged(spans), "the spans are acknowledged", _ACKNOWLEDGED_S)


class ProducingApplication(Application):
    """Every trace is one message, with its id as the key: spans of one call come together, and to one partition."""

    def __init__(self, broker: Broker, topic: str, random: Random) -> None:
        super().__init__(_NO_COLLECTOR, random, "http")
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": broker.address, "acks": "all"}, logger=Silent())

    def deliver(self) -> None:
        """Write what has ended, and return when the broker has it.

        Raises:
            AssertionError: if it has not within a minute.
        """
        spans = self._finished.get_finished_spans()
        self._finished.clear()
        traces: dict[str, list[ReadableSpan]] = {}
        for span in spans:
            assert span.context is not None
            traces.setdefault(f"{span.context.trace_id:032x}", []).append(span)
        for trace_id, trace in traces.items():
            self._producer.produce(self._topic, encode_spans(trace).SerializeToString(), key=trace_id)
        assert self._producer.flush(_ACKNOWLEDGED_S) == 0, "messages are not acknowledged"


def replica(
    broker: Broker, topic: str, polar: str, directory: Path, properties: dict[str, str], **environment: str
) -> Serve:
    """An ``otel-polar serve --kafka …`` with an outbox of its own."""
    directory.mkdir()
    config = directory / "config.toml"
    lines = [f'"{name}" = "{value}"\n' for name, value in properties.items()]
    config.write_text("".join(["[serve.kafka.properties]\n", *lines]))
    return Serve(
        directory,
        polar,
        environment={
            "OTEL_POLAR_SERVE_KAFKA_TOPIC": topic,
            "OTEL_POLAR_SERVE_KAFKA_GROUP": group_of(topic),
            **environment,
        },
        options=("--kafka", broker.address, f"--config={config}"),
        name=f"otel-polar serve in {directory.name}",
    )
