"""Specifies that ``otel-polar replay`` reads what a Collector's file exporter writes, whatever it is told to write."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import run_command
from tests.collector.application import Application
from tests.collector.bill import problems
from tests.collector.collector import Collector

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

NATIVE = "exporter.file.nativeCompression"


@pytest.mark.parametrize(
    ("settings", "gates"),
    [
        ({}, []),
        ({"format": "proto"}, []),
        ({"compression": "zstd"}, []),
        ({"format": "proto", "compression": "zstd"}, []),
        ({"compression": "zstd"}, [NATIVE]),
        ({"format": "proto", "compression": "zstd"}, [NATIVE]),
        ({"compression": "zstd", "rotation": {"max_megabytes": 1}}, [NATIVE]),
    ],
    ids=str,
)
def test_every_call_in_the_files_of_a_collector_is_billed_once(
    settings: dict[str, object], gates: list[str], binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """They are what is left when the service was away for longer than its senders wait."""
    stored = tmp_path / "stored"
    stored.mkdir()
    exporter = {"file": {"path": str(stored / "spans"), **settings}}
    with Collector(binary, tmp_path, exporter, feature_gates=gates) as collector:
        application = Application(collector, Random(1), "grpc")
        for _ in range(5):
            application.deliver_calls(20)
        application.shutdown()
        assert collector.stop() == 0
    env = {
        "POLAR_ACCESS_TOKEN": "polar_oat_test",
        "POLAR_BASE_URL": polar.url,
        "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox"),
        "OTEL_POLAR_TAGS": "call",
        "HOME": str(tmp_path),
    }

    for _ in range(2):
        result = run_command("replay", "--yes", str(stored), env=env)

        assert result.returncode == 0, result.stderr
        assert len(polar.events()) == len(application.calls) == 100
        assert problems(application, polar) == []
