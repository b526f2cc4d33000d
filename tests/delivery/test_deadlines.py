"""Specifies that whoever flushes or shuts down gets its thread back in time, whatever Polar does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor
from tests.delivery.children import make_calls
from tests.delivery.support import TOKEN
from tests.delivery.wire import STUCK, Polar, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

CALLS: Final = 3
BUDGET_S: Final = 0.5
SLACK_S: Final = 10.0
"""What a busy machine may take on top; the requests themselves would take as long as the tests have."""


@pytest.fixture
def make_processor(tmp_path: Path) -> Iterator[Callable[..., PolarSpanProcessor]]:
    """Processors with three calls each, which are shut down after the test."""
    made: list[PolarSpanProcessor] = []

    def make(wire: Wire, **options: Any) -> PolarSpanProcessor:
        processor = PolarSpanProcessor(
            access_token=TOKEN,
            base_url=wire.url,
            outbox_dir=tmp_path,
            settle_s=0.0,
            linger_s=0.0,
            shutdown_timeout_s=BUDGET_S,
            **{"request_timeout_s": 600.0, **options},
        )
        made.append(processor)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        make_calls(provider, CALLS)
        return processor

    yield make
    for processor in made:
        processor.shutdown()


@pytest.mark.parametrize("polar", STUCK)
def test_a_flush_is_back_in_time_and_says_what_waits(
    polar: Polar,
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller is about to be frozen, or to answer a user, and said how long it has."""
    with Wire(polar_sandbox.url, polar) as wire:
        processor = make_processor(wire)
        wire.wait_for_request()
        began = time.monotonic()

        assert not processor.force_flush(timeout_millis=int(1_000 * BUDGET_S))

        assert BUDGET_S <= time.monotonic() - began < BUDGET_S + SLACK_S
        assert f"{CALLS} calls wait on disk" in caplog.text


@pytest.mark.parametrize("polar", STUCK)
def test_a_shutdown_is_back_in_time_and_says_what_waits(
    polar: Polar,
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An orchestrator kills a container that does not end, and with it whatever else would have been saved."""
    with Wire(polar_sandbox.url, polar) as wire:
        processor = make_processor(wire)
        wire.wait_for_request()
        began = time.monotonic()

        processor.shutdown()

        assert BUDGET_S <= time.monotonic() - began < BUDGET_S + SLACK_S
        assert f"{CALLS} calls wait on disk; the next process" in caplog.text


def test_many_flushes_at_once_keep_their_own_deadlines(
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
) -> None:
    """A server flushes at the end of every request: none may wait for the longest of the others."""
    with Wire(polar_sandbox.url, Polar.HANGS) as wire:
        processor = make_processor(wire)
        long_one = threading.Thread(target=processor.force_flush, args=(60_000,))
        long_one.start()
        began = time.monotonic()
        assert not processor.force_flush(timeout_millis=int(1_000 * BUDGET_S))
        assert time.monotonic() - began < BUDGET_S + SLACK_S
        wire.let_answer()
        long_one.join(SLACK_S)

        assert not long_one.is_alive()
        assert len(polar_sandbox.events()) == CALLS


@pytest.mark.parametrize("polar", STUCK)
def test_an_answer_that_never_ends_is_given_up_when_a_request_has_taken_its_time(
    polar: Polar,
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
) -> None:
    """Otherwise nothing of this process is billed any more, and nobody hears of it."""
    with Wire(polar_sandbox.url, polar) as wire:
        processor = make_processor(wire, request_timeout_s=BUDGET_S)
        wire.wait_for_request()
        wire.let_answer()

        assert processor.force_flush(timeout_millis=30_000)
        assert len(polar_sandbox.events()) == CALLS


def test_a_flush_without_time_only_tells_whether_something_waits(
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
) -> None:
    """A function of which nothing is left of its time still has to know whether it can be frozen."""
    with Wire(polar_sandbox.url) as wire:
        processor = make_processor(wire)
        assert processor.force_flush(timeout_millis=30_000)

        assert processor.force_flush(timeout_millis=0)


def test_a_flush_after_the_shutdown_does_not_promise_what_this_process_does_not_do_any_more(
    polar_sandbox: SandboxServer,
    make_processor: Callable[..., PolarSpanProcessor],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who reads the log has to know whether somebody must be started."""
    with Wire(polar_sandbox.url, Polar.HANGS) as wire:
        processor = make_processor(wire)
        assert not processor.force_flush(timeout_millis=1)
        processor.shutdown()
        assert not processor.force_flush(timeout_millis=60_000)

    waits = [line.getMessage().partition("; ")[2] for line in caplog.records if "wait on disk" in line.getMessage()]
    assert waits == [
        "this process sends them",
        "the next process with this outbox directory sends them",
        "the next process with this outbox directory sends them",
    ]
