"""An answer's body that the application reads later: watched while it goes by, without usage nobody asked for.

``httpx.Response`` and its successor ``httpx2.Response`` are read through one method each for threads and for tasks,
whatever the application uses above it: chunks, lines, bytes or the raw response. That method is put behind a filter on
the one response, and so are its ways to be closed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_polar.capture.openai.exchange import Exchange

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""A longer event, or body, is not looked into."""

_EVENT_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
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

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._hides = exchange.hides_usage
        self._buffer = bytearray()
        self._is_first = True
        self._gave_up = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that the application may see of what has come so far."""
        if self._gave_up:
            return data
        self._buffer += data
        seen = bytearray()
        begin = 0
        for end in _EVENT_END.finditer(self._buffer):
            block = bytes(self._buffer[begin : end.end()])
            begin = end.end()
            seen += self._look_at(block)
        del self._buffer[:begin]
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
        if rest:
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

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        if len(self._buffer) <= MAX_EVENT_BYTES:
            self._buffer += data
        return data

    def rest(self) -> bytes:
        """Nothing; the body has ended."""
        if len(self._buffer) <= MAX_EVENT_BYTES:
            try:
                self._exchange.hear(json.loads(self._buffer))
            except (ValueError, RecursionError):
                return b""
        return b""


class Unseen:
    """A body that has no usage in it, such as sound."""

    @staticmethod
    def feed(data: bytes) -> bytes:
        """The same bytes."""
        return data

    @staticmethod
    def rest() -> bytes:
        """Nothing."""
        return b""


_Body: TypeAlias = EventFilter | WholeBody | Unseen


def watch(response: Any, exchange: Exchange) -> None:
    """Put *response*, an ``httpx.Response`` that has not been read, behind a filter that tells *exchange*."""
    content_type = str(response.headers.get("content-type", ""))
    body: _Body = Unseen()
    if "event-stream" in content_type:
        body = EventFilter(exchange)
    elif "json" in content_type:
        body = WholeBody(exchange)
    # What is compressed is looked at where it has been unpacked.
    is_plain = str(response.headers.get("content-encoding", "identity")).strip().lower() in {"", "identity"}
    read, read_async = ("iter_raw", "aiter_raw") if is_plain else ("iter_bytes", "aiter_bytes")
    advancing = _Advancing()
    setattr(response, read, _reading(getattr(response, read), body, exchange, advancing))
    setattr(response, read_async, _reading_async(getattr(response, read_async), body, exchange, advancing))
    response.close = _closing(response.close, exchange, advancing)
    response.aclose = _closing_async(response.aclose, exchange, advancing)


class _Advancing:
    """Whether the next piece is being read: then a close is the end of the body, after which the rest is looked at."""

    is_on = False


def _reading(
    read: Callable[..., Iterator[bytes]], body: _Body, exchange: Exchange, advancing: _Advancing
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
    read: Callable[..., AsyncIterator[bytes]], body: _Body, exchange: Exchange, advancing: _Advancing
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


def _closing(close: Callable[[], None], exchange: Exchange, advancing: _Advancing) -> Callable[[], None]:
    def closing() -> None:
        try:
            close()
        finally:
            if not advancing.is_on:
                exchange.finish()

    return closing


def _closing_async(close: Callable[[], Any], exchange: Exchange, advancing: _Advancing) -> Callable[[], Any]:
    async def closing() -> None:
        try:
            await close()
        finally:
            if not advancing.is_on:
                exchange.finish()

    return closing
