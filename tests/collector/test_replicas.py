"""Specifies several replicas: the same exactness, whichever of them a span comes to, and whichever of them dies."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.application import Application
from tests.collector.balancer import Balancer
from tests.collector.bill import problems, wait_for_all
from tests.collector.collector import Collector, balanced, over_http
from tests.collector.traffic import Traffic
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


def replicas(count: int, tmp_path: Path, polar: Polar, stack: ExitStack) -> list[Serve]:
    """So many, each with an outbox of its own, started together."""
    serves = [Serve(tmp_path / name, polar.url, name=f"replica {name}") for name in "abcdefg"[:count]]
    return [stack.enter_context(serve) for serve in serves]


def test_replicas_that_die_in_turn_bill_every_call_once(binary: Path, polar: Polar, tmp_path: Path) -> None:
    """Also a call that two spans tell of: a balancer that goes by the trace brings them to one replica."""
    random = Random(7)
    with ExitStack() as stack:
        serves = replicas(3, tmp_path, polar, stack)
        exporters = balanced([serve.grpc_port for serve in serves])
        collector = stack.enter_context(Collector(binary, tmp_path, exporters))
        application = Application(collector, Random(7))
        with Traffic(application, Random(7)) as traffic:
            for number, serve in enumerate(random.sample(serves * 2, 6)):
                traffic.wait_for_more(random.randint(5, 30))
                serve.kill()
                traffic.wait_for_more(random.randint(5, 30))
                if number % 3 == 2:
                    # What waits for the missing one must not be in its memory.
                    collector.restart()
                serve.start()
            with polar.outage():
                traffic.wait_for_more(20)
                serves[0].restart()
                traffic.wait_for_more(20)

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert [serve.stop() for serve in serves] == [0, 0, 0]

    assert problems(application, polar) == []


def test_what_comes_to_two_replicas_is_billed_once(binary: Path, polar: Polar, tmp_path: Path) -> None:
    """Behind a plain balancer an answer that is lost sends the same calls to another replica; Polar hears of both."""
    random = Random(8)
    with ExitStack() as stack:
        serves = replicas(3, tmp_path, polar, stack)
        balancer = stack.enter_context(
            Balancer([serve.http_port for serve in serves], loses=lambda: random.random() < 0.3)
        )
        # A connection that is kept would keep its replica.
        exporters = over_http(balancer.port, disable_keep_alives=True)
        collector = stack.enter_context(Collector(binary, tmp_path, exporters))
        application = Application(collector, Random(8))
        for number in range(40):
            for _ in range(3):
                application.call("with a strong id" if number % 2 else "without an id")
            application.deliver()
            if number == 20:
                serves[1].restart()
        application.shutdown()

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert [serve.stop() for serve in serves] == [0, 0, 0]

    assert problems(application, polar) == []
    assert balancer.lost > 0
    assert balancer.used == {serve.http_port for serve in serves}


def test_a_rolling_update_costs_nothing(binary: Path, polar: Polar, tmp_path: Path) -> None:
    """It is the usual end of a replica: what it has taken it sends, and what it does not take waits."""
    with ExitStack() as stack:
        serves = replicas(2, tmp_path, polar, stack)
        exporters = balanced([serve.grpc_port for serve in serves])
        collector = stack.enter_context(Collector(binary, tmp_path, exporters))
        application = Application(collector, Random(9))
        with Traffic(application, Random(9)) as traffic:
            for serve in serves:
                traffic.wait_for_more(20)
                assert serve.stop() == 0
                serve.start()
            traffic.wait_for_more(20)

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert [serve.stop() for serve in serves] == [0, 0]

    assert problems(application, polar) == []
