"""What the tests of disk trouble share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar import PolarSpanProcessor
    from otel_polar.delivery.disk.storage import Storage
    from otel_polar.sandbox import SandboxServer


def storage_of(processor: PolarSpanProcessor) -> Storage:
    """Where its calls lie."""
    assert processor.pipeline is not None
    return processor.pipeline._storage


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Until it holds; fails after a while."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def flush(processor: PolarSpanProcessor, timeout_s: float = 30.0) -> None:
    """Until everything has been sent: a damaged or full outbox makes a step wait, and the next one goes on."""
    wait_until(lambda: processor.force_flush(1_000), timeout_s)


def sent_once(server: SandboxServer) -> int:
    """How many events Polar has, each once."""
    ids = [event["external_id"] for event in server.events()]
    assert len(ids) == len(set(ids))
    return len(ids)
