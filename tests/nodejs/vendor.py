"""A local OpenAI that says of every call another usage, and remembers what it said."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.sandbox.openai_api import OpenAIServer, Usage
from otel_polar.sandbox.openai_shapes import Call, chat_completion, completion_usage, response

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHED: Final = 512
REASONING: Final = 64
ARGUMENTS: Final = '{"city":"Lisbon"}'
TOOL: Final = "weather"

_MODEL: Final = {"model": "gpt-4o-mini"}


class Told(NamedTuple):
    """The usage of one answer, and what was asked."""

    usage: Usage
    request: str


class Vendor:
    """See the module. ``told`` has every answer with a usage, in their order."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.server = OpenAIServer(usage=self._tell)

    def ask_for_a_tool(self) -> None:
        """Answer the next request, one to the Responses API, with a call of the application's tool."""
        call = self._call("resp_" + "5e" * 24)
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": TOOL, "arguments": ARGUMENTS}
        self.server.answer_next(200, {**response(call), "output": [{**item, "status": "completed"}]})

    def ask_for_a_tool_in_a_stream(self) -> None:
        """Answer the next request, one for a chat that is streamed, with a call of the application's tool."""
        call = self._call("chatcmpl-9qXbT3LrVw0ZkMfY7HsJ2uCeDaGiN")
        head = {"id": call.id, "object": "chat.completion.chunk", "created": call.created, "model": call.model}
        asked = {"index": 0, "id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ARGUMENTS}}
        deltas = [({"role": "assistant", "content": None, "tool_calls": [asked]}, None), ({}, "tool_calls")]
        chunks: list[dict[str, Any]] = [
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
        ]
        chunks.append({**head, "choices": [], "usage": completion_usage(call.usage)})
        frames = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self.server.answer_next(200, "".join([*frames, "data: [DONE]\n\n"]), {"content-type": "text/event-stream"})

    def answer_with_an_object(self) -> None:
        """Answer the next request, one for a chat, with JSON."""
        body = chat_completion(self._call("chatcmpl-2mWcR8KpXv5ZjNgT4LsH0uBeYaDiQ"))
        body["choices"][0]["message"]["content"] = '{"rain":true}'
        self.server.answer_next(200, body)

    def refuse(self, status: int) -> None:
        """Answer the next request with an error; the client may ask again at once."""
        error = {"message": "not now", "type": "server_error", "code": None, "param": None}
        self.server.answer_next(status, {"error": error}, {"retry-after-ms": "1"})

    def _call(self, response_id: str) -> Call:
        return Call(body=_MODEL, usage=self._tell("", _MODEL), id=response_id, created=1)

    def _tell(self, endpoint: str, body: dict[str, Any]) -> Usage:
        number = len(self.told) + 1
        if endpoint == "/v1/embeddings":
            usage = Usage(10 + number)
        else:
            usage = Usage(1_000 + number, CACHED, 100 + number, REASONING)
        self.told.append(Told(usage, json.dumps(body)))
        return usage


@contextmanager
def a_vendor() -> Iterator[Vendor]:
    """One that runs as long as the block."""
    vendor = Vendor()
    with vendor.server:
        yield vendor
