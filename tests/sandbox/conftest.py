from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from polar.v2026_10 import Polar

from otel_polar.sandbox import SandboxServer
from tests.sandbox.support import NOON, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """A sandbox at noon."""
    with SandboxServer(now=lambda: NOON) as running:
        yield running


@pytest.fixture
def polar(server: SandboxServer) -> Iterator[Polar]:
    """Polar's own SDK, pointed at the sandbox."""
    with Polar(TOKEN, base_url=server.url) as client:
        yield client
