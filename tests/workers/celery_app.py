"""A Celery application with a pre-forked pool: the worker's main process asks for the work that its children do.

The messages are files below ``$BROKER``, so that no server is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from celery import Celery
from celery.signals import worker_ready
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from otel_polar import bill_to
from tests.workers.application import call, call_for_whoever_asked, start

BROKER: Final = Path(os.environ["BROKER"])
TASKS: Final = int(os.environ["TASKS"])

start()
CeleryInstrumentor().instrument()
call("main")

app = Celery("tests", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": BROKER / "messages",
    "data_folder_out": BROKER / "messages",
    "control_folder": BROKER / "control",
    "polling_interval": 0.02,  # seconds
}
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator] # celery tells no types
def answer() -> None:
    """One call to a model, by a worker that has no line about billing."""
    call_for_whoever_asked()


@worker_ready.connect  # type: ignore[untyped-decorator] # same
def ask(**_: Any) -> None:
    """Ask for work as many users."""
    for number in range(TASKS):
        with bill_to(f"user-{number}"):
            answer.delay()
