"""A Celery application in one process: a web request that asks for work, and a worker that does it.

Run as a child by ``test_celery``. Prints whom each call was billed to, in the order of the calls.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from celery import Celery
from celery.contrib.testing.worker import start_worker
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_polar import PolarInstrumentor, bill_to
from otel_polar.capture.propagator import PolarBaggagePropagator
from tests.capture.support import CHAT

app = Celery("tests", broker="memory://", backend="cache+memory://")
app.conf.broker_transport_options = {"polling_interval": 0.02}  # seconds


@app.task  # type: ignore[untyped-decorator] # celery tells no types
def answer() -> None:
    """One call to a model, by a worker that has no line about billing."""
    trace.get_tracer("tests").start_span("chat", attributes=CHAT).end()


def main() -> None:
    """Ask for work as three users."""
    if sys.argv[1] == "guarded":
        guarded = CompositePropagator([TraceContextTextMapPropagator(), PolarBaggagePropagator()])
        propagate.set_global_textmap(guarded)
    trace.set_tracer_provider(TracerProvider())
    PolarInstrumentor().instrument(
        base_url="http://127.0.0.1:9", access_token="polar_oat_test", outbox_dir=Path(os.environ["OUTBOX"])
    )
    CeleryInstrumentor().instrument()
    with start_worker(app, perform_ping_check=False, pool="solo"):
        for user in ("alice", "bob", None):
            with bill_to(user):
                answer.delay().get(timeout=30, interval=0.02)
    processor = PolarInstrumentor().processor
    assert processor is not None
    assert processor.pipeline is not None
    recorded = processor.pipeline.outboxes[0].recorded(limit=10)
    customers = [json.loads(row.call)["customer"] for row in recorded]
    sys.stdout.write(json.dumps([customer.get("external_id") for customer in customers]) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
