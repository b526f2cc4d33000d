"""Every kind of call, for threads and tasks, with every instrumentation in either order: one event with the full usage.

What the application gets is compared with what it gets without the hooks and without any instrumentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar import bill_to
from otel_polar.sandbox.openai_api import OpenAIServer
from tests.capture.openai.support import CALLS, SETUPS, instrumented, run, run_async, vendor_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.capture.conftest import MakeApp


@pytest.fixture(scope="module")
def vendor() -> Iterator[OpenAIServer]:
    with OpenAIServer(usage=vendor_usage) as server:
        yield server


@pytest.fixture(scope="module")
def expected(vendor: OpenAIServer) -> dict[str, list[str]]:
    """The results of each call without anything."""
    return {name: run(call, vendor) for name, call in CALLS.items()}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("setup", SETUPS)
def test_one_call_is_one_event_with_the_full_usage_and_its_results_are_untouched(
    make_app: MakeApp,
    vendor: OpenAIServer,
    expected: dict[str, list[str]],
    *,
    setup: str,
    name: str,
    is_async: bool,
) -> None:
    """Whatever the instrumentation leaves out, and whichever was there first."""
    app = make_app()
    with instrumented(setup, app.provider), bill_to("user_42"):
        results = (run_async if is_async else run)(CALLS[name], vendor)

    assert results == expected[name]
    (body,) = app.bodies()
    metadata = body["metadata"]
    assert body["external_customer_id"] == "user_42"
    usage = [metadata[key] for key in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")]
    assert usage == ([8, 0, 0, 0] if name == "embeddings" else [1_000, 50, 800, 20])
    assert "estimated" not in metadata
