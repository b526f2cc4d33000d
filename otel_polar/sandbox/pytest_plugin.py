"""The pytest plugin: a fixture ``polar_sandbox``, a running local Polar for one test.

It comes with the package, without any import::

    def test_a_call_is_billed(polar_sandbox):
        run_my_application(base_url=polar_sandbox.url)

        (event,) = polar_sandbox.wait_for_events(1)
        assert event["external_customer_id"] == "user_42"

This module is loaded by every pytest run of everyone who has the package installed. So it imports nothing but pytest;
the web server is imported when a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.sandbox.server import SandboxServer


@pytest.fixture
def polar_sandbox() -> Iterator[SandboxServer]:
    """A running local Polar with an empty memory, stopped after the test."""
    try:
        from otel_polar.sandbox.server import SandboxServer  # noqa: PLC0415 - see the module's docstring
    except ModuleNotFoundError as error:
        pytest.fail(
            f"polar_sandbox needs {error.name!r}: pip install 'otel-polar[serve]', or '.[serve]' in a clone",
            pytrace=False,
        )
    with SandboxServer() as server:
        yield server
