"""Applications with outbox files, for the tests of ``otel-polar outbox``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery import worker
from otel_polar.delivery.orders import taking as taking_orders
from otel_polar.delivery.orders.giving import POLL_S
from tests.cli.outbox_support import Applications

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


@pytest.fixture(autouse=True)
def _quick_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applications in this process look for orders as often as a command looks for their answers."""
    monkeypatch.setattr(worker, "LOOK_S", POLL_S)
    monkeypatch.setattr(taking_orders, "LOOK_S", POLL_S)


@pytest.fixture
def applications(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[Applications]:
    made = Applications(polar_sandbox.url, tmp_path)
    yield made
    made.close()
