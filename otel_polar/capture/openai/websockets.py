"""Calls over a WebSocket: the Realtime API and the Responses API, whose events tell what each answer has used.

There is no request to put a span around, so each answer that is done is one, from when it began.

Source: openai-python 3.54, ``resources/realtime/realtime.py`` and ``resources/responses/responses.py``,
``parse_event``; https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from otel_polar.capture.openai.endpoints import Endpoint
from otel_polar.capture.openai.exchange import Exchange
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from otel_polar.capture.openai.requests import Planner

CONNECTIONS: Final = {
    "openai.resources.realtime.realtime": ("RealtimeConnection", "AsyncRealtimeConnection"),
    "openai.resources.beta.realtime.realtime": ("RealtimeConnection", "AsyncRealtimeConnection"),
    "openai.resources.responses.responses": ("ResponsesConnection", "AsyncResponsesConnection"),
    "openai.resources.beta.responses.responses": ("ResponsesConnection", "AsyncResponsesConnection"),
}
"""Modules, and the classes in them whose ``parse_event`` sees every event of the server."""

_SESSION: Final = frozenset({"session.created", "session.updated"})
_DONE: Final = frozenset({"response.done", "response.completed", "response.incomplete", "response.failed"})
_BEGUN: Final = "response.created"
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_WORDS: Final = tuple(f'"{kind}"' for kind in (*_SESSION, *_DONE, _BEGUN, _TRANSCRIBED))
_CHAT: Final = Endpoint("chat")
_TRANSCRIPTION: Final = Endpoint("speech_to_text")
MAX_EVENT_CHARACTERS: Final = 16 * 1024 * 1024


class _Session:
    """What is known of one connection."""

    __slots__ = ("begun_at_unix_nano", "model", "transcription_model")

    def __init__(self) -> None:
        self.model: str | None = None
        self.transcription_model: str | None = None
        self.begun_at_unix_nano: dict[str, int] = {}


class Sockets:
    """Makes the spans of answers that come over a connection."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()

    def hear(self, connection: Any, data: object) -> None:
        """One event of the server, as it came; never raises."""
        try:
            text = data.decode("utf-8", "replace") if isinstance(data, (bytes, bytearray)) else data
            if not isinstance(text, str) or len(text) > MAX_EVENT_CHARACTERS or not any(w in text for w in _WORDS):
                return
            event = json.loads(text)
            if isinstance(event, Mapping):
                self._hear(connection, event)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            logger.error(
                "an openai event could not be looked at (%s); the application is not affected", describe(error)
            )

    def _hear(self, connection: Any, event: Mapping[str, Any]) -> None:
        session = self._sessions.get(connection)
        if session is None:
            session = self._sessions[connection] = _Session()
        kind = event.get("type")
        if kind in _SESSION:
            told = event.get("session")
            session.model = _at(told, "model") or session.model
            session.transcription_model = (
                _at(told, "audio", "input", "transcription", "model")
                or _at(told, "input_audio_transcription", "model")
                or session.transcription_model
            )
        elif kind == _BEGUN:
            # One answer at a time, or a few: what is never done is forgotten with the next.
            if len(session.begun_at_unix_nano) >= _MAX_ANSWERS:
                session.begun_at_unix_nano.clear()
            session.begun_at_unix_nano[_at(event, "response", "id") or ""] = time.time_ns()
        elif kind in _DONE and isinstance(event.get("response"), Mapping):
            answer = event["response"]
            model = _at(answer, "model") or session.model
            begun = session.begun_at_unix_nano.pop(_at(answer, "id") or "", None)
            self._tell(connection, _CHAT, model, event, begun)
        elif kind == _TRANSCRIBED:
            self._tell(connection, _TRANSCRIPTION, session.transcription_model, {"usage": event.get("usage")}, None)

    def _tell(
        self, connection: Any, endpoint: Endpoint, model: str | None, told: Mapping[str, Any], begun: int | None
    ) -> None:
        body = {} if model is None else {"model": model}
        host = _host(connection)
        span = self._planner.start(connection, endpoint, body, host=host, start_time_unix_nano=begun)
        if span.is_recording():
            exchange = Exchange(span, is_ours=True)
            exchange.hear(told)
            exchange.finish()


_MAX_ANSWERS: Final = 100


def _host(connection: Any) -> str | None:
    """The host of the other end, as the library ``websockets`` asked for it."""
    headers = getattr(getattr(getattr(connection, "_connection", None), "request", None), "headers", None)
    told = headers.get("Host") if headers is not None else None
    return urlsplit(f"//{told}").hostname if isinstance(told, str) else None


def _at(value: object, *path: str) -> str | None:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None
