"""Specifies a real Collector in front of a real broker: what it has acknowledged is billed once, whoever is killed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.bill import problems, wait_for_all
from tests.collector.build import NoGoError, collector
from tests.collector.collector import NOTHING_IS_LOST, Collector
from tests.collector.traffic import Traffic
from tests.kafka.application import WholeBatches, replica
from tests.kafka.support import SOON
from tests.servers.polar import Polar

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.broker import Broker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180, func_only=True)]


@pytest.fixture(scope="module")
def binary() -> Path:
    """A Collector; building it takes minutes, once."""
    try:
        return collector()
    except NoGoError as error:
        pytest.skip(str(error))


def over_kafka(broker: Broker, topic: str, **producer: Any) -> dict[str, Any]:
    """An exporter that loses nothing, and gives all spans of a trace to one partition.

    By default it waits for one replica of the topic only, refuses a message of more than a megabyte for good, and gives
    up after five minutes.
    """
    settings = {
        "brokers": [broker.address],
        "client_id": "otel-polar-tests",
        "timeout": "3s",
        "traces": {"topic": topic, "encoding": "otlp_proto"},
        "partition_traces_by_id": True,
        "producer": {
            "required_acks": "all",
            "max_message_bytes": 16_000_000,
            "compression": "zstd",
            "allow_auto_topic_creation": False,
            **producer,
        },
    }
    return {"kafka": {**settings, **NOTHING_IS_LOST}}


def test_what_a_collector_writes_to_a_topic_is_billed_once_whoever_is_killed(
    binary: Path, broker: Broker, tmp_path: Path
) -> None:
    """Collector, queue, broker and replicas each lose what was in their memory, and no call with it."""
    random = Random(7)
    topic = broker.create_topic(4)
    with (
        Polar(tmp_path) as polar,
        replica(broker, topic, polar.url, tmp_path / "one", SOON) as one,
        replica(broker, topic, polar.url, tmp_path / "other", SOON) as other,
        Collector(binary, tmp_path, over_kafka(broker, topic)) as collector,
    ):
        application = WholeBatches(collector, random)
        with Traffic(application, random) as traffic:
            traffic.wait_for_more(40)
            broker.kill()
            # They are in the queue on disk.
            traffic.wait_for_more(40)
            collector.restart()
            traffic.wait_for_more(20)
            broker.start()
            traffic.wait_for_more(20)
            one.restart()
            traffic.wait_for_more(20)
            assert other.stop() == 0
            traffic.wait_for_more(20)
            other.start()
            collector.restart()
            traffic.wait_for_more(20)

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert [one.stop(), other.stop()] == [0, 0]

        assert problems(application, polar) == []
