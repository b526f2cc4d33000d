"""A real Kafka of one node: killed as a machine would kill it, and started again on the same port and data."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.child import HOST, READY_S, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

# Small, and quick to start rather than to run.
_JAVA: Final = ("java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_QUIET: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"


def group_of(topic: str) -> str:
    """The name of the consumer group of a topic; each has its own, so that tests do not rebalance one another."""
    return f"otel-polar.{topic}"


class Silent:
    """What librdkafka says of a broker that is killed on purpose."""

    def log(self, *arguments: object) -> None:
        """Nothing."""


class Broker(Child):
    """One broker, which is its own controller; its data is in *directory*."""

    def __init__(self, jars: Path, directory: Path) -> None:
        self._port, self._controller_port = free_port(), free_port()
        properties = directory / "server.properties"
        properties.write_text(self._properties(directory))
        java = [*_JAVA, _QUIET, "-cp", f"{jars}/*"]
        name = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_ = ["kafka.tools.StorageTool", "format", "-t", f"A{name[1:]}", "-c", str(properties)]
        subprocess.run([*java, *format_], check=True, capture_output=True, timeout=READY_S)
        super().__init__("Kafka", [*java, "kafka.Kafka", str(properties)])

    @property
    def address(self) -> str:
        """Where clients find it, also while it is dead."""
        return f"{HOST}:{self._port}"

    def is_ready(self) -> bool:
        """It answers."""
        try:
            return bool(self._admin().list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False

    def create_topic(self, partitions: int = 1, **settings: str) -> str:
        """A new topic; its name."""
        name = f"otlp_spans_{uuid.uuid4().hex[:8]}"
        admin = self._admin()
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin.create_topics([topic])[name].result(READY_S)
        return name

    def delete_before(self, topic: str, offset: int) -> None:
        """As the topic's retention does."""
        admin = self._admin()
        partition = TopicPartition(topic, 0, offset)
        admin.delete_records([partition])[partition].result(READY_S)

    def reset(self, topic: str, offset: int) -> None:
        """Let the group, which must have no members, begin from there again."""
        admin = self._admin()
        asked = ConsumerGroupTopicPartitions(group_of(topic), [TopicPartition(topic, 0, offset)])
        (future,) = admin.alter_consumer_group_offsets([asked]).values()
        (answer,) = future.result(READY_S).topic_partitions
        assert answer.error is None

    def committed(self, topic: str, partition: int = 0) -> int | None:
        """The group's offset; ``None`` if it has none."""
        admin = self._admin()
        asked = ConsumerGroupTopicPartitions(group_of(topic), [TopicPartition(topic, partition)])
        (future,) = admin.list_consumer_group_offsets([asked]).values()
        try:
            (answer,) = future.result(READY_S).topic_partitions
        except KafkaException:
            # Its coordinator comes up a moment after the broker.
            return None
        return answer.offset if answer.offset >= 0 else None

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address}, logger=Silent())

    def _properties(self, directory: Path) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # One that was killed is not waited for.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "message.max.bytes": "33554432",
            "log.cleaner.enable": "false",
            "num.network.threads": "2",
            "num.io.threads": "2",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())
