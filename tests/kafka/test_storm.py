"""Specifies replicas in one group while processes die: every call is at Polar once, with its customer and its cost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.bill import problems, wait_for_all
from tests.collector.traffic import Traffic
from tests.kafka.application import ProducingApplication, replica
from tests.kafka.support import SOON
from tests.servers.polar import Polar

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.broker import Broker
    from tests.servers.serve import Serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180, func_only=True)]

REPLICAS = 3
PARTITIONS = 6
ROUNDS = 8
MOMENT_S = 0.3


@pytest.mark.parametrize("seed", [1])
def test_three_replicas_bill_every_call_once_whoever_is_killed(seed: int, broker: Broker, tmp_path: Path) -> None:
    """Partitions go from one to another at every death, with messages that are on disk and not committed."""
    random = Random(seed)
    topic = broker.create_topic(PARTITIONS)
    with Polar(tmp_path) as polar, ExitStack() as stack:
        replicas = [
            stack.enter_context(replica(broker, topic, polar.url, tmp_path / str(number), SOON))
            for number in range(REPLICAS)
        ]
        application = ProducingApplication(broker, topic, Random(seed))
        with Traffic(application, Random(seed)) as traffic:
            for _ in range(ROUNDS):
                traffic.wait_for_more(random.randint(10, 40))
                time.sleep(random.uniform(0, MOMENT_S))
                _happen(random, broker, replicas, polar)
            traffic.wait_for_more(20)
        wait_for_all(application, polar)
        assert [each.stop() for each in replicas] == [0] * REPLICAS

        assert problems(application, polar) == []


def _happen(random: Random, broker: Broker, replicas: list[Serve], polar: Polar) -> None:
    match random.choice(["replica", "replica", "replicas", "replica for long", "deployment", "broker", "outage"]):
        case "replica":
            random.choice(replicas).restart()
        case "replica for long":
            victim = random.choice(replicas)
            victim.kill()
            # Its session ends, and others get its partitions.
            time.sleep(4)
            victim.start()
        case "replicas":
            victims = random.sample(replicas, 2)
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.start()
        case "deployment":
            leaving = random.choice(replicas)
            assert leaving.stop() == 0
            leaving.start()
        case "broker":
            broker.restart()
        case "outage":
            with polar.outage():
                random.choice(replicas).restart()
