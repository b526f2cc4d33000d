"""The Collector's binary, and a Polar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.collector.build import NoGoError, collector
from tests.servers.polar import Polar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def binary() -> Path:
    """A Collector; building it takes minutes, once."""
    try:
        return collector()
    except NoGoError as error:
        pytest.skip(str(error))


@pytest.fixture
def polar(tmp_path: Path) -> Iterator[Polar]:
    """A Polar of one's own."""
    with Polar(tmp_path) as polar:
        yield polar
