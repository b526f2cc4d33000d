"""Node.js, a local OpenAI, and somebody who takes OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.collector.conftest import binary, polar
from tests.nodejs.node import NoNodeError, node_modules
from tests.nodejs.receiver import Receiver, a_receiver
from tests.nodejs.vendor import Vendor, a_vendor

__all__ = ["binary", "packages", "polar", "receiver", "vendor"]

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """What npm installs takes a while, once."""
    try:
        node_modules()
    except NoNodeError as error:
        pytest.skip(str(error))


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """An OpenAI of one's own."""
    with a_vendor() as vendor:
        yield vendor


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who takes OTLP."""
    with a_receiver() as receiver:
        yield receiver
