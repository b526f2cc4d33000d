"""What the tests of disk trouble share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.delivery.children import make_provider
from tests.disk.mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from opentelemetry.sdk.trace import TracerProvider

    from otel_polar import PolarSpanProcessor

    Start: TypeAlias = Callable[..., tuple[TracerProvider, PolarSpanProcessor]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    with mounted(tmp_path / "disk") as place:
        yield place


@pytest.fixture
def start() -> Iterator[Start]:
    """Applications with a processor, in this process; shut down after the test."""
    started: list[tuple[TracerProvider, PolarSpanProcessor]] = []

    def begin(base_url: str, outbox_dir: Path, settle_s: float = 0.0) -> tuple[TracerProvider, PolarSpanProcessor]:
        started.append(make_provider(base_url, str(outbox_dir), settle_s))
        return started[-1]

    yield begin
    for provider, processor in started:
        provider.shutdown()
        if processor.pipeline is not None and (own := processor.pipeline._storage._own) is not None:
            own.release()
