"""What recording costs where a sampler drops a span, and what the hooks cost a call of the ``openai`` client.

A dropped span is compared with one that is sampled; a call with the hooks with the same call without, both answered by
a transport in memory, so that nothing but the client is measured. Both of a pair run alternately.
"""

from __future__ import annotations

import json
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otel_polar import BillingSampler
from otel_polar.capture.openai import OpenAIHooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Tracer

SPANS: Final = 3_000
CALLS: Final = 300
ATTRIBUTES: Final = {f"http.attribute_{number}": "value" for number in range(10)}
CHUNKS: Final = 200


def run() -> Iterator[str]:
    """The figures, a line each."""
    yield _dropped_span()
    yield _call(is_stream=False)
    yield _call(is_stream=True)


def _dropped_span() -> str:
    tracers = [
        TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("benchmark")
        for sampler in (BillingSampler(ALWAYS_OFF), ALWAYS_ON)
    ]
    recorded, sampled = _alternately(
        [partial(_span, tracer) for tracer in tracers],
        SPANS,
    )
    return (
        f"a span that is recorded only, by BillingSampler / one that is sampled: {recorded / sampled:.2f}"
        f" ({recorded:,.0f} ns / {sampled:,.0f} ns)"
    )


def _span(tracer: Tracer) -> None:
    tracer.start_span("GET /", attributes=ATTRIBUTES).end()


def _call(*, is_stream: bool) -> str:
    chat: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
    content, kind = (_stream(), "text/event-stream") if is_stream else (_answer(), "application/json")
    transport = httpx.MockTransport(
        lambda _request: httpx.Response(200, content=content, headers={"content-type": kind})
    )
    hooks = OpenAIHooks(TracerProvider(shutdown_on_exit=False))
    http_client: Any = httpx.Client(transport=transport)
    with OpenAI(api_key="sk-test", http_client=http_client) as client:

        def call() -> None:
            answer = client.chat.completions.create(**chat, stream=is_stream)
            if is_stream:
                for _ in answer:
                    pass

        def call_with_hooks() -> None:
            hooks._is_active = True
            call()
            hooks._is_active = False

        hooks.install()
        call_with_hooks()
        with_hooks, without = _alternately([call_with_hooks, call], CALLS)
        hooks.remove()
    what = f"a stream of {CHUNKS} chunks" if is_stream else "a chat"
    return (
        f"{what} with the hooks, answered at once / without: {with_hooks / without:.2f}"
        f" ({with_hooks / 1_000:,.0f} us / {without / 1_000:,.0f} us)"
    )


def _answer() -> bytes:
    message = {"role": "assistant", "content": "Hello"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choices = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
    return json.dumps({**body, "choices": choices, "usage": usage}).encode()


def _stream() -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    word = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    usage = {"prompt_tokens": 5, "completion_tokens": CHUNKS, "total_tokens": 5 + CHUNKS}
    chunks = [{**head, "choices": [word], "usage": None}] * CHUNKS + [{**head, "choices": [], "usage": usage}]
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _alternately(functions: list[Callable[[], Any]], times: int) -> list[float]:
    """The median of each, in nanoseconds."""
    taken: list[list[int]] = [[] for _ in functions]
    for _ in range(times):
        for function, each in zip(functions, taken, strict=True):
            begin = time.perf_counter_ns()
            function()
            each.append(time.perf_counter_ns() - begin)
    return [statistics.median(each) for each in taken]
