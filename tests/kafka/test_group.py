"""Specifies a group whose members and brokers come and go: each call once, whoever reads it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.kafka.support import Replica, call, produce, wait_for_payers
from tests.servers.child import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer
    from tests.kafka.broker import Broker

pytestmark = pytest.mark.slow


def test_a_broker_that_is_killed_is_said_once_and_come_back_to(
    broker: Broker, polar: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be down for hours; librdkafka tries again several times a second."""
    topic = broker.create_topic()
    produce(broker, topic, [call(number) for number in range(5)])
    with Replica(broker, topic, polar, tmp_path) as replica:
        wait_for_payers(polar, range(5))
        broker.kill()
        wait_until(lambda: not replica.source.is_ready, "it has noticed")
        assert replica.source.problem == (
            f"Kafka at {broker.address} cannot be reached (_ALL_BROKERS_DOWN, Local: All broker connections are down)"
        )
        broker.start()
        produce(broker, topic, [call(number) for number in range(5, 10)])
        wait_for_payers(polar, range(10))
        wait_until(lambda: replica.source.is_ready, "it is ready again")
        wait_until(lambda: broker.committed(topic) == 10, "its offset is committed")

    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([line for line in lines if "cannot be reached" in line]) == 1
    assert len([line for line in lines if "messages are taken again" in line]) == 1


def test_it_can_be_stopped_while_the_broker_is_down(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """A deployment must not hang because something else is down."""
    topic = broker.create_topic()
    produce(broker, topic, [call(0)])
    replica = Replica(broker, topic, polar, tmp_path)
    with replica:
        wait_for_payers(polar, [0])
        broker.kill()
        try:
            wait_until(lambda: not replica.source.is_ready, "it has noticed")
            assert replica.source.stop(20.0)
        finally:
            broker.start()


def test_a_member_that_joins_and_leaves_costs_nobody_anything(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """Every deployment does it."""
    topic = broker.create_topic(4)
    with Replica(broker, topic, polar, tmp_path / "one") as first:
        wait_until(lambda: first.source.assigned == 4, "it has all partitions")
        for number in range(40):
            produce(broker, topic, [call(number)], partition=number % 4)
        with Replica(broker, topic, polar, tmp_path / "other") as other:
            wait_until(lambda: other.source.assigned == 2, "the other has half of them")
            wait_until(lambda: first.source.assigned == 2, "it has the other half")
            for number in range(40, 80):
                produce(broker, topic, [call(number)], partition=number % 4)
            # What the first one had in hand when it gave a partition away is read again.
            wait_until(lambda: first.source.counts["messages"] + other.source.counts["messages"] >= 80, "all are read")
        wait_until(lambda: first.source.assigned == 4, "it has all partitions again")
        produce(broker, topic, [call(80)], partition=3)
        wait_for_payers(polar, range(81))

    assert len(polar.events()) == 81
    assert other.source.counts["messages"] > 0


def test_what_the_disk_refuses_goes_to_another_member(broker: Broker, polar: SandboxServer, tmp_path: Path) -> None:
    """Of a partition that is taken away, nothing may stay behind: nor may its offset be committed by then."""
    topic = broker.create_topic(2)
    with Replica(broker, topic, polar, tmp_path / "one") as first:
        wait_until(lambda: first.source.assigned == 2, "it has all partitions")
        first.disk.is_full = True
        for partition in (0, 1):
            produce(broker, topic, [call(partition), call(partition + 2)], partition=partition)
        wait_until(lambda: first.disk.refused > 1, "the disk has refused it")
        with Replica(broker, topic, polar, tmp_path / "other") as other:
            wait_until(lambda: other.source.counts["messages"] == 2, "the other has a partition of it")
            first.disk.is_full = False
            wait_for_payers(polar, range(4))

    assert first.disk.taken == other.disk.taken == 2


def test_a_static_member_that_comes_back_has_its_partitions_back(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """With group.instance.id, a restart is no rebalance for anybody."""
    topic = broker.create_topic(4)
    names = [{"group.instance.id": f"replica-{number}"} for number in (1, 2)]
    with Replica(broker, topic, polar, tmp_path / "one", properties=names[0]) as first:
        with Replica(broker, topic, polar, tmp_path / "other", properties=names[1]) as second:
            wait_until(lambda: first.source.assigned == second.source.assigned == 2, "each has half of them")
        assert first.source.assigned == 2
        for partition in range(4):
            produce(broker, topic, [call(partition)], partition=partition)
        with Replica(broker, topic, polar, tmp_path / "other", properties=names[1]):
            wait_for_payers(polar, range(4))
            assert first.source.assigned == 2


def test_a_second_process_with_the_name_of_a_static_member_stops_the_first(
    broker: Broker, polar: SandboxServer, tmp_path: Path
) -> None:
    """Two of them would throw each other out for ever; the one that was there says what to do."""
    topic = broker.create_topic()
    name = {"group.instance.id": "replica-1"}
    with Replica(broker, topic, polar, tmp_path / "one", properties=name) as first:
        wait_until(lambda: first.source.assigned == 1, "it has its partition")
        with Replica(broker, topic, polar, tmp_path / "other", properties=name) as second:
            wait_until(lambda: not first.source.is_ready, "the first is out")
            assert first.source.problem is not None
            assert "Kafka refuses this member for good" in first.source.problem
            produce(broker, topic, [call(0)])
            wait_for_payers(polar, [0])
            assert second.source.is_ready
