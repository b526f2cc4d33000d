"""``otel-polar outbox release`` as users run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.outbox_support import ALICE, Applications, told

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

UNKNOWN = {"gen_ai.response.model": "gpt-9000"}


@pytest.mark.parametrize("is_running", [True, False])
def test_released_calls_are_sent_without_a_cost(
    applications: Applications,
    polar_sandbox: SandboxServer,
    is_running: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Whoever bills by tokens does not wait for a price."""
    pipeline = applications.start(1, 2, customer=ALICE, attributes=UNKNOWN)
    if not is_running:
        applications.end(pipeline)

    asked = applications.run("release", "--all")
    result = applications.run("release", "--model", "gpt-9*", "--yes", "--json")

    assert asked.returncode == 2
    assert "no cost can be added to it later" in asked.stderr
    assert result.returncode == 0, result.stderr
    assert (told(result)["done"], told(result)["calls_without_cost"]) == (2, 2)
    events = polar_sandbox.wait_for_events(2)
    assert [event["metadata"]["total_tokens"] for event in events] == [110, 110]
    assert not [key for event in events for key in event["metadata"] if "cost" in key]
