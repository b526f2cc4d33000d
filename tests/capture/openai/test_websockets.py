"""Specifies answers that come over a WebSocket, with the real client and a local server that speaks first."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai import AsyncOpenAI, OpenAI
from websockets.sync.server import serve

from otel_polar import bill_to
from otel_polar.capture.openai import OpenAIHooks
from otel_polar.capture.openai.websockets import Sockets
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

RESPONSE_ID: Final = "resp_BGpd3kQ7xZr2Lw9Yt5Vn8"
SESSION: Final = {
    "type": "session.created",
    "session": {"model": "gpt-realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}},
}
USAGE: Final = {
    "input_tokens": 150,
    "output_tokens": 60,
    "input_token_details": {
        "text_tokens": 50,
        "audio_tokens": 100,
        "cached_tokens": 40,
        "cached_tokens_details": {"audio_tokens": 30},
    },
    "output_token_details": {"text_tokens": 20, "audio_tokens": 40},
}
EVENTS: Final[list[dict[str, Any]]] = [
    SESSION,
    {"type": "response.created", "response": {"id": RESPONSE_ID}},
    {"type": "response.output_audio_transcript.delta", "delta": 'they said "response.done"'},
    {
        "type": "conversation.item.input_audio_transcription.completed",
        "usage": {
            "type": "tokens",
            "input_tokens": 22,
            "output_tokens": 9,
            "input_token_details": {"audio_tokens": 22},
        },
    },
    {"type": "response.done", "response": {"id": RESPONSE_ID, "status": "completed", "usage": USAGE}},
]
KINDS: Final = [event["type"] for event in EVENTS]


@pytest.fixture
def url() -> Iterator[str]:
    """A server that says all it has to say, and hangs up."""

    def speak(connection: Any) -> None:
        for event in EVENTS:
            connection.send(json.dumps(event))

    with serve(speak, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def app(make_app: MakeApp) -> Iterator[App]:
    app = make_app(on_unpriced="send")
    hooks = OpenAIHooks(app.provider)
    hooks.install()
    with bill_to("user_42"):
        yield app
    hooks.remove()


@pytest.mark.skipif(
    "websocket_base_url" not in inspect.signature(OpenAI).parameters,
    reason="openai before 1.63 speaks to servers with TLS only",
)
# openai 3.54 connects as websockets 17.1 does not want it any more.
@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_each_answer_of_a_realtime_session_is_billed(app: App, url: str, *, is_async: bool) -> None:
    """With its sound, and the transcription of what was said to it."""
    if is_async:
        asyncio.run(_listen_async(url))
    else:
        _listen(url)

    told = [
        (body["metadata"]["operation"], body["metadata"]["model"], body["metadata"]["input_tokens"])
        for body in app.bodies()
    ]
    assert told == [("speech_to_text", "gpt-4o-transcribe", 22), ("chat", "gpt-realtime", 150)]
    spans = {span.name: dict(span.attributes or {}) for span in app.exporter.get_finished_spans()}
    answer = spans["chat gpt-realtime"]
    assert {name: answer[name] for name in answer if name.startswith("gen_ai.usage")} == {
        "gen_ai.usage.input_tokens": 150,
        "gen_ai.usage.output_tokens": 60,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.audio.input_tokens": 100,
        "gen_ai.usage.audio.cache_read.input_tokens": 30,
        "gen_ai.usage.audio.output_tokens": 40,
    }
    assert (answer["gen_ai.response.id"], answer["server.address"]) == (RESPONSE_ID, "127.0.0.1")
    assert [row.state for row in app.ledger()] == [State.SENT] * 2


def _listen(url: str) -> None:
    with (
        OpenAI(api_key="sk-test", websocket_base_url=url) as client,
        _realtime(client).connect(model="gpt-realtime") as connection,
    ):
        assert [event.type for event in connection] == KINDS


async def _listen_async(url: str) -> None:
    async with (
        AsyncOpenAI(api_key="sk-test", websocket_base_url=url) as client,
        _realtime(client).connect(model="gpt-realtime") as connection,
    ):
        assert [event.type async for event in connection] == KINDS


def _realtime(client: Any) -> Any:
    """It was in beta until openai 1.106."""
    return getattr(client, "realtime", None) or client.beta.realtime


@pytest.mark.skipif("websocket_base_url" not in inspect.signature(OpenAI).parameters, reason="as above")
@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
def test_two_hooks_bill_an_answer_once(app: App, url: str) -> None:
    """A transcription has no id by which it could be told to be the same."""
    others = OpenAIHooks(app.provider)
    others.install()
    _listen(url)
    others.remove()

    assert len(app.bodies()) == 2


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        "no json response.done",
        '["response.done"]',
        '{"type":"response.done"}',
        '{"type":"response.done","response":[]}',
        '{"type":"session.created","session":5}',
        '{"type":"response.created","response":null}',
        b'\xff"response.done"',
        "x" * (17 * 1024 * 1024),
    ],
    ids=lambda data: repr(data)[:30],
)
def test_an_event_that_cannot_be_read_harms_nobody(app: App, data: object, caplog: pytest.LogCaptureFixture) -> None:
    """The application gets what it would have got; content is not in the log."""

    class Connection:
        """Some connection."""

    Sockets(OpenAIHooks(app.provider)._planner).hear(Connection(), data)

    assert app.exporter.get_finished_spans() == ()
    assert "no json" not in caplog.text


def test_an_answer_without_usage_is_held(app: App) -> None:
    """One that was cancelled before it said anything."""

    class Connection:
        """Some connection."""

    connection = Connection()
    sockets = Sockets(OpenAIHooks(app.provider)._planner)
    for event in (SESSION, {"type": "response.done", "response": {"id": "resp_1", "status": "cancelled"}}):
        sockets.hear(connection, json.dumps(event))

    assert [row.state for row in app.ledger()] == [State.UNMETERED]
