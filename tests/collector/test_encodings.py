"""Specifies the forms in which a Collector can send: what can be read is billed, and what cannot is never accepted."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.collector.application import Application, Protocol
from tests.collector.bill import problems, wait_for_all
from tests.collector.collector import DROPPED, Collector, exporters
from tests.servers.child import wait_until
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("grpc", {"compression": "none"}),
        ("http", {"compression": "zlib"}),
        ("http", {"encoding": "json"}),
    ],
    ids=str,
)
def test_what_a_collector_can_be_told_to_send_is_read(
    protocol: Protocol, settings: dict[str, str], binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """JSON too: its ids are hexadecimal and its numbers are texts, as no other JSON has them."""
    with (
        Serve(tmp_path, polar.url) as serve,
        Collector(binary, tmp_path, exporters(serve, protocol, **settings)) as collector,
    ):
        application = Application(collector, Random(1), protocol)
        application.deliver_calls(20)
        application.shutdown()

        wait_for_all(application, polar)
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_compression_that_is_not_known_is_refused_and_never_taken_for_nothing(
    protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """What is acknowledged and not billed is lost without a word; what is refused stands in the Collector's log."""
    with (
        Serve(tmp_path, polar.url) as serve,
        Collector(binary, tmp_path, exporters(serve, protocol, compression="zstd")) as collector,
    ):
        application = Application(collector, Random(1), protocol)
        application.deliver_calls(20)
        application.shutdown()

        wait_until(lambda: bool(collector.has_said(DROPPED)), "the Collector says that it drops them")
        if protocol == "http":
            # Over gRPC, gRPC itself refuses it, and we never hear of it.
            wait_until(lambda: bool(serve.has_said("refused")), "so does the service")
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert polar.events() == []
