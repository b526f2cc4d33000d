"""A small local OpenAI: real sockets, real shapes, and bills that can be worked out by hand.

The real ``openai`` client talks to it, sync or async::

    with OpenAIServer() as server, openai.OpenAI(base_url=server.base_url, api_key="sk-any") as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello there"}])

That call used 2 input tokens and 12 output tokens, and it always will. **One word is one token**, a word being what
stands between blanks:

==================  ==========================================================  =====================================
endpoint            input tokens                                                output tokens
==================  ==========================================================  =====================================
chat/completions    words of all messages, whatever their role                  words of the reply * ``n``
completions         words of all prompts                                        words of the reply * ``n`` * prompts
responses           words of ``instructions`` and of all ``input`` messages     words of the reply
embeddings          words of all inputs                                         none
==================  ==========================================================  =====================================

A message's content is a string, or a list whose parts of type ``text``, ``input_text`` and ``output_text`` count and
whose other parts cost nothing. Where an endpoint takes token numbers instead of text, each number is one token.

The reply is one sentence of 12 words, said over and over or cut off to have exactly ``max_completion_tokens``,
``max_tokens`` or ``max_output_tokens`` words, and it then ends as OpenAI's ends at a limit: ``finish_reason`` is
``length``, a response is ``incomplete``. No token is ever cached or spent on reasoning, unless a test says the usage
outright: ``OpenAIServer(usage=lambda endpoint, body: Usage(1_000, cached_tokens=800, output_tokens=50))``.

Source: the OpenAI API reference, https://platform.openai.com/docs/api-reference; its errors,
https://platform.openai.com/docs/guides/error-codes.
"""

import asyncio
import json
import secrets
import socket
import string
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from otel_polar.sandbox import openai_requests, openai_shapes
from otel_polar.sandbox.openai_requests import ApiError, JsonObject, Usage
from otel_polar.sandbox.openai_shapes import Call

__all__ = ["OpenAIServer", "ReceivedRequest", "Usage", "UsageRule"]

UsageRule: TypeAlias = Callable[[str, JsonObject], Usage | None]
"""What a call to an endpoint (``/v1/chat/completions``) with a body used; ``None`` means: count the words."""

_BASE62: Final = string.digits + string.ascii_letters
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as the vendor saw it: header names in lower case, the body parsed (``None`` if it is not JSON)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    required: str
    mint_id: Callable[[], str]
    usage: Callable[[JsonObject], Usage]
    plain: Callable[[Call], JsonObject]
    stream: Callable[[Call], Iterator[str]] | None = None


def _base62(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


_ENDPOINTS: Final[Mapping[str, _Endpoint]] = {
    "/v1/chat/completions": _Endpoint(
        required="messages",
        mint_id=lambda: f"chatcmpl-{_base62(29)}",
        usage=openai_requests.chat_usage,
        plain=openai_shapes.chat_completion,
        stream=openai_shapes.stream_chat,
    ),
    "/v1/completions": _Endpoint(
        required="prompt",
        mint_id=lambda: f"cmpl-{_base62(29)}",
        usage=openai_requests.completion_usage,
        plain=openai_shapes.text_completion,
        stream=openai_shapes.stream_text,
    ),
    "/v1/responses": _Endpoint(
        required="input",
        mint_id=lambda: f"resp_{secrets.token_hex(24)}",
        usage=openai_requests.response_usage,
        plain=openai_shapes.response,
        stream=openai_shapes.stream_response,
    ),
    "/v1/embeddings": _Endpoint(
        required="input",
        mint_id=str,  # an embedding is the one answer of OpenAI's that has no id
        usage=openai_requests.embedding_usage,
        plain=openai_shapes.embeddings,
    ),
}


class OpenAIServer:
    """A local OpenAI on 127.0.0.1, on a port of its own, for as long as the ``with`` block runs.

    Any bearer token opens it. One server may be used from many threads and event loops at once.

    Args:
        usage: what calls are said to have used; by default the words are counted.
        clock: the time of the answers, in Unix seconds.
    """

    def __init__(self, *, usage: UsageRule | None = None, clock: Callable[[], float] = time.time) -> None:
        self._usage = usage
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: list[ReceivedRequest] = []
        self._canned: deque[Response] = deque()
        self._cuts: deque[int] = deque()
        route = Route("/{path:path}", self._answer, methods=_METHODS)
        self.app = Starlette(routes=[route], exception_handlers={Exception: _fail})

    @property
    def base_url(self) -> str:
        """What ``openai.OpenAI(base_url=…)`` takes, ending in ``/v1``; only while the server runs."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """All requests received so far, oldest first, in a list of the caller's own."""
        with self._lock:
            return list(self._requests)

    def answer_next(
        self, status: int, body: JsonObject | str | bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next request with *body* instead, whatever it asks; called again, the one after that.

        The client waits before it tries again; ``headers={"retry-after-ms": "1"}`` keeps that wait short.
        """
        kind = Response if isinstance(body, (str, bytes)) else JSONResponse
        with self._lock:
            self._canned.append(kind(body, status, dict(headers or {})))

    def cut_stream_after(self, chunks: int) -> None:
        """Close the connection of the next stream after that many *chunks*, half-way through."""
        with self._lock:
            self._cuts.append(chunks)

    def reset(self) -> None:
        """Forget what was received, and every fault not yet used: for a server that many tests share."""
        with self._lock:
            self._requests.clear()
            self._canned.clear()
            self._cuts.clear()

    def __enter__(self) -> Self:
        self._uvicorn = _Uvicorn(self.app)
        self._thread = threading.Thread(target=self._run, name="otel-polar-sandbox-openai", daemon=True)
        self._thread.start()
        self._uvicorn.running.wait()
        self._port = self._uvicorn.port()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        try:
            self._uvicorn.run()
        finally:
            self._uvicorn.running.set()  # also when it could not start, or __enter__ would wait for ever

    async def _answer(self, request: Request) -> Response:
        content = await request.body()
        received = ReceivedRequest(request.method, request.url.path, dict(request.headers), _parse_json(content))
        with self._lock:
            self._requests.append(received)
            if self._canned:
                return self._canned.popleft()
        try:
            response = self._route(received)
        except ApiError as error:
            response = JSONResponse(error.body(), error.status)
        response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
        return response

    def _route(self, received: ReceivedRequest) -> Response:
        endpoint = _ENDPOINTS.get(received.path)
        if endpoint is None and received.path != "/v1/models":
            raise ApiError(404, f"Invalid URL ({received.method} {received.path})")
        if received.method != ("POST" if endpoint else "GET"):
            message = f"Not allowed to {received.method} on {received.path}."
            raise ApiError(405, message, code="method_not_supported")
        scheme, _, token = received.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiError(401, "You didn't provide an API key in an Authorization header (Bearer YOUR_KEY).")
        if endpoint is None:
            return JSONResponse(openai_shapes.model_list())
        if not isinstance(received.body, dict):
            raise ApiError(400, "We could not parse the JSON body of your request as an object.")
        return self._call(endpoint, received.path, received.body)

    def _call(self, endpoint: _Endpoint, path: str, body: JsonObject) -> Response:
        openai_requests.require(body, endpoint.required)
        counted = endpoint.usage(body)
        told = self._usage(path, body) if self._usage else None
        call = Call(body=body, usage=told or counted, id=endpoint.mint_id(), created=int(self._clock()))
        if endpoint.stream is None or body.get("stream") is not True:
            return JSONResponse(endpoint.plain(call))
        frames = endpoint.stream(call)
        with self._lock:
            chunks = self._cuts.popleft() if self._cuts else None
        return _EventStream(frames) if chunks is None else _CutEventStream(islice(frames, chunks))


class _EventStream(StreamingResponse):
    """Server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    def __init__(self, frames: Iterable[str]) -> None:
        super().__init__(_iterate(frames), media_type="text/event-stream")


class _CutEventStream(_EventStream):
    async def stream_response(self, send: Send) -> None:
        """Send everything but the end, upon which uvicorn flushes and closes the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frame in self.body_iterator:
            await send({"type": "http.response.body", "body": str(frame).encode(), "more_body": True})


class _Uvicorn(uvicorn.Server):
    """A uvicorn that says when it runs. It logs nothing: a stream cut on purpose is no error."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # uvicorn makes the socket: asyncio sets TCP_NODELAY only on one made with IPPROTO_TCP, which
                # socket.create_server() does not name; without it every answer waits 40 ms for an acknowledgement.
                host="127.0.0.1",
                port=0,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=1,  # second, for a client that has stopped reading
            )
        )
        self.running = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.running.set()

    def port(self) -> int:
        """The port that the operating system chose."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in self.server_state.connections:
            connection.transport.abort()  # close() would wait for that client for ever
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn


async def _iterate(frames: Iterable[str]) -> AsyncIterator[str]:
    # Given a plain iterator, starlette would change threads for every word.
    for frame in frames:
        yield frame


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


async def _fail(_request: Request, error: Exception) -> Response:
    """A fault in a test's own usage rule: said in the answer, since nothing is logged."""
    return JSONResponse(ApiError(500, repr(error)).body(), 500)
