"""Specifies the hooks of the ``openai`` client beyond what every kind of call has in common (see ``test_matrix``)."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import httpx
import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from otel_polar import bill_to
from otel_polar.capture.openai import OpenAIHooks
from otel_polar.capture.openai.bodies import EventFilter
from otel_polar.capture.openai.exchange import Exchange
from otel_polar.delivery.disk.rows import State
from otel_polar.sandbox.openai_api import OpenAIServer, Usage
from tests.capture.openai.support import CHAT, HAS_RESPONSES, MESSAGES, SETUPS, instrumented, vendor_usage
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

FULL: Final = (1_000, 50, 800)


@pytest.fixture(scope="module")
def shared_vendor() -> Iterator[OpenAIServer]:
    with OpenAIServer(usage=vendor_usage) as server:
        yield server


@pytest.fixture
def vendor(shared_vendor: OpenAIServer) -> OpenAIServer:
    shared_vendor.reset()
    return shared_vendor


@pytest.fixture
def client(vendor: OpenAIServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
def app(make_app: MakeApp) -> Iterator[App]:
    """An application with the hooks, and no instrumentation."""
    app = make_app()
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    with bill_to("user_42"):
        yield app
    hooks.remove()


def usages(app: App) -> list[tuple[int, int, int]]:
    """Input, output and cached tokens of each event."""
    keys = ("input_tokens", "output_tokens", "cache_read_tokens")
    return [tuple(body["metadata"][key] for key in keys) for body in app.bodies()]


def states(app: App) -> list[State]:
    return [row.state for row in app.ledger()]


def chat(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(**{**CHAT, **options})


def stream(client: OpenAI, **options: Any) -> Any:
    return chat(client, stream=True, **options)


# --- Usage that is asked for ------------------------------------------------------------------------------------------


def test_what_the_application_passes_is_not_changed(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """Its options may be a constant that it uses again."""
    options = {"include_obfuscation": False}
    list(stream(client, stream_options=options))
    list(stream(client, extra_body={"stream_options": {"include_usage": False}, "x": 1}))
    list(stream(client, stream_options={"include_usage": True}))

    assert options == {"include_obfuscation": False}
    assert [request.body["stream_options"] for request in vendor.requests] == [
        {"include_obfuscation": False, "include_usage": True},
        {"include_usage": True},
        {"include_usage": True},
    ]
    assert vendor.requests[1].body["x"] == 1
    assert usages(app) == [FULL] * 3


def test_a_host_that_refuses_is_asked_as_the_application_asked_and_not_again(
    app: App, client: OpenAI, vendor: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Old gateways know no stream_options: the application must not get an error that it did not make."""
    refusal = {"error": {"message": "Unrecognized request argument supplied: stream_options", "type": "invalid"}}
    vendor.answer_next(400, refusal)
    chunks = list(stream(client))
    list(stream(client))

    assert chunks[-1].choices[0].finish_reason == "stop"
    asked = ["stream_options" in request.body for request in vendor.requests]
    assert asked == [True, False, False]
    assert states(app) == [State.UNMETERED] * 2
    assert caplog.text.count("refuses stream_options") == 1


def test_any_other_refusal_is_the_applications_own(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """It sees its error, at once."""
    vendor.answer_next(400, {"error": {"message": "too long", "type": "invalid_request_error"}})
    with pytest.raises(openai.BadRequestError, match="too long"):
        stream(client)

    assert len(vendor.requests) == 1
    (span,) = app.exporter.get_finished_spans()
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    assert (span.attributes or {})["error.type"] == "BadRequestError"
    assert states(app) == [State.UNMETERED]


# --- Bodies the application reads by itself ---------------------------------------------------------------------------


def test_a_raw_stream_is_read_line_by_line_as_if_nobody_had_asked(
    app: App, client: OpenAI, vendor: OpenAIServer
) -> None:
    """Byte for byte, but for the ids, which are always new."""

    def lines() -> list[str]:
        with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            return [line.partition('"choices"')[2] for line in response.iter_lines()]

    with_us = lines()
    app.bodies()
    assert usages(app) == [FULL]
    with suppress_instrumentation():
        assert with_us == lines()
    assert "stream_options" not in vendor.requests[1].body


def test_an_answer_that_is_read_later_is_billed_when_it_is_read(app: App, client: OpenAI) -> None:
    """with_streaming_response hands out a response that has not been read."""
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert json.loads(b"".join(response.iter_bytes(7)))["usage"]["prompt_tokens"] == 1_000

    assert usages(app) == [FULL]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_compressed_answer_is_billed(app: App, client: OpenAI, vendor: OpenAIServer, *, is_stream: bool) -> None:
    """Proxies compress what OpenAI does not."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    body = {"id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ", "object": "x", "model": "gpt-4o-mini", "choices": []}
    text = json.dumps({**body, "usage": usage})
    content, kind = (
        (f"data: {text}\n\ndata: [DONE]\n\n", "text/event-stream") if is_stream else (text, "application/json")
    )
    vendor.answer_next(
        200,
        gzip.compress(content.encode()),
        {"content-encoding": "gzip", "content-type": kind},
    )

    if is_stream:
        assert list(stream(client)) == []
    else:
        chat(client)
    assert usages(app) == [(5, 2, 0)]


def test_an_answer_of_sound_passes(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """It has no usage in it: the call is known, and held."""
    vendor.answer_next(200, "sound", {"content-type": "audio/mpeg"})
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="Hello").read() == b"sound"

    (span,) = app.exporter.get_finished_spans()
    assert span.name == "text_to_speech tts-1"
    assert states(app) == [State.UNMETERED]


# --- Streams that end early -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("how", ["closed", "dropped", "never read", "broken"])
def test_a_stream_that_does_not_end_is_held_with_what_is_known(
    make_app: MakeApp, client: OpenAI, vendor: OpenAIServer, *, setup: str, how: str
) -> None:
    """Nothing else would end its span: openai-v2 forgets it."""
    app = make_app()
    if how == "broken":
        vendor.cut_stream_after(2)
    with instrumented(setup, app.provider), bill_to("user_42"):
        answer = stream(client)
        if how == "broken":
            # The client wraps what the HTTP library raises since 2.0.
            with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):
                list(answer)
        elif how != "never read":
            next(iter(answer))
        if how == "closed":
            answer.close()
        del answer
        gc.collect()
        client.models.list()

    (row,) = app.ledger()
    (span,) = app.exporter.get_finished_spans()
    assert row.state is State.UNMETERED
    assert (how == "never read") == ("gen_ai.response.id" not in (span.attributes or {}))


def test_an_asynchronous_stream_that_is_cancelled_is_held(app: App, vendor: OpenAIServer) -> None:
    """A client that goes away cancels the task that answers it."""

    async def main() -> None:
        async with AsyncOpenAI(base_url=vendor.base_url, api_key="sk-test") as client:
            answer = await client.chat.completions.create(**CHAT, stream=True)

            async def read() -> None:
                async for _ in answer:
                    await asyncio.sleep(3_600)

            task = asyncio.create_task(read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await answer.close()

    asyncio.run(main())

    assert states(app) == [State.UNMETERED]


@pytest.mark.parametrize(
    ("estimate", "tokens"),
    # "Hello there" is 11 bytes; "The sandbox answers" has been read, 19 bytes, or three words.
    [("bytes", (3, 5)), (lambda _model, text: len(text.split()), (2, 3))],
    ids=["bytes", "function"],
)
def test_where_the_application_wants_it_a_stream_cut_short_is_billed_by_an_estimate(
    make_app: MakeApp, client: OpenAI, *, estimate: Any, tokens: tuple[int, int]
) -> None:
    """And marked so, on the span and on the event."""
    app = make_app()
    hooks = OpenAIHooks(app.provider, estimate_tokens=estimate)
    hooks.install()
    with bill_to("user_42"):
        answer = stream(client)
        said = ""
        while len(said.split()) < 3:
            chunk = next(iter(answer))
            said += chunk.choices[0].delta.content or ""
        answer.close()
        list(stream(client))
    hooks.remove()

    cut, whole = [body["metadata"] for body in app.bodies()]
    assert (cut["input_tokens"], cut["output_tokens"], cut["estimated"]) == (*tokens, True), said
    assert "estimated" not in whole
    assert usages(app)[1] == FULL


def test_a_call_that_failed_is_not_estimated(make_app: MakeApp, client: OpenAI, vendor: OpenAIServer) -> None:
    """What the provider refused costs nothing."""
    app = make_app()
    hooks = OpenAIHooks(app.provider, estimate_tokens="bytes")
    hooks.install()
    vendor.answer_next(429, {"error": {"message": "slow down"}})
    with bill_to("user_42"), pytest.raises(openai.RateLimitError):
        stream(client)
    hooks.remove()

    assert states(app) == [State.UNMETERED]


# --- Spans of our own -------------------------------------------------------------------------------------------------


def test_a_span_of_ours_has_the_words_of_the_conventions(app: App, client: OpenAI) -> None:
    """Whoever looks at their traces finds what any instrumentation would have written."""
    chat(client, service_tier="flex")

    (span,) = app.exporter.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert (span.name, span.kind.name, span.status.status_code.name) == ("chat gpt-4o-mini", "CLIENT", "UNSET")
    assert attributes.pop("server.port") == client.base_url.port
    assert str(attributes.pop("gen_ai.response.id")).startswith("chatcmpl-")
    assert {name: value for name, value in attributes.items() if value != 0} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "openai.request.service_tier": "flex",
        "openai.response.service_tier": "flex",
        "server.address": "127.0.0.1",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.usage.reasoning.output_tokens": 20,
    }


def test_azures_client_is_azures_provider(app: App, vendor: OpenAIServer) -> None:
    """Its prices are not OpenAI's; its paths have the deployment in them."""
    body = {
        "id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
    }
    vendor.answer_next(200, {**body, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    with AzureOpenAI(
        azure_endpoint=vendor.base_url.removesuffix("/v1"), api_key="x", api_version="2024-10-21", max_retries=0
    ) as azure:
        azure.chat.completions.create(model="my-deployment", messages=MESSAGES)  # type: ignore[arg-type] # a table

    assert vendor.requests[0].path == "/openai/deployments/my-deployment/chat/completions"
    (metadata,) = [body["metadata"] for body in app.bodies()]
    assert (metadata["provider"], metadata["model"]) == ("azure.ai.openai", "gpt-4o-mini-2024-07-18")


@pytest.mark.skipif(not HAS_RESPONSES, reason="openai before 1.66 has no responses")
def test_a_response_made_in_the_background_is_billed_once_when_it_is_fetched(
    app: App, client: OpenAI, vendor: OpenAIServer
) -> None:
    """Until then nobody knows its tokens; it may be fetched many times."""
    queued = {
        "id": "resp_68a1f0c25b7c81908d3f4e5a6b7c8d9e0f1a2b3c4d5e6f70",
        "object": "response",
        "model": "gpt-4o-mini",
        "background": True,
        "output": [],
    }
    usage = {"input_tokens": 1_000, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 800}}
    vendor.answer_next(200, {**queued, "status": "queued", "usage": None})
    client.responses.create(model="gpt-4o-mini", input="Hello", background=True)
    assert states(app) == [State.UNMETERED]
    for status, told in (("in_progress", None), ("completed", usage), ("completed", usage)):
        vendor.answer_next(200, {**queued, "status": status, "usage": told})
        client.responses.retrieve(str(queued["id"]))

    assert usages(app) == [FULL]
    other = {**queued, "id": "resp_0f1a2b3c4d5e6f7068a1f0c25b7c81908d3f4e5a6b7c8d9e", "background": False}
    vendor.answer_next(200, {**other, "status": "completed", "usage": usage})
    client.responses.retrieve("resp_other")
    assert usages(app) == [FULL]


def test_a_framework_around_the_call_is_told_the_same_call(app: App, client: OpenAI) -> None:
    """Its span has the usage as well: two spans of one call are one event."""
    tracer = app.provider.get_tracer("openinference.instrumentation.langchain")
    with tracer.start_as_current_span("ChatOpenAI", attributes={"openinference.span.kind": "LLM"}) as span:
        chat(client)
        span.set_attributes(
            {"llm.token_count.prompt": 1_000, "llm.token_count.completion": 50, "llm.model_name": "gpt-4o-mini"}
        )

    assert usages(app) == [FULL]


def test_every_request_inside_one_span_of_an_instrumentation_is_billed(app: App, client: OpenAI) -> None:
    """The span tells of one of them only."""
    tracer = app.provider.get_tracer("opentelemetry.util.genai.handler")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
    }
    with tracer.start_as_current_span("chat", attributes=attributes):
        chat(client)
        chat(client)

    assert usages(app) == [FULL, FULL]


def test_where_telemetry_is_suppressed_there_is_none(app: App, client: OpenAI) -> None:
    """OpenTelemetry's own switch; who uses it around a model call is not billed for it."""
    with suppress_instrumentation():
        assert len(list(stream(client))) == len(list(stream(client)))

    assert app.exporter.get_finished_spans() == ()


# --- What the vendor learns -------------------------------------------------------------------------------------------


def test_the_request_is_made_without_baggage_that_says_who_pays(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """Whatever instruments HTTP sends baggage to every host."""
    seen: list[dict[str, object]] = []
    send = client._client.send

    def send_as_an_instrumented_client_does(request: Any, **options: Any) -> Any:
        seen.append(dict(baggage.get_all()))
        request.headers["baggage"] = ",".join(f"{key}={value}" for key, value in baggage.get_all().items())
        return send(request, **options)

    client._client.send = send_as_an_instrumented_client_does  # type: ignore[method-assign] # as instrumentations do
    token = context.attach(baggage.set_baggage("theirs", "kept"))
    with bill_to("alice", plan="pro"):
        chat(client)
        client.models.list()
        assert set(baggage.get_all()) == {"theirs", "userId", "plan"}
    context.detach(token)

    assert seen == [{"theirs": "kept"}] * 2
    assert [request.headers["baggage"] for request in vendor.requests] == ["theirs=kept"] * 2
    assert app.payers() == ["alice"]


def test_spans_of_the_http_client_lie_inside_the_calls(app: App, client: OpenAI) -> None:
    """As with any instrumentation."""
    send = client._client.send
    inside: list[Any] = []

    def traced(request: Any, **options: Any) -> Any:
        inside.append(trace.get_current_span())
        return send(request, **options)

    client._client.send = traced  # type: ignore[method-assign] # as instrumentations do
    chat(client)

    (span,) = app.exporter.get_finished_spans()
    assert inside[0].get_span_context() == span.context


# --- Put in place and taken away --------------------------------------------------------------------------------------


def test_what_was_there_before_is_there_again(app: App, client: OpenAI) -> None:
    """Also where the hooks were put in place twice."""
    methods = [(kind, name) for kind in (SyncAPIClient, AsyncAPIClient) for name in ("request", "_process_response")]
    hooks = OpenAIHooks(app.provider)
    before = [kind.__dict__[name] for kind, name in methods]
    hooks.install()
    hooks.install()
    assert all(kind.__dict__[name] is not was for (kind, name), was in zip(methods, before, strict=True))
    hooks.remove()

    assert [kind.__dict__[name] for kind, name in methods] == before
    client.models.list()


def test_what_another_has_wrapped_since_stays(
    make_app: MakeApp, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking it away would take theirs away, too; ours inside of it does nothing any more."""
    app = make_app()
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    ours = SyncAPIClient.__dict__["request"]
    calls: list[str] = []

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append("theirs")
        return ours.__get__(self, type(self))(*args, **kwargs)

    monkeypatch.setattr(SyncAPIClient, "request", theirs)
    hooks.remove()
    chat(client)

    assert calls == ["theirs"]
    assert app.exporter.get_finished_spans() == ()


def test_a_client_without_those_methods_is_left_alone_and_it_is_said(
    make_app: MakeApp, client: OpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A future version: billing by what the instrumentation tells goes on."""
    monkeypatch.delattr(AsyncAPIClient, "_process_response")
    hooks = OpenAIHooks(make_app().provider)
    hooks.install()
    chat(client)
    hooks.remove()
    hooks._is_active = True
    hooks._wrap(ModuleType("openai._base_client"))

    assert "this version of openai has no openai._base_client.AsyncAPIClient._process_response" in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        *("requests.endpoint_of", "requests.watch", "requests._learn", "requests.can_claim"),
        *("requests.without_billing_members", "answers.Answer.learn", "answers.Answer.counts"),
    ],
)
@pytest.mark.usefixtures("app")
def test_an_error_in_the_hooks_never_reaches_the_application(
    client: OpenAI, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its call is made, and its answer is handed out."""

    def fail(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("Hello there, a prompt")

    monkeypatch.setattr(f"otel_polar.capture.openai.{broken}", fail)
    assert chat(client).choices
    assert list(stream(client))

    assert "the application is not affected" in caplog.text or "it is made all the same" in caplog.text
    assert "a prompt" not in caplog.text


def test_openai_is_imported_by_whoever_uses_it_and_then_hooked() -> None:
    """An application without it must not pay for it; one that imports it late is billed as well."""
    code = """
import sys
from otel_polar.capture.openai import OpenAIHooks
from otel_polar.capture.openai.bodies import EventFilter
from otel_polar.capture.openai.exchange import Exchange
hooks = OpenAIHooks()
hooks.install()
assert "openai" not in sys.modules
import openai
print(type(openai._base_client.SyncAPIClient.__dict__["request"]).__name__)
"""
    output = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured_environment(), capture_output=True, text=True, check=True
    ).stdout

    assert output.strip() == "FunctionWrapper"


def test_usage_that_cannot_be_true_is_held(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """More cached than there was input: no guess which of the two is right."""
    with OpenAIServer(usage=lambda _path, _body: Usage(5, cached_tokens=9, output_tokens=2)) as liar:
        chat(client.with_options(base_url=liar.base_url))

    (row,) = app.ledger()
    assert row.state is State.UNMETERED
    assert "9 read from cache" in (row.reason or "")
    assert vendor.requests == []


# --- What attacks have found ------------------------------------------------------------------------------------------


def test_only_a_stream_that_was_cut_short_is_estimated(make_app: MakeApp, client: OpenAI, vendor: OpenAIServer) -> None:
    """An answer without usage, or one that is made in the background, is no such thing."""
    app = make_app()
    hooks = OpenAIHooks(app.provider, estimate_tokens="bytes")
    hooks.install()
    message = {"role": "assistant", "content": "x" * 9_500}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    with bill_to("user_42"):
        vendor.answer_next(200, {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": choices})
        chat(client)
        vendor.answer_next(200, "sound", {"content-type": "audio/mpeg"})
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello").read()
        stream(client).close()
    hooks.remove()

    assert states(app) == [State.UNMETERED] * 3


def test_a_refusal_that_asking_did_not_cause_changes_nothing_for_others(
    app: App, client: OpenAI, vendor: OpenAIServer
) -> None:
    """The words may be the user's own: in the name of a model, or in what is echoed of the request."""
    for _ in range(2):
        vendor.answer_next(400, {"error": {"message": "no model `stream_options`"}})
    with pytest.raises(openai.BadRequestError):
        chat(client, model="stream_options", stream=True)
    vendor.answer_next(404, {"error": {"message": "no model `stream_options`"}})
    with pytest.raises(openai.NotFoundError):
        stream(client)
    list(stream(client))

    assert states(app)[-1] is State.SENT
    assert usages(app) == [FULL]


# genai-openai 1.3b0 parses it without waiting.
@pytest.mark.filterwarnings("ignore:.*AsyncAPIResponse.parse", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("setup", "is_async"),
    # openai-v2 2.4b0 itself fails on the asynchronous one, with and without us: it parses what is not there yet.
    [(setup, is_async) for setup in SETUPS for is_async in (False, True) if not (is_async and "v2" in setup)],
)
def test_an_answer_whose_body_is_read_later_is_billed_with_every_instrumentation(
    make_app: MakeApp, client: OpenAI, vendor: OpenAIServer, *, setup: str, is_async: bool
) -> None:
    """genai-openai ends its span when the headers have come."""
    app = make_app()

    async def read_later() -> None:
        async with (
            AsyncOpenAI(base_url=vendor.base_url, api_key="sk-test") as later,
            later.chat.completions.with_streaming_response.create(**CHAT) as response,
        ):
            assert "usage" in str(await response.json())

    with instrumented(setup, app.provider), bill_to("user_42"):
        if is_async:
            asyncio.run(read_later())
        else:
            with client.chat.completions.with_streaming_response.create(**CHAT) as response:
                assert "usage" in str(response.json())

    assert usages(app) == [FULL]


def test_a_body_that_the_http_client_has_read_already_is_looked_through(app: App, vendor: OpenAIServer) -> None:
    """A hook that logs it reads it; the application must not see what it did not ask for."""
    http: Any = _http_client(event_hooks={"response": [lambda response: response.read()]})
    with OpenAI(base_url=vendor.base_url, api_key="sk-test", http_client=http) as client:
        assert all(chunk.choices for chunk in stream(client))
        chat(client)

    assert usages(app) == [FULL] * 2


def _http_client(**options: Any) -> Any:
    """Of the library that this version of openai uses."""
    with OpenAI(api_key="sk-test") as default:
        kinds = type(default._client).__mro__
    return next(kind for kind in kinds if kind.__name__ == "Client")(**options)


@pytest.mark.parametrize("kind", ["text/plain", "Text/Event-Stream", "application/json", "application/x-ndjson", ""])
def test_a_stream_is_one_whatever_it_is_called(app: App, client: OpenAI, vendor: OpenAIServer, kind: str) -> None:
    """The client does not ask either."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    head = {"id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ", "object": "chat.completion.chunk", "model": "gpt-4o-mini"}
    word = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    chunks = [{**head, "choices": [word], "usage": None}, {**head, "choices": [], "usage": usage}]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    vendor.answer_next(200, body, {"content-type": kind})

    assert len(list(stream(client))) == 1
    assert usages(app) == [(5, 2, 0)]


def test_a_background_response_that_is_streamed_again_is_billed(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """After the connection was lost, its end comes by another request."""
    response = {
        "id": "resp_68a1f0c25b7c81908d3f4e5a6b7c8d9e0f1a2b3c4d5e6f70",
        "object": "response",
        "model": "gpt-4o-mini",
        "background": True,
        "status": "completed",
        "output": [],
        "usage": {"input_tokens": 1_000, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 800}},
    }
    event = {"type": "response.completed", "sequence_number": 9, "response": response}
    vendor.answer_next(200, f"data: {json.dumps(event)}\n\n", {"content-type": "text/event-stream"})
    list(client.get("/responses/x", cast_to=object, stream=True, stream_cls=openai.Stream[object]))

    assert usages(app) == [FULL]


def test_an_exporter_with_a_lock_is_not_entered_again_by_the_collector(make_app: MakeApp) -> None:
    """A stream that is dropped lies in a circle, and is closed in the middle of whatever the collector interrupts.

    In memory: the pool of connections of httpx 0.28 is itself not safe from that.
    """

    class Locked(SpanExporter):
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.rows: list[object] = []

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            with self.lock:
                self.rows += [json.loads(span.to_json()) for span in spans]
            return SpanExportResult.SUCCESS

    app = make_app()
    exporter = Locked()
    app.provider.add_span_processor(SimpleSpanProcessor(exporter))
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    with bill_to("user_42"), _endless_client() as client:
        for _ in range(150):
            next(iter(stream(client)))
            with app.tracer.start_as_current_span("work"):
                pass
    gc.collect()
    hooks.remove()

    assert len(exporter.rows) == 300
    assert app.outbox.counts()[State.RECORDED] == 150 - app.outbox.counts().get(State.UNMETERED, 0)


def _endless_client() -> OpenAI:
    """Each of its streams goes on for ever."""
    library: Any = sys.modules[type(_http_client()).__module__.partition(".")[0]]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": []}

    def words() -> Iterator[bytes]:
        while True:
            yield f"data: {json.dumps(chunk)}\n\n".encode()

    def answer(_request: object) -> Any:
        return library.Response(200, content=words(), headers={"content-type": "text/event-stream"})

    http = _http_client(transport=library.MockTransport(answer))
    return OpenAI(base_url="http://127.0.0.1:9", api_key="sk-test", http_client=http)


def test_a_large_event_is_searched_once(app: App) -> None:
    """An image comes as one event of megabytes, in pieces of a few kilobytes."""
    span: Any = app.tracer.start_span("x")
    events = EventFilter(Exchange(span, is_ours=True))
    piece = b"x" * 4_096
    begin = time.perf_counter()
    events.feed(b"data: ")
    for _ in range(2_000):
        events.feed(piece)
    one_by_one = time.perf_counter() - begin
    begin = time.perf_counter()
    EventFilter(Exchange(span, is_ours=True)).feed(b"data: " + piece * 2_000)
    at_once = time.perf_counter() - begin

    # Searched again with each piece it would be a thousand times as long.
    assert one_by_one < 50 * at_once + 0.5


def test_an_error_of_another_processor_does_not_reach_the_application(app: App, client: OpenAI) -> None:
    """The span is ours; without it nobody would have met that error."""

    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise ZeroDivisionError(span.name)

    app.provider.add_span_processor(Broken())

    assert chat(client).choices
    assert list(stream(client))
    assert usages(app) == [FULL] * 2


def test_two_hooks_make_one_span(app: App, client: OpenAI) -> None:
    """By code and by the instrumentor, in any order."""
    others = [OpenAIHooks(app.provider), OpenAIHooks(app.provider)]
    for hooks in (*others, others[0]):
        hooks.install()
    others[0].remove()
    others[0].install()
    chat(client)
    list(stream(client))
    for hooks in others:
        hooks.remove()

    assert usages(app) == [FULL] * 2
    assert len(app.exporter.get_finished_spans()) == 2


def test_options_that_are_used_again_are_as_they_were(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """A subclass of the client may retry by itself."""
    seen: list[object] = []
    request = type(client).request

    class Retrying(OpenAI):
        def request(self, cast_to: Any, options: Any, **others: Any) -> Any:
            seen.append(options.json_data.get("stream_options"))
            try:
                return request(self, cast_to, options, **others)
            except openai.InternalServerError:
                seen.append(options.json_data.get("stream_options"))
                return request(self, cast_to, options, **others)

    vendor.answer_next(500, {"error": {"message": "again"}})
    with Retrying(base_url=vendor.base_url, api_key="sk-test", max_retries=0) as retrying:
        assert all(chunk.choices for chunk in stream(retrying))

    assert seen == [None, None]
    assert usages(app) == [FULL]


def test_a_response_that_has_been_read_can_be_pickled(app: App, client: OpenAI) -> None:
    """As without hooks."""
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
        copied = pickle.loads(pickle.dumps(response.http_response))  # noqa: S301 - our own

    assert b"usage" in copied.content
    assert usages(app) == [FULL]


def test_an_empty_usage_does_not_take_back_what_was_told(app: App, client: OpenAI, vendor: OpenAIServer) -> None:
    """Some gateways end a stream with one."""
    head = {"id": "chatcmpl-AbCd1234EfGh5678IjKl9012MnOpQ", "object": "chat.completion.chunk", "model": "gpt-4o-mini"}
    usages_told = [{"prompt_tokens": 5, "completion_tokens": 2}, {}]
    body = "".join(f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n" for usage in usages_told)
    vendor.answer_next(200, body, {"content-type": "text/event-stream"})
    list(stream(client))

    assert usages(app) == [(5, 2, 0)]


def test_a_child_that_was_forked_in_the_middle_of_a_stream_does_not_end_it(make_app: MakeApp, client: OpenAI) -> None:
    """It would bill its guess under the same id as the parent's full usage."""
    app = make_app()
    hooks = OpenAIHooks(app.provider, estimate_tokens="bytes")
    hooks.install()
    with bill_to("user_42"):
        answer = stream(client)
        next(iter(answer))
        child = os.fork()
        if child == 0:
            # As at the end of a child: everything it has is given up.
            answer.response.close()
            pipeline = app.processor.pipeline
            assert pipeline is not None
            os._exit(sum(outbox.waiting() for outbox in pipeline.outboxes))
        _, status = os.waitpid(child, 0)
        list(answer)
    hooks.remove()

    assert os.waitstatus_to_exitcode(status) == 0
    assert usages(app) == [FULL]


def test_what_has_been_looked_through_is_not_counted_again(make_app: MakeApp, vendor: OpenAIServer) -> None:
    """An estimate would be twice what went by."""
    app = make_app()
    hooks = OpenAIHooks(app.provider, estimate_tokens=lambda _model, text: len(text.split()))
    hooks.install()
    vendor.answer_next(400, {"error": {"message": "no stream_options"}})
    http: Any = _http_client(event_hooks={"response": [lambda response: response.read()]})
    with OpenAI(base_url=vendor.base_url, api_key="sk-test", http_client=http) as client, bill_to("user_42"):
        list(stream(client))
    hooks.remove()

    assert usages(app) == [(2, 12, 0)]


def test_a_response_that_others_have_changed_stays_as_they_changed_it(app: App, vendor: OpenAIServer) -> None:
    """Such as one whose close() gives a place in a queue back."""
    released: list[str] = []

    def count(response: Any) -> None:
        close = response.close

        def release() -> None:
            released.append("released")
            close()

        response.close = release

    http: Any = _http_client(event_hooks={"response": [count]})
    vendor.cut_stream_after(2)
    with OpenAI(base_url=vendor.base_url, api_key="sk-test", http_client=http, max_retries=0) as client:
        answer = stream(client)
        with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):
            list(answer)
        answer.response.close()

    assert released
    assert states(app) == [State.UNMETERED]
