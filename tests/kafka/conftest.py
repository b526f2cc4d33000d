"""A broker for all tests that leave it in peace, or at least alive, and a Polar for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.sandbox import SandboxServer
from tests.kafka.broker import Broker
from tests.kafka.build import CannotBuildError, build

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker; every test has topics of its own."""
    try:
        jars = build()
    except CannotBuildError as error:
        pytest.skip(str(error))
    with Broker(jars, tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def polar() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server
