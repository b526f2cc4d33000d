"""Specifies the usual day: an application, a real Collector, ``otel-polar serve``, Polar."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.application import Application, Protocol
from tests.collector.bill import problems, wait_for_all
from tests.collector.collector import Collector, exporters
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_call_behind_a_collector_is_one_event(
    protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """It is what the service is for: whose call, which tokens, at what cost, once; however instrumented."""
    with Serve(tmp_path, polar.url) as serve, Collector(binary, tmp_path, exporters(serve, protocol)) as collector:
        application = Application(collector, Random(1), protocol)
        for _ in range(10):
            application.deliver_calls(10)
        application.shutdown()

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert len(application.calls) == 100
    assert problems(application, polar) == []
