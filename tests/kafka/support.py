"""What the tests of Kafka share: spans of calls as messages, a source with a real outbox, and a Polar."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import Producer

from otel_polar.delivery.pipeline import Pipeline
from otel_polar.errors import OutboxError
from otel_polar.service.kafka.source import KafkaSource
from otel_polar.service.reading import SpanReader
from otel_polar.settings.serve import KafkaSettings
from tests.delivery.support import settings
from tests.kafka.broker import Broker, Silent, group_of
from tests.servers.child import wait_until
from tests.service.messages import pairs, request, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from otel_polar.sandbox import SandboxServer
    from otel_polar.service.reading import CallsRead

STOP_S: Final = 20.0
DONE_S: Final = 60.0
SOON: Final = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "300"}
"""A member that died is noticed soon."""

NOT_OTLP: Final = b"Please tell nobody that I have lost my keys."


def call(number: int, **attributes: Any) -> bytes:
    """A message with one call, of a user of its own."""
    message = request(a_span(number, **attributes), scope="opentelemetry.util.genai.handler")
    return bytes(message.SerializeToString())


def a_span(number: int, **attributes: Any) -> Any:
    """The span of a call."""
    started = time.time_ns() - 2_000_000_000
    return span(
        trace_id=(number + 1).to_bytes(16, "big"),
        span_id=(number + 1).to_bytes(8, "big"),
        start_time_unix_nano=started,
        end_time_unix_nano=started + 1_000_000_000,
        attributes=pairs(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 100 + number,
                "gen_ai.usage.output_tokens": 10,
                "user.id": user(number),
                **attributes,
            }
        ),
    )


def user(number: int) -> str:
    """Who pays for that call."""
    return f"payer_{number}"


def produce(broker: Broker, topic: str, messages: Iterable[bytes], partition: int = 0) -> None:
    """Write messages, and return when the broker has them."""
    producer = Producer({"bootstrap.servers": broker.address, "acks": "all"}, logger=Silent())
    for message in messages:
        producer.produce(topic, message, partition=partition)
    assert producer.flush(DONE_S) == 0


class Disk:
    """The outbox, which takes nothing for as long as it is told to."""

    def __init__(self, commit: Callable[[Sequence[str]], None]) -> None:
        self._commit = commit
        self.is_full = False
        self.refused = 0
        self.taken = 0

    def commit(self, lines: Sequence[str]) -> None:
        if self.is_full:
            self.refused += 1
            raise OutboxError("outbox: No space left on device")
        self._commit(lines)
        self.taken += len(lines)


class Replica:
    """A source with an outbox of its own, in this process."""

    def __init__(
        self, broker: Broker, topic: str, polar: SandboxServer, directory: Path, properties: Mapping[str, str] = SOON
    ) -> None:
        options = settings(
            base_url=polar.url, outbox_dir=directory, requests_per_minute=100_000.0, shutdown_timeout_s=5.0
        )
        self.pipeline = Pipeline(options, durability="FULL")
        self.disk = Disk(self.pipeline.commit)
        self.reader = SpanReader(self.pipeline, options)
        self.source = KafkaSource(
            KafkaSettings(
                brokers=broker.address,
                topic=topic,
                group=group_of(topic),
                properties=tuple({**SOON, **properties}.items()),
            ),
            read=self._read,
            commit=self.disk.commit,
            jitter=lambda: 0.0,
        )

    def _read(self, content: bytes) -> CallsRead:
        return self.reader.read_protobuf(content)

    def __enter__(self) -> Self:
        self.source.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the group, and send what is left."""
        assert self.source.stop(STOP_S)
        self.pipeline.force_flush(STOP_S)
        self.pipeline.shutdown()


def wait_for_payers(polar: SandboxServer, numbers: Iterable[int]) -> None:
    """Return as soon as each of these calls is in Polar, and none of them twice."""
    wanted = {user(number) for number in numbers}
    wait_until(lambda: wanted <= payers(polar).keys(), f"{len(wanted)} users have paid", DONE_S)
    assert payers(polar) == Counter(dict.fromkeys(wanted, 1))


def payers(polar: SandboxServer) -> Counter[str]:
    """How often each user has paid."""
    return Counter(str(event["external_customer_id"]) for event in polar.events())
