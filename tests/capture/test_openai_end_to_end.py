"""The real ``openai`` client and its real instrumentation: one correct event on Polar for every call.

A word is a token at the local endpoint; it answers in 12 words (see :mod:`otel_polar.sandbox.openai_api`).
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_polar import bill_to
from otel_polar.delivery.disk.rows import State
from otel_polar.sandbox.openai_api import OpenAIServer, ReceivedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openai.types.chat import ChatCompletionMessageParam

    from otel_polar.sandbox import SandboxServer
    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

MESSAGES: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Hello there"}]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EMPTY_ERROR: Final = {"error": {"message": "as ordered", "type": "server_error"}}

# What OpenAI really answers, with an id that is always the same.
COMPLETION: Final = {
    "id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ",
    "object": "chat.completion",
    "created": 1_790_856_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Good day."},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 812,
        "completion_tokens": 142,
        "total_tokens": 954,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
    "service_tier": "default",
}


@pytest.fixture(scope="module")
def shared_vendor() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def vendor(shared_vendor: OpenAIServer) -> OpenAIServer:
    """A local OpenAI that has seen nothing yet."""
    shared_vendor.reset()
    return shared_vendor


@pytest.fixture
def client(vendor: OpenAIServer) -> Iterator[OpenAI]:
    """The real client, which tries once."""
    with OpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
def instrument() -> Iterator[Callable[[TracerProvider], None]]:
    """The real instrumentation, taken off again after the test."""
    instrumentor = OpenAIInstrumentor()

    def on(provider: TracerProvider) -> None:
        instrumentor.uninstrument()
        instrumentor.instrument(tracer_provider=provider)

    instrumentor.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    yield on
    instrumentor.uninstrument()


@pytest.fixture
def app(make_app: MakeApp, instrument: Callable[[TracerProvider], None]) -> App:
    """An application whose calls are instrumented and billed."""
    app = make_app()
    instrument(app.provider)
    return app


def chat(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options)


def tokens(body: dict[str, Any]) -> tuple[str, int, int, int]:
    metadata = body["metadata"]
    return metadata["operation"], metadata["input_tokens"], metadata["output_tokens"], metadata["cost_nanos"]


def test_a_call_becomes_the_event_of_the_contract(
    app: App, client: OpenAI, vendor: OpenAIServer, polar_sandbox: SandboxServer
) -> None:
    """A meter freezes its filter on these names: every key, and every value, is a promise."""
    vendor.answer_next(200, COMPLETION)
    with bill_to("user_42", plan="pro"):
        chat(client)

    (body,) = app.bodies()
    (span,) = app.exporter.get_finished_spans()
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    assert body == {
        "name": "llm_usage",
        "external_customer_id": "user_42",
        "external_id": "openai:chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ",
        "timestamp": (EPOCH + timedelta(microseconds=span.end_time // 1_000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "metadata": {
            "provider": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "operation": "chat",
            "requests": 1,
            "input_tokens": 812,
            "output_tokens": 142,
            "total_tokens": 954,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            # 812 * 0.15 + 142 * 0.60 = 121.8 + 85.2 = 207 millionths of a dollar
            "cost_nanos": 207_000,
            "cost_currency": "usd",
            "price_source": "genai-prices 0.2.3",
            "price_model": "openai/gpt-4o-mini",
            "price_approximate": False,
            "_cost": {"amount": "0.020700000000", "currency": "usd"},
            "generation_id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ",
            "duration_ms": (span.end_time - span.start_time) // 1_000_000,
            "service_name": "chat-api",
            "trace_id": f"{span.context.trace_id:032x}",
            "span_id": f"{span.context.span_id:016x}",
            "_llm": {
                "vendor": "openai",
                "model": "gpt-4o-mini-2024-07-18",
                "input_tokens": 812,
                "cached_input_tokens": 0,
                "output_tokens": 142,
                "total_tokens": 954,
            },
            "plan": "pro",
        },
    }
    (event,) = polar_sandbox.events()
    assert event["external_customer_id"] == "user_42"
    assert event["timestamp_given"] == body["timestamp"]
    assert event["metadata"].keys() == body["metadata"].keys()


def test_plain_streamed_and_embedded_calls_are_billed(app: App, client: OpenAI) -> None:
    """The three ways most applications call a model, and several answers to one question."""
    with bill_to("user_42"):
        chat(client)
        list(chat(client, stream=True, stream_options={"include_usage": True}))
        chat(client, n=2)
        client.embeddings.create(model="text-embedding-3-small", input="one two three")
        client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])

    assert [tokens(body) for body in app.bodies()] == [
        ("chat", 2, 12, 7_500),  # 2 * 0.15 + 12 * 0.60 = 7.5 millionths of a dollar
        ("chat", 2, 12, 7_500),
        ("chat", 2, 24, 14_700),  # 2 * 0.15 + 24 * 0.60: both answers are paid for, the question once
        ("embeddings", 3, 0, 60),  # 3 * 0.02
        ("embeddings", 3, 0, 60),
    ]
    assert app.payers() == ["user_42"] * 5


def test_asynchronous_calls_are_billed(app: App, vendor: OpenAIServer) -> None:
    """Two users in one event loop at once, each with every kind of call."""

    async def main() -> None:
        async with AsyncOpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0) as client:

            @bill_to("b")
            async def embed() -> None:
                await client.embeddings.create(model="text-embedding-3-small", input="one two three")

            async def talk() -> None:
                with bill_to("a"):
                    await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
                    stream = await client.chat.completions.create(
                        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
                    )
                async for _ in stream:
                    pass

            await asyncio.gather(talk(), embed(), talk(), embed())

    asyncio.run(main())

    billed = sorted((body["external_customer_id"], *tokens(body)) for body in app.bodies())
    assert billed == [("a", "chat", 2, 12, 7_500)] * 4 + [("b", "embeddings", 3, 0, 60)] * 2


def test_two_users_of_one_process_pay_for_their_own_calls(app: App, client: OpenAI) -> None:
    """Also when one's stream is read while the other's block is open."""
    with bill_to("alice", plan="pro"):
        stream = chat(client, stream=True, stream_options={"include_usage": True})
    with bill_to("bob"):
        chat(client, n=2)
        list(stream)
    chat(client)

    bodies = {body["external_customer_id"]: body["metadata"] for body in app.bodies()}
    assert bodies.keys() == {"alice", "bob"}
    assert (bodies["alice"]["output_tokens"], bodies["alice"]["plan"]) == (12, "pro")
    assert (bodies["bob"]["output_tokens"], bodies["bob"].get("plan")) == (24, None)
    assert app.payers().count(State.UNATTRIBUTED) == 1


@pytest.mark.parametrize("how_far", ["to its end", "not to its end"])
def test_a_stream_whose_usage_nobody_asked_for_is_held_as_unmetered(app: App, client: OpenAI, how_far: str) -> None:
    """Its tokens are known to the provider alone; a guess would be billed as if it were true."""
    with bill_to("user_42"):
        stream = chat(client, stream=True)
        next(stream)
        if how_far == "to its end":
            list(stream)
        stream.close()

    (row,) = app.ledger()
    assert (row.state, row.body) == (State.UNMETERED, None)


def test_a_call_that_failed_is_held_as_unmetered(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """OpenAI may have billed it or not: it is kept, and the application sees its own error."""
    vendor.answer_next(500, EMPTY_ERROR)
    with bill_to("user_42"), pytest.raises(openai.InternalServerError):
        chat(client)

    (row,) = app.ledger()
    assert (row.state, row.reason) == (State.UNMETERED, "no token counts: the call failed")


def test_a_call_the_client_tried_again_is_one_event(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """Only the answer that came was paid for."""
    for _ in range(2):
        vendor.answer_next(429, EMPTY_ERROR, {"retry-after-ms": "1"})
    with bill_to("user_42"):
        chat(client.with_options(max_retries=2))

    assert len(vendor.requests) == 3
    assert [tokens(body) for body in app.bodies()] == [("chat", 2, 12, 7_500)]


def test_content_on_the_spans_stays_out_of_the_outbox_and_the_event(
    make_app: MakeApp,
    instrument: Callable[[TracerProvider], None],
    client: OpenAI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who captures content for their own traces has not agreed to send it to their payment provider."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    app = make_app()
    instrument(app.provider)
    with bill_to("user_42"):
        answer = chat(client).choices[0].message.content
        list(chat(client, stream=True))

    plain, _streamed = app.exporter.get_finished_spans()
    content = json.dumps(dict(plain.attributes or {}))
    assert "Hello there" in content
    assert answer in content
    assert len(app.ledger()) == 2
    written = [path.read_bytes() for path in (tmp_path / "outbox").rglob("*") if path.is_file()]
    assert b"chatcmpl" in b"".join(written)
    for text in ("Hello there", answer):
        assert text.encode() not in b"".join(written)


def the_vendors_view(vendor: OpenAIServer, client: OpenAI) -> list[tuple[str, str, dict[str, str], Any]]:
    """What the vendor sees of some calls, without what differs from connection to connection."""
    vendor.reset()
    vendor.answer_next(200, COMPLETION)
    with bill_to("user_42", plan="pro"):
        chat(client, temperature=0.5)
        list(chat(client, stream=True))
        client.embeddings.create(model="text-embedding-3-small", input="one two three")
    return [_view(request) for request in vendor.requests]


def _view(request: ReceivedRequest) -> tuple[str, str, dict[str, str], Any]:
    return request.method, request.path, dict(request.headers), request.body


def test_the_vendor_receives_the_same_requests_with_and_without_us(
    app: App, client: OpenAI, vendor: OpenAIServer, instrument: Callable[[TracerProvider], None]
) -> None:
    """Who pays is none of the vendor's business: neither bodies nor headers say it."""
    with_us = the_vendors_view(vendor, client)
    without = TracerProvider(shutdown_on_exit=False)
    instrument(without)

    assert with_us == the_vendors_view(vendor, client)
    assert len(app.payers()) == 3
    without.shutdown()


def test_the_instrumentations_spans_are_the_same_with_and_without_us(
    app: App, client: OpenAI, vendor: OpenAIServer, instrument: Callable[[TracerProvider], None]
) -> None:
    """Whoever looks at their traces must not find a trace of us."""
    exporter = InMemorySpanExporter()
    without = TracerProvider(resource=app.provider.resource, shutdown_on_exit=False)
    without.add_span_processor(SimpleSpanProcessor(exporter))

    def calls() -> None:
        for _ in range(2):
            vendor.answer_next(200, COMPLETION)
        vendor.answer_next(500, EMPTY_ERROR)
        with bill_to("user_42", plan="pro"):
            chat(client)
            chat(client, n=2)
            with pytest.raises(openai.InternalServerError):
                chat(client)
            client.embeddings.create(model="text-embedding-3-small", input="one two three")

    calls()
    instrument(without)
    calls()

    def seen(spans: Any) -> list[Any]:
        return [(span.name, span.kind, dict(span.attributes), span.status.status_code) for span in spans]

    assert seen(app.exporter.get_finished_spans()) == seen(exporter.get_finished_spans())
    assert len(exporter.get_finished_spans()) == 4
    without.shutdown()


def test_a_stream_read_after_its_block_leaves_nobody_to_pay_for_the_next_call(app: App, client: OpenAI) -> None:
    """The instrumentation restores the context the stream was created in, alice's, when the stream has ended."""
    with bill_to("alice"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
    for _ in stream:
        pass
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    assert app.payers() == ["alice", State.UNATTRIBUTED]
