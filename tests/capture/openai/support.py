"""What the tests of the hooks share: instrumentations in any order, and calls of every kind, sync and async."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import openai
from openai import AsyncOpenAI, OpenAI

from otel_polar.capture.openai import OpenAIHooks
from otel_polar.sandbox.openai_api import OpenAIServer, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import TracerProvider

INSTRUMENTATIONS: Final = {
    "openai-v2": "opentelemetry.instrumentation.openai_v2",
    "genai-openai": "opentelemetry.instrumentation.genai.openai",
}
Order = Literal["before us", "after us"]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


SETUPS: Final = [
    "none",
    *(
        f"{name} {order}"
        for name, module in INSTRUMENTATIONS.items()
        if _is_installed(module)
        for order in ("before us", "after us")
    ),
]
"""The installed instrumentations of the client, in either order; .ci/run has an environment for each."""

HAS_RESPONSES: Final = hasattr(OpenAI, "responses")
"""Since openai 1.66."""

USAGE: Final = Usage(1_000, cached_tokens=800, output_tokens=50, reasoning_tokens=20)
MESSAGES: Final = [{"role": "user", "content": "Hello there"}]
CHAT: Final[dict[str, Any]] = {"model": "gpt-4o-mini", "messages": MESSAGES}


def vendor_usage(path: str, _body: Any) -> Usage | None:
    """What the local OpenAI says that a call used."""
    return Usage(8, output_tokens=0) if path.endswith("embeddings") else USAGE


@contextmanager
def instrumented(setup: str, provider: TracerProvider) -> Iterator[OpenAIHooks]:
    """The hooks, and an instrumentation before or after them."""
    name, _, order = setup.partition(" ")
    hooks = OpenAIHooks(provider)
    if order != "before us":
        hooks.install()
    instrumentor = None
    if name != "none":
        instrumentor = importlib.import_module(INSTRUMENTATIONS[name]).OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    if order == "before us":
        hooks.install()
    try:
        yield hooks
    finally:
        # In either order, too.
        if instrumentor is not None and order == "before us":
            instrumentor.uninstrument()
        hooks.remove()
        if instrumentor is not None and order != "before us":
            instrumentor.uninstrument()


@dataclass(frozen=True)
class Call:
    """A call of the client: which method, with what, and how its result is read."""

    method: str
    options: dict[str, Any]
    reads: Literal["model", "stream", "raw", "raw stream"] = "model"


def _parse_method() -> str:
    """Structured answers were in beta until openai 1.92."""
    has_parse = hasattr(openai.resources.chat.Completions, "parse")
    return "chat.completions.parse" if has_parse else "beta.chat.completions.parse"


CALLS: Final = {
    "chat": Call("chat.completions.create", CHAT),
    "stream": Call(
        "chat.completions.create", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}, "stream"
    ),
    "stream without usage": Call("chat.completions.create", {**CHAT, "stream": True}, "stream"),
    "embeddings": Call("embeddings.create", {"model": "text-embedding-3-small", "input": "one two three"}),
    "parse": Call(_parse_method(), CHAT),
    "raw": Call("chat.completions.with_raw_response.create", CHAT, "raw"),
    "raw stream": Call("chat.completions.with_raw_response.create", {**CHAT, "stream": True}, "raw stream"),
    "completion": Call("completions.create", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello there"}),
    "completion stream": Call(
        "completions.create", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello there", "stream": True}, "stream"
    ),
}
if HAS_RESPONSES:
    CALLS["responses"] = Call("responses.create", {"model": "gpt-4o-mini", "input": "Hello there"})
    CALLS["responses stream"] = Call(
        "responses.create", {"model": "gpt-4o-mini", "input": "Hello there", "stream": True}, "stream"
    )
    CALLS["responses parse"] = Call("responses.parse", {"model": "gpt-4o-mini", "input": "Hello there"})


def run(call: Call, server: OpenAIServer) -> list[str]:
    """The results as the application sees them, in text, with ids that are all the same."""
    with ExitStack() as stack:
        client = stack.enter_context(OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0))
        result = attrgetter(call.method)(client)(**call.options)
        if call.reads.startswith("raw"):
            result = result.parse()
        items = list(result) if call.reads.endswith("stream") else [result]
    return [_text(item) for item in items]


def run_async(call: Call, server: OpenAIServer) -> list[str]:
    """The same with the asynchronous client."""

    async def main() -> list[str]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                AsyncOpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0)
            )
            result = await attrgetter(call.method)(client)(**call.options)
            if call.reads.startswith("raw"):
                result = result.parse()
            items = [item async for item in result] if call.reads.endswith("stream") else [result]
        return [_text(item) for item in items]

    return asyncio.run(main())


_ID: Final = re.compile(r"(chatcmpl|cmpl|resp|msg)[-_]\w+")
_TIME: Final = re.compile(r'("(?:created|created_at|completed_at)": )[0-9.]+')


def _text(item: Any) -> str:
    # Without pydantic's defaults: what was not sent is not there.
    told = json.dumps(item.model_dump(exclude_unset=True, warnings=False), sort_keys=True)
    return _TIME.sub(r"\1 0", _ID.sub(r"\1-", told))
