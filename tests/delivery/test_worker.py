"""Specifies the thread of delivery: when it runs, and what stops it from running."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.delivery.notices import Notices
from otel_polar.delivery.step import NO_REST, Step
from otel_polar.delivery.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.delivery.step import Rest


class CountedDelivery:
    """Steps that do nothing but let the test wait for them, and may fail."""

    rest = NO_REST

    def __init__(self, failures: int = 0) -> None:
        self.steps = threading.Semaphore(0)
        self.failures = failures

    def step(self, _rest: Rest) -> Step:
        self.steps.release()
        if self.failures:
            self.failures -= 1
            raise LookupError("a prompt")
        return Step(wait_s=3_600.0, is_done=True)

    def has_orders(self) -> bool:
        return False

    def is_empty(self) -> bool:
        return True

    def retry_now(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def make_worker() -> Iterator[Callable[[Any], Worker]]:
    made: list[Worker] = []

    def make(delivery: Any) -> Worker:
        made.append(Worker(delivery, lambda: None, Notices()))
        return made[-1]

    yield make
    for worker in made:
        worker.stop(5)


def test_a_thread_that_sleeps_is_woken_by_what_is_new(make_worker: Callable[[Any], Worker]) -> None:
    """Each waking leads to a step, also one that comes while a step runs."""
    delivery = CountedDelivery()
    worker = make_worker(delivery)

    for _ in range(20):
        worker.wake()
        assert delivery.steps.acquire(timeout=5)


def test_a_thread_that_cannot_be_started_is_started_by_the_next_call(
    make_worker: Callable[[Any], Worker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A process at its limit of threads has room again some day; until then calls stay on disk."""

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    delivery = CountedDelivery()
    worker = make_worker(delivery)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        worker.wake()
        assert worker.needs_waking
        worker.wake()

    worker.wake()

    assert delivery.steps.acquire(timeout=5)
    assert [record.getMessage() for record in caplog.records] == [
        "the delivery thread cannot be started (can't start new thread); calls stay on disk"
    ]


def test_a_step_that_fails_does_not_end_the_thread_nor_show_what_it_worked_on(
    make_worker: Callable[[Any], Worker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong, tomorrow's calls are billed; and an error's words may be part of an event."""
    monkeypatch.setattr("otel_polar.delivery.worker.AFTER_ERROR_S", 0.0)
    delivery = CountedDelivery(failures=1)
    worker = make_worker(delivery)

    assert worker.drain(10)

    assert "LookupError in step, test_worker.py:" in caplog.text
    assert "a prompt" not in caplog.text


class StuckDelivery(CountedDelivery):
    """A step that waits for Polar until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def step(self, rest: Rest) -> Step:
        self.released.wait()
        return super().step(rest)


def test_a_second_stop_waits_no_second_time(make_worker: Callable[[Any], Worker]) -> None:
    """An application shuts down what it made, and its provider does so once more when the interpreter exits."""
    delivery = StuckDelivery()
    worker = make_worker(delivery)
    worker.start()
    assert not worker.stop(0.05)

    assert not worker.stop(3_600)

    delivery.released.set()
