"""An answer's body that the application reads later: watched while it goes by, without usage nobody asked for.

``httpx.Response`` and its successor ``httpx2.Response`` are read through one method each for threads and for tasks,
whatever the application uses above it: chunks, lines, bytes or the raw response. That method is put behind a filter on
the one response, and so are its ways to be closed.
"""

from __future__ import annotations

import json
import re
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_polar.capture.openai.exchange import Exchange, Fetched

    AnyExchange: TypeAlias = Exchange | Fetched

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""A longer event, or body, is not looked into."""

_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LONGEST_END: Final = 4
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_NO_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])')
_DONE: Final = b"[DONE]"


class EventFilter:
    """Server-sent events, in pieces as they come; what usage they tell is learned by *exchange*.

    Where the exchange asked for usage that the application did not ask for, the chunk with it is left out, and the
    ``"usage": null`` that all others then have.

    Source: https://platform.openai.com/docs/api-reference/chat/create, ``stream_options``; the format,
    https://html.spec.whatwg.org/multipage/server-sent-events.html.
    """

    def __init__(self, exchange: AnyExchange) -> None:
        self._exchange = exchange
        self._hides = exchange.hides_usage
        self._buffer = bytearray()
        self._searched = 0
        self._is_first = True
        self._gave_up = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that the application may see of what has come so far."""
        if self._gave_up:
            return data
        self._exchange.is_read = True
        self._buffer += data
        seen = bytearray()
        begin = 0
        for end in _EVENT_END.finditer(self._buffer, self._searched):
            if end.end() == len(self._buffer) and self._buffer.endswith(b"\r"):
                # Its line feed may come with the next piece.
                break
            block = bytes(self._buffer[begin : end.end()])
            begin = end.end()
            seen += self._look_at(block)
        del self._buffer[:begin]
        # What has been searched is not searched again: an image comes as one event in a thousand pieces.
        self._searched = max(0, len(self._buffer) - _LONGEST_END)
        if len(self._buffer) > MAX_EVENT_BYTES:
            self._gave_up = True
            if self._hides:
                seen += self._buffer
            self._buffer.clear()
        return bytes(seen) if self._hides else data

    def rest(self) -> bytes:
        """What stands behind the last event when the body has ended."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if rest.lstrip().startswith(b"{") and self._is_first:
            # No events at all: the provider has answered in one piece.
            self._exchange.hear(_parsed(rest))
        elif rest:
            rest = self._look_at(rest)
        return rest if self._hides else b""

    def _look_at(self, block: bytes) -> bytes:
        try:
            if b'"usage"' not in block and not self._is_first and not self._exchange.hears:
                return block
            data = b"\n".join(line[5:].lstrip() for line in _LINE_END.split(block) if line.startswith(b"data:")).strip()
            if not data or data.startswith(_DONE):
                return block
            event = json.loads(data)
            self._is_first = False
            self._exchange.hear(event)
            return self._without_usage(block, event) if self._hides and isinstance(event, dict) else block
        except (ValueError, RecursionError):
            # Not ours to judge.
            return block

    @staticmethod
    def _without_usage(block: bytes, event: dict[str, Any]) -> bytes:
        if "usage" not in event:
            return block
        if event["usage"] is not None:
            # Beside choices it would have come without asking, as some other vendors' does.
            return block if event.get("choices") else b""
        if block.count(b'"usage"') == 1:
            shown, count = _NO_USAGE.subn(b"", block)
            if count == 1:
                return shown
        del event["usage"]
        return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class WholeBody:
    """A body of one JSON object, such as that of an answer the application has not read yet."""

    def __init__(self, exchange: AnyExchange) -> None:
        self._exchange = exchange
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        self._exchange.is_read = True
        if len(self._buffer) <= MAX_EVENT_BYTES:
            self._buffer += data
        return data

    def rest(self) -> bytes:
        """Nothing; the body has ended."""
        if len(self._buffer) <= MAX_EVENT_BYTES:
            self._exchange.hear(_parsed(bytes(self._buffer)))
        return b""


class Unseen:
    """A body that has no usage in it, such as sound."""

    def __init__(self, exchange: AnyExchange) -> None:
        self._exchange = exchange

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        self._exchange.is_read = True
        return data

    def rest(self) -> bytes:
        """Nothing."""
        return b""


_Body: TypeAlias = EventFilter | WholeBody | Unseen


def watch(response: Any, exchange: AnyExchange, *, is_stream: bool) -> None:
    """Put *response*, an ``httpx.Response`` that has not been read, behind a filter that tells *exchange*."""
    body = _body_of(response, exchange, is_stream=is_stream)
    # What is compressed is looked at where it has been unpacked.
    is_plain = str(response.headers.get("content-encoding", "identity")).strip().lower() in {"", "identity"}
    read, read_async = ("iter_raw", "aiter_raw") if is_plain else ("iter_bytes", "aiter_bytes")
    advancing = _Advancing()
    exchange.is_watched = True
    ours = {
        read: _reading(getattr(response, read), body, exchange, advancing),
        read_async: _reading_async(getattr(response, read_async), body, exchange, advancing),
        "close": _closing(response.close, body, exchange, advancing),
        "aclose": _closing_async(response.aclose, body, exchange, advancing),
    }
    before = {name: response.__dict__[name] for name in ours if name in response.__dict__}
    # Kept by the response alone: from anywhere else it would never be collected, and one that is dropped never ends.
    response.__dict__.update(ours, **{_WATCHED: (ours, before)})
    exchange.on_over.append(partial(_unwatch, weakref.ref(response)))


def look_through(response: Any, exchange: AnyExchange, *, is_stream: bool) -> None:
    """The same for a response that has been read already, such as by a hook of the HTTP client that logs it."""
    body = _body_of(response, exchange, is_stream=is_stream)
    seen = body.feed(response.content) + body.rest()
    if exchange.hides_usage and isinstance(body, EventFilter):
        response._content = seen  # noqa: SLF001 - where httpx and httpx2 keep it


def _body_of(response: Any, exchange: AnyExchange, *, is_stream: bool) -> _Body:
    """By what was asked for, and else by what the response says it is."""
    content_type = str(response.headers.get("content-type", "")).lower()
    if content_type.startswith(_MEDIA):
        return Unseen(exchange)
    if is_stream or "event-stream" in content_type:
        return EventFilter(exchange)
    return WholeBody(exchange) if "json" in content_type else Unseen(exchange)


_MEDIA: Final = ("audio/", "image/", "video/", "application/octet-stream")


_WATCHED: Final = "_otel_polar_watched"


def _unwatch(reference: weakref.ref[Any]) -> None:
    """Let the response be what it was: it may be pickled. What others have put in place since stays."""
    response = reference()
    if response is None:
        return
    ours, before = response.__dict__.pop(_WATCHED, ({}, {}))
    for name, mine in ours.items():
        if response.__dict__.get(name) is mine:
            del response.__dict__[name]
            if name in before:
                response.__dict__[name] = before[name]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _Advancing:
    """Whether the next piece is being read: then a close is the end of the body, after which the rest is looked at."""

    is_on = False


def _reading(
    read: Callable[..., Iterator[bytes]], body: _Body, exchange: AnyExchange, advancing: _Advancing
) -> Callable[..., Iterator[bytes]]:
    def reading(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        try:
            pieces = iter(read(*args, **kwargs))
            while True:
                advancing.is_on = True
                try:
                    data = next(pieces, None)
                finally:
                    advancing.is_on = False
                if data is None:
                    break
                if shown := body.feed(data):
                    yield shown
            if rest := body.rest():
                yield rest
        except BaseException as error:
            # GeneratorExit is no failure of the call: the application has read enough.
            exchange.finish(None if isinstance(error, GeneratorExit) else error)
            raise
        exchange.finish()

    return reading


def _reading_async(
    read: Callable[..., AsyncIterator[bytes]], body: _Body, exchange: AnyExchange, advancing: _Advancing
) -> Callable[..., AsyncIterator[bytes]]:
    async def reading(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        try:
            pieces = aiter(read(*args, **kwargs))
            while True:
                advancing.is_on = True
                try:
                    data = await anext(pieces, None)
                finally:
                    advancing.is_on = False
                if data is None:
                    break
                if shown := body.feed(data):
                    yield shown
            if rest := body.rest():
                yield rest
        except BaseException as error:
            exchange.finish(None if isinstance(error, GeneratorExit) else error)
            raise
        exchange.finish()

    return reading


def _closing(
    close: Callable[[], None], body: _Body, exchange: AnyExchange, advancing: _Advancing
) -> Callable[[], None]:
    def closing() -> None:
        try:
            close()
        finally:
            _over(body, exchange, advancing)

    return closing


def _closing_async(
    close: Callable[[], Any], body: _Body, exchange: AnyExchange, advancing: _Advancing
) -> Callable[[], Any]:
    async def closing() -> None:
        try:
            await close()
        finally:
            _over(body, exchange, advancing)

    return closing


def _over(body: _Body, exchange: AnyExchange, advancing: _Advancing) -> None:
    if not advancing.is_on:
        if isinstance(body, WholeBody):
            # All of it may have come, to an application that did not wait for the end.
            body.rest()
        exchange.finish()
