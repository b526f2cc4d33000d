"""Polar's API at a sandbox, without a limit of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.polar_api.client import PolarApi
from tests.delivery.support import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def api(polar_sandbox: SandboxServer) -> Iterator[PolarApi]:
    """With nobody else at it."""
    with PolarApi(settings(base_url=polar_sandbox.url, requests_per_minute=100_000), is_patient=True) as api:
        yield api
