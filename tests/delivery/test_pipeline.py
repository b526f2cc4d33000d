"""Specifies the engine of one process: record, wake, deliver, flush, shut down."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import NotBilled
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.reading import read_call
from otel_polar.billing.span import SpanRecord
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.pipeline import Pipeline
from tests.delivery.support import START_UNIX_NANO, full_disk, let_go, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

ALICE = Customer(external_customer_id="alice")


def a_span(number: int = 0, **attributes: object) -> SpanRecord:
    return SpanRecord(
        name="chat gpt-4o-mini",
        trace_id=f"{number + 1:032x}",
        span_id=f"{number + 1:016x}",
        start_time_unix_nano=START_UNIX_NANO,
        end_time_unix_nano=START_UNIX_NANO + 1,
        failed=False,
        scope_name="opentelemetry.util.genai.handler",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            **attributes,
        },
        resource_attributes={},
    )


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Pipelines that are shut down after the test."""
    made: list[Pipeline] = []

    def make(base_url: str, **options: Any) -> Pipeline:
        made.append(Pipeline(settings(base_url=base_url, **{"outbox_dir": tmp_path, **options})))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.shutdown()
        for outbox in pipeline.outboxes:
            outbox.close()


def test_a_call_is_delivered_by_itself(polar_sandbox: SandboxServer, make_pipeline: Callable[..., Pipeline]) -> None:
    """Nobody has to flush in a process that lives."""
    pipeline = make_pipeline(polar_sandbox.url, settle_s=0.05, linger_s=0.05)

    pipeline.take(a_span(), ALICE, {})

    (event,) = polar_sandbox.wait_for_events(1)
    assert (event["external_customer_id"], event["metadata"]["total_tokens"]) == ("alice", 110)


def test_calls_after_an_idle_time_are_delivered_by_themselves(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """The thread that sleeps because nothing waits is woken by the next call."""
    pipeline = make_pipeline(polar_sandbox.url)
    for number in range(3):
        pipeline.take(a_span(number), ALICE, {})
        polar_sandbox.wait_for_events(number + 1, timeout_s=5)

    assert len(polar_sandbox.events()) == 3


def test_a_flush_neither_rests_nor_lingers(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """A serverless function is frozen as soon as it answers."""
    pipeline = make_pipeline(polar_sandbox.url, settle_s=3_600, linger_s=3_600)
    pipeline.take(a_span(), ALICE, {})

    assert pipeline.force_flush(10)
    assert len(polar_sandbox.events()) == 1


def test_a_flush_with_nothing_to_do_is_done(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """Held calls are not waited for: they leave by a person's decision."""
    pipeline = make_pipeline(polar_sandbox.url)
    pipeline.take(a_span(), Unattributed("nobody"), {})

    assert pipeline.force_flush(10)
    assert pipeline.force_flush(10)
    assert pipeline.outboxes[0].counts() == {State.UNATTRIBUTED: 1}


def test_a_shutdown_does_not_wait_for_a_polar_that_is_down(
    make_pipeline: Callable[..., Pipeline],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A command-line tool must not take five seconds to end because of billing: it is on disk."""
    pipeline = make_pipeline("http://127.0.0.1:9", shutdown_timeout_s=60)
    pipeline.take(a_span(), ALICE, {})
    began = time.monotonic()

    pipeline.shutdown()

    assert time.monotonic() - began < 30
    assert "Polar at http://127.0.0.1:9 cannot be reached" in caplog.text
    assert "1 calls wait on disk" in caplog.text


def test_a_flush_asks_polar_again_although_the_last_failure_was_a_moment_ago(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """The outage may be over, and the caller has no time to back off."""
    pipeline = make_pipeline(polar_sandbox.url, settle_s=0.0, linger_s=0.0)
    for _ in range(2):
        polar_sandbox.answer_next(503)
    pipeline.take(a_span(), ALICE, {})

    assert pipeline.force_flush(30)
    assert len(polar_sandbox.events()) == 1


def test_our_own_requests_are_not_traced(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """Otherwise an instrumented HTTP client would make a span of every delivery."""
    pipeline = make_pipeline(polar_sandbox.url)
    pipeline.take(a_span(), ALICE, {})
    pipeline.force_flush(10)

    (request,) = polar_sandbox.ingest_requests
    assert "traceparent" not in request.headers


def test_a_disk_that_fails_is_said_and_memory_takes_over(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Loudly, because such calls do not survive the process; and delivered all the same."""
    pipeline = make_pipeline(polar_sandbox.url)

    with full_disk(pipeline.outboxes[0]):
        pipeline.take(a_span(1), ALICE, {})
        pipeline.take(a_span(2), ALICE, {})

    polar_sandbox.wait_for_events(2)
    said = [record.getMessage() for record in caplog.records if "kept in memory" in record.getMessage()]
    assert len(said) == 1


def test_a_call_that_neither_disk_nor_memory_takes_is_counted_as_lost(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It must not raise into the application, and must not vanish silently."""
    pipeline = make_pipeline(polar_sandbox.url)

    with full_disk(pipeline.outboxes[0]):
        pipeline.take(a_span(1), ALICE, {})
        pipeline.outboxes[1].database.write("DROP TABLE intake", ())
        pipeline.take(a_span(2), ALICE, {})

    assert pipeline.counts["lost"] == 1
    assert "MODEL CALLS ARE LOST" in caplog.text


def test_what_is_not_billed_is_counted_by_its_reason(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An agent's totals are not worth a word; tokens under an unknown operation are."""
    pipeline = make_pipeline(polar_sandbox.url)
    agent = a_span(1, **{"gen_ai.operation.name": "invoke_agent"})
    unknown = a_span(2, **{"gen_ai.operation.name": "translate"})
    assert isinstance(read_call(agent), NotBilled)

    for span in (agent, unknown, unknown):
        pipeline.take(span, ALICE, {})

    assert pipeline.counts == {
        "not billed: operation invoke_agent is not a single call": 1,
        "not billed: operation is not a known model call": 2,
    }
    assert len(caplog.records) == 1


def test_unattributed_calls_can_be_dropped_and_are_counted(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """Whoever bills only some customers does not want the others on disk."""
    pipeline = make_pipeline(polar_sandbox.url, on_unattributed="drop")

    pipeline.take(a_span(), Unattributed("nobody"), {})

    assert pipeline.force_flush(10.0)
    assert pipeline.counts["dropped: unattributed"] == 1
    assert pipeline.outboxes[0].counts() == {}
    assert pipeline.outboxes[0].counts() == {}


def test_a_held_call_is_decided_again_by_the_next_process(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
    tmp_path: Path,
) -> None:
    """A user function that was mended, or a new price list, finds what waited for it."""

    def broken(_call: object) -> str:
        raise KeyError("plan")

    first = make_pipeline(polar_sandbox.url, event_name=broken)
    first.take(a_span(), ALICE, {})
    assert first.force_flush(10)
    assert first.outboxes[0].counts() == {State.UNBUILDABLE: 1}
    first.shutdown()
    let_go(first)

    make_pipeline(polar_sandbox.url, outbox_dir=tmp_path)

    polar_sandbox.wait_for_events(1)


def test_many_threads_record_at_once_and_each_call_is_sent_once(
    polar_sandbox: SandboxServer,
    make_pipeline: Callable[..., Pipeline],
) -> None:
    """An application ends spans on all its threads while the delivery thread works on the same file."""
    pipeline = make_pipeline(polar_sandbox.url, settle_s=0.01, linger_s=0.01, requests_per_minute=60_000)

    def work(name: int) -> None:
        for number in range(100):
            pipeline.take(a_span(name * 1_000 + number), ALICE, {})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert pipeline.force_flush(30)
    ids = [event["external_id"] for event in polar_sandbox.events()]
    assert (len(ids), len(set(ids))) == (800, 800)
