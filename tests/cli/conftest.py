"""Applications with outbox files, for the tests of ``otel-polar outbox``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.outbox_support import Applications

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def applications(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[Applications]:
    made = Applications(polar_sandbox.url, tmp_path)
    yield made
    made.close()
