"""What all programs of these tests have in common: an application that is billed as its environment says."""

from __future__ import annotations

import os
import sys
from typing import Final
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.delivery import step, worker

CHAT: Final[dict[str, str | int]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}


if "IDLE_S" in os.environ:
    # Instead of half a minute, after which a living process looks for files without an owner. For good.
    for module in (step, worker):
        patch.object(module, "IDLE_S", float(os.environ["IDLE_S"])).start()


def start() -> PolarSpanProcessor:
    """The three lines of an application; like any provider it is shut down when the interpreter exits."""
    provider = TracerProvider()
    processor = PolarSpanProcessor()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return processor


def call(user: str) -> None:
    """One call to a model, for which *user* pays. When this returns it is on disk."""
    with bill_to(user):
        call_for_whoever_asked()


def call_for_whoever_asked() -> None:
    """One call to a model, for which the user of the context pays."""
    trace.get_tracer("opentelemetry.util.genai.handler").start_span("chat gpt-4o-mini", attributes=CHAT).end()


def bill(*users: str) -> None:
    """One call for each, and tell the test of it."""
    for user in users:
        call(user)
        # One write: parent and child share the file.
        os.write(1, f"{user}\n".encode())


def told(word: str) -> None:
    """Wait until the test says *word*."""
    assert sys.stdin.readline().strip() == word
