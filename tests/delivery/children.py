"""Child processes that are really killed: an application with a processor, in a few lines.

Run as ``python -m tests.delivery.children <what> <base_url> <outbox_dir> <count>``. Each prints ``ready`` when it has
recorded its calls, with which the test knows that ``on_end`` has returned for every one of them.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor, bill_to
from tests.delivery.support import TOKEN


def make_provider(base_url: str, outbox_dir: str, settle_s: float = 0.0) -> tuple[TracerProvider, PolarSpanProcessor]:
    """A provider with our processor, as an application has it."""
    provider = TracerProvider(shutdown_on_exit=False)
    processor = PolarSpanProcessor(access_token=TOKEN, base_url=base_url, outbox_dir=outbox_dir, settle_s=settle_s)
    provider.add_span_processor(processor)
    return provider, processor


def make_calls(provider: TracerProvider, count: int, user: str = "user_42") -> None:
    """Spans as an instrumentation of an LLM client makes them."""
    tracer = provider.get_tracer("opentelemetry.util.genai.handler")
    with bill_to(user):
        for _ in range(count):
            attributes: dict[str, str | int] = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 10,
            }
            tracer.start_span("chat gpt-4o-mini", attributes=attributes).end()


def say(word: str) -> None:
    """Tell the test, which reads our standard output."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def record_and_wait(base_url: str, outbox_dir: str, count: int) -> None:
    """Record calls that rest for an hour, and wait to be killed."""
    provider, _ = make_provider(base_url, outbox_dir, settle_s=3_600)
    make_calls(provider, count)
    say("ready")
    signal.pause()


def record_and_exit_hard(base_url: str, outbox_dir: str, count: int) -> None:
    """Record calls and leave without any clean-up."""
    provider, _ = make_provider(base_url, outbox_dir, settle_s=3_600)
    make_calls(provider, count)
    say("ready")
    os._exit(0)


def record_and_deliver(base_url: str, outbox_dir: str, count: int) -> None:
    """Record calls, deliver them with everything found in the directory, and end as a program ends."""
    provider, processor = make_provider(base_url, outbox_dir)
    make_calls(provider, count)
    deadline = time.monotonic() + 20
    # What another process left is adopted by the delivery thread; a flush waits for what is known.
    while not processor.force_flush(5_000) and time.monotonic() < deadline:
        pass
    provider.shutdown()
    say("ready")


def fork_and_record(base_url: str, outbox_dir: str, count: int) -> None:
    """Record before a fork, then in the child and in the parent, and deliver in both."""
    provider, processor = make_provider(base_url, outbox_dir)
    make_calls(provider, count, "before")
    pid = os.fork()
    if pid == 0:
        make_calls(provider, count, "child")
        delivered = processor.force_flush(20_000)
        os._exit(0 if delivered else 1)
    make_calls(provider, count, "parent")
    _, status = os.waitpid(pid, 0)
    delivered = processor.force_flush(20_000)
    say("ready" if delivered and os.waitstatus_to_exitcode(status) == 0 else "not delivered")


def fork_and_die(base_url: str, outbox_dir: str, count: int) -> None:
    """Record, fork a child that lives on and never records, and die: the child must not keep the file."""
    provider, _ = make_provider(base_url, outbox_dir, settle_s=3_600)
    make_calls(provider, count)
    if os.fork() == 0:
        signal.pause()
    say("ready")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    what, url, directory, number = sys.argv[1:]
    globals()[what](url, directory, int(number))
