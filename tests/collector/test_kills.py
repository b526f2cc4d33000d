"""Specifies what is left after kills and outages: what a Collector has acknowledged is at Polar, once."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.application import Application, Protocol
from tests.collector.bill import problems, wait_for_all
from tests.collector.collector import Collector, exporters
from tests.collector.traffic import Traffic
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.child import Child
    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

MOMENT_S = 0.1
"""More than a request takes: a kill can come anywhere in it."""


def kill(victims: list[Child], traffic: Traffic, random: Random) -> None:
    """Kill them in the middle of things, and start them again."""
    traffic.wait_for_more(random.randint(10, 30))
    time.sleep(random.uniform(0, MOMENT_S))
    for victim in victims:
        victim.kill()
    # Whoever comes last is missed by the other for a while.
    random.shuffle(victims)
    for victim in victims:
        victim.start()


@pytest.mark.parametrize(
    ("victims", "protocol", "seed"),
    [
        (["collector"], "grpc", 1),
        (["collector"], "http", 2),
        (["serve"], "grpc", 3),
        (["serve"], "http", 4),
        (["collector", "serve"], "grpc", 5),
        (["collector", "serve"], "http", 6),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_what_a_collector_has_acknowledged_is_billed_once_whoever_is_killed(
    victims: list[str], protocol: Protocol, seed: int, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """A machine that dies in an outage is the worst hour there is; nobody works it out by hand afterwards."""
    random = Random(seed)
    with Serve(tmp_path, polar.url) as serve, Collector(binary, tmp_path, exporters(serve, protocol)) as collector:
        children: dict[str, Child] = {"collector": collector, "serve": serve}
        killed = [children[victim] for victim in victims]
        application = Application(collector, Random(seed), protocol)
        with Traffic(application, Random(seed)) as traffic:
            kill(killed, traffic, random)
            with polar.outage():
                kill(killed, traffic, random)
                traffic.wait_for_more(10)
            serve.kill()
            traffic.wait_for_more(random.randint(10, 30))
            if collector in killed:
                collector.restart()
                traffic.wait_for_more(10)
            serve.start()
            kill(killed, traffic, random)
            traffic.wait_for_more(10)

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []
