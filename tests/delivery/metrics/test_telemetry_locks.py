"""Specifies that delivery waits for nothing that the application's provider of metrics is doing."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor, bill_to
from tests.delivery.metered_providers import CALL, a_provider

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from opentelemetry.metrics import CallbackOptions, Observation

    from otel_polar.sandbox import SandboxServer

DEADLINE_S = 30.0


def test_calls_are_sent_while_the_provider_lets_nobody_in(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The SDK holds its lock over all of a collection; a child forked in the middle of one finds it taken for ever."""
    is_collecting, may_go_on = Event(), Event()
    reader = InMemoryMetricReader()

    def wait(_: CallbackOptions) -> Iterable[Observation]:
        is_collecting.set()
        may_go_on.wait(DEADLINE_S)
        return ()

    with a_provider(reader) as meters:
        meters.get_meter("application").create_observable_gauge("slow", callbacks=[wait])
        collecting = Thread(target=reader.collect)
        collecting.start()
        assert is_collecting.wait(DEADLINE_S)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(
            PolarSpanProcessor(
                access_token="polar_oat_test",
                base_url=polar_sandbox.url,
                outbox_dir=tmp_path,
                settle_s=0.0,
                linger_s=0.0,
            )
        )
        try:
            with bill_to("user_42"):
                provider.get_tracer("application").start_span("chat", attributes=CALL).end()

            assert provider.force_flush(5_000)
        finally:
            may_go_on.set()
            collecting.join()
            provider.shutdown()
