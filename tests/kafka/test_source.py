"""Specifies a consumer of a real broker: what is on disk is committed, what is not comes again, all of it is billed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, KafkaException

from otel_polar.service.kafka.offsets import Offsets
from tests.kafka.support import NOT_OTLP, Replica, call, payers, produce, wait_for_payers
from tests.servers.child import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer
    from otel_polar.service.reading import CallsRead
    from tests.kafka.broker import Broker

pytestmark = pytest.mark.slow


def test_a_new_group_bills_what_was_there_before_it(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """The Collector may run for days before anybody installs this."""
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(50)])

    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, range(50))
        wait_until(lambda: broker.committed(topic) == 50, "its offset is committed")

    assert replica.source.counts["messages"] == 50
    assert replica.source.counts["calls"] == 50
    assert replica.source.counts["bytes"] > 50 * 100


def test_offsets_are_committed_when_the_calls_are_on_disk_and_not_before(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """What the disk refuses is nowhere but in Kafka; it must come again, even if this process dies now."""
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(5)])
    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_until(lambda: broker.committed(topic) == 5, "its offset is committed")
        replica.disk.is_full = True
        produce(broker, topic, [call(number) for number in range(5, 9)])
        wait_until(lambda: replica.disk.refused >= 2, "the disk has refused it, and was asked again")
        refused_at = broker.committed(topic)
        problem, is_ready = replica.source.problem, replica.source.is_ready

        replica.disk.is_full = False
        wait_until(lambda: broker.committed(topic) == 9, "its offset is committed")
        wait_for_payers(polar, range(9))

    assert refused_at == 5
    assert not is_ready
    assert problem == "outbox: No space left on device. Messages stay in Kafka, and are tried again"


def test_offsets_that_kafka_has_not_confirmed_are_committed_again(
    broker: Broker, polar: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else may come to a topic for a week, and until then its lag would be told wrong."""
    monkeypatch.setattr("otel_polar.service.kafka.source.TELL_AGAIN_S", 1.0)
    tell, told = Offsets.tell, []

    def lost_once(offsets: Offsets) -> None:
        told.append(offsets)
        if len(told) > 1:
            tell(offsets)

    monkeypatch.setattr(Offsets, "tell", lost_once)
    topic = broker.create_topic()
    produce(broker, topic, [call(0)])
    with Replica(broker, topic, polar, tmp_path):
        wait_until(lambda: broker.committed(topic) == 1, "its offset is committed")


def test_offsets_are_committed_before_a_partition_is_given_up(
    broker: Broker, polar: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it next would bill the same calls again, if Polar did not know them."""
    monkeypatch.setattr(Offsets, "tell", lambda _: None)
    topic = broker.create_topic()
    produce(broker, topic, [call(0), call(1)])
    with Replica(broker, topic, polar, tmp_path):
        wait_for_payers(polar, [0, 1])
        assert broker.committed(topic) is None

    assert broker.committed(topic) == 2


def test_a_member_whose_disk_is_full_stays_a_member(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """Who is thrown out of the group for not polling comes back, is thrown out again, and all others stand still."""
    topic = broker.create_topic()
    properties = {"max.poll.interval.ms": "3000"}
    with Replica(broker, topic, polar, tmp_path, properties=properties) as replica:
        wait_until(lambda: replica.source.assigned == 1, "it has its partition")
        replica.disk.is_full = True
        produce(broker, topic, [call(0)])
        wait_until(lambda: replica.disk.refused > 0, "the disk has refused it")
        produce(broker, topic, [call(number) for number in range(1, 30)])
        # After 0, 0.25, 0.75, 1.75, 3.75 seconds.
        wait_until(lambda: replica.disk.refused >= 5, "the disk has been asked for longer than that")
        assert replica.source.assigned == 1
        # The rest is better kept in Kafka than in memory.
        assert replica.source.counts["messages"] == 1
        replica.disk.is_full = False
        wait_for_payers(polar, range(30))

    assert replica.source.counts["messages"] == 30


def test_what_was_not_on_disk_when_a_process_ended_comes_to_the_next_one(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """A full disk may be the very reason to start it somewhere else."""
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(4)])
    with Replica(broker, topic, polar, tmp_path / "one") as first:
        first.disk.is_full = True
        wait_until(lambda: first.disk.refused > 0, "the disk has refused it")
    assert broker.committed(topic) is None

    with Replica(broker, topic, polar, tmp_path / "other"):
        wait_for_payers(polar, range(4))


def test_messages_that_come_again_are_billed_once(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """Kafka delivers at least once, and a person may set the offsets back; also into another outbox."""
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(20)])
    with Replica(broker, topic, polar, tmp_path / "one"):
        wait_for_payers(polar, range(20))
    broker.reset(topic, 3)
    produce(broker, topic, [call(20)])

    with Replica(broker, topic, polar, tmp_path / "other") as other:
        wait_for_payers(polar, range(21))
        wait_until(lambda: other.source.counts["messages"] == 18, "all came again")
        assert other.pipeline.force_flush(10.0)

    assert len(payers(polar)) == len(polar.events()) == 21


def test_a_message_that_is_no_otlp_is_said_without_its_content_and_skipped(
    broker: Broker, polar: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them must not hold up everybody's bill, and where it is is enough to find it in the topic."""
    topic = broker.create_topic()
    produce(broker, topic, [call(0), NOT_OTLP, b"\x0a\xff", call(1)])

    with caplog.at_level(logging.DEBUG), Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, [0, 1])
        wait_until(lambda: broker.committed(topic) == 4, "its offset is committed")

    said = "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert f"{topic}, partition 0, offset 1" in said
    assert f"{topic}, partition 0, offset 2" in said
    assert replica.source.counts["unreadable"] == 2
    assert "nobody" not in caplog.text


def test_an_unreadable_message_counts_once_also_where_the_disk_refuses(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """A number that grows with every attempt tells nothing."""
    topic = broker.create_topic()
    produce(broker, topic, [NOT_OTLP, call(0)])
    replica = Replica(broker, topic, polar, tmp_path)
    replica.disk.is_full = True
    with replica:
        wait_until(lambda: replica.disk.refused >= 2, "the disk was asked again")
        replica.disk.is_full = False
        wait_for_payers(polar, [0])

    assert replica.source.counts["unreadable"] == 1


def test_a_mistake_of_ours_stops_one_partition_and_loses_nothing(
    broker: Broker, polar: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read because something is missing or out of memory is no reason to skip it."""
    monkeypatch.setattr("otel_polar.service.kafka.source.LAST_RETRY_S", 2.0)
    topic = broker.create_topic(2)
    replica = Replica(broker, topic, polar, tmp_path)
    read = replica.reader.read_protobuf
    faults: list[str] = []

    def read_with_a_fault(content: bytes) -> CallsRead:
        if b"payer_1" in content and len(faults) < 2:
            faults.append("once more")
            raise ModuleNotFoundError("opentelemetry")
        return read(content)

    monkeypatch.setattr(replica.reader, "read_protobuf", read_with_a_fault)
    with replica:
        produce(broker, topic, [call(0), call(1), call(2)], partition=0)
        produce(broker, topic, [call(3)], partition=1)
        wait_for_payers(polar, [0, 3])
        assert replica.source.problem is not None
        assert "partition 0, stands still before offset 1" in replica.source.problem
        assert broker.committed(topic, 0) == 1
        wait_for_payers(polar, range(4))
        wait_until(lambda: replica.source.is_ready, "it is ready again")

    assert len(faults) == 2


def test_a_broker_that_does_not_answer_a_question_costs_no_message(
    broker: Broker, polar: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that has been polled and not taken would not come again by itself; the offset behind it would."""
    monkeypatch.setattr("otel_polar.service.kafka.source.LAST_RETRY_S", 1.0)
    come_to = Offsets.come_to
    faults: list[int] = []

    def come_to_with_a_fault(offsets: Offsets, place: tuple[str, int], offset: int) -> int:
        if offset in {0, 2} and faults.count(offset) < 2:
            faults.append(offset)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return come_to(offsets, place, offset)

    monkeypatch.setattr(Offsets, "come_to", come_to_with_a_fault)
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(5)])
    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, range(5))
        wait_until(lambda: broker.committed(topic) == 5, "its offset is committed")

    assert faults == [0, 0, 2, 2]
    assert replica.source.counts["messages"] == 5


def test_messages_that_were_deleted_unread_are_said_to_be_lost(
    broker: Broker, polar: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that keeps too little while this is down costs money; nobody would know."""
    topic = broker.create_topic()
    produce(broker, topic, [call(0)])
    with Replica(broker, topic, polar, tmp_path):
        wait_until(lambda: broker.committed(topic) == 1, "its offset is committed")
    produce(broker, topic, [call(number) for number in range(1, 6)])
    broker.delete_before(topic, 4)

    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, [0, 4, 5])

    assert replica.source.counts["deleted"] == 3
    assert "messages 1 to 3" in caplog.text
    assert "CALLS IN THEM ARE LOST" in caplog.text


def test_lag_is_what_is_not_on_disk(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """The one number that says whether there are enough replicas."""
    topic = broker.create_topic()
    produce(broker, topic, [call(0)])
    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, [0])
        replica.disk.is_full = True
        produce(broker, topic, [call(number) for number in range(1, 8)])
        wait_until(lambda: replica.source.lag == 7, "the lag is told")
        replica.disk.is_full = False
        wait_until(lambda: replica.source.lag == 0, "there is none any more")
        wait_for_payers(polar, range(8))
