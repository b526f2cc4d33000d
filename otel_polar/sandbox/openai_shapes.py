"""The shapes of OpenAI's answers as pure functions: one call in, a response body or the frames of a stream out.

Nothing here opens a socket, reads a clock or rolls a die: what differs from call to call comes in with the `Call`.

================================  =====================================  ============================================
endpoint                          plain                                  streamed
================================  =====================================  ============================================
``POST /v1/chat/completions``     `chat_completion`                      `stream_chat`, ended by ``[DONE]``
``POST /v1/completions``          `text_completion`                      `stream_text`, ended by ``[DONE]``
``POST /v1/responses``            `response`                             `stream_response`, ended by its last event
``POST /v1/embeddings``           `embeddings`                           -
``GET /v1/models``                `model_list`                           -
================================  =====================================  ============================================

Source: the OpenAI API reference, https://platform.openai.com/docs/api-reference.
"""

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any, Final

from otel_polar.sandbox.openai_requests import (
    REPLY,
    JsonObject,
    Usage,
    choice_count,
    is_limited,
    parse_inputs,
    reply_tokens,
    whole_number,
)

SNAPSHOTS: Final[Mapping[str, str]] = {  # https://platform.openai.com/docs/models: what each alias pointed to
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}

EMBEDDING_DIMENSIONS: Final[Mapping[str, int]] = {  # https://platform.openai.com/docs/guides/embeddings
    "text-embedding-3-large": 3_072,
    "text-embedding-3-small": 1_536,
    "text-embedding-ada-002": 1_536,
}

RESPONSE_ECHO: Final[Mapping[str, Any]] = {  # the request's fields that a response repeats, and their defaults
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}

_DONE: Final = "data: [DONE]\n\n"
_MODEL_CREATED: Final = 1_715_367_049  # Unix seconds; one date for all models keeps the list always the same
_FINGERPRINT: Final = "fp_sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to answer: its body, what it used, the id of the answer and its time in Unix seconds."""

    body: JsonObject
    usage: Usage
    id: str
    created: int

    @property
    def model(self) -> str:
        """The dated snapshot behind the model asked for, or that model itself where none is known."""
        model: str = self.body["model"]
        return SNAPSHOTS.get(model, model)

    @property
    def service_tier(self) -> str:
        """The tier asked for; ``default`` where the choice was left to OpenAI."""
        asked: str | None = self.body.get("service_tier")
        return "default" if asked in (None, "auto") else str(asked)

    @property
    def words(self) -> list[str]:
        """The reply as a stream sends it: word by word, each with the blank before it."""
        words = islice(cycle(REPLY.split()), reply_tokens(self.body))
        return [f" {word}" if position else word for position, word in enumerate(words)]

    @property
    def finish_reason(self) -> str:
        """``length`` where the reply was cut by a limit, else ``stop``."""
        return "length" if is_limited(self.body) else "stop"


# --- Chat completions -------------------------------------------------------------------------------------------------


def chat_completion(call: Call) -> JsonObject:
    """A ``chat.completion`` with one choice for each of ``n``."""
    message: JsonObject = {"role": "assistant", "content": "".join(call.words), "refusal": None, "annotations": []}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": call.finish_reason}
        for index in range(choice_count(call.body))
    ]
    return {**_chat_head(call, "chat.completion"), "choices": choices, "usage": completion_usage(call.usage)}


def stream_chat(call: Call) -> Iterator[str]:
    """``chat.completion.chunk`` frames: the role, the words one by one, why they stop, and the usage if asked."""
    deltas = chain(
        [({"role": "assistant", "content": "", "refusal": None}, None)],
        (({"content": word}, None) for word in call.words),
        [({}, call.finish_reason)],
    )
    choices = (
        {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        for delta, finish_reason in deltas
        for index in range(choice_count(call.body))
    )
    return _stream_choices(call, _chat_head(call, "chat.completion.chunk"), choices)


def _chat_head(call: Call, kind: str) -> JsonObject:
    return {
        "id": call.id,
        "object": kind,
        "created": call.created,
        "model": call.model,
        "service_tier": call.service_tier,
        "system_fingerprint": _FINGERPRINT,
    }


# --- Completions, the older kind --------------------------------------------------------------------------------------


def text_completion(call: Call) -> JsonObject:
    """A ``text_completion`` with one choice for each of ``n`` for each prompt."""
    choices = [_text_choice(index, "".join(call.words), call.finish_reason) for index in _text_indexes(call)]
    return {**_text_head(call), "choices": choices, "usage": completion_usage(call.usage)}


def stream_text(call: Call) -> Iterator[str]:
    """``text_completion`` frames: the words one by one, why they stop, and the usage if asked."""
    texts = chain(((word, None) for word in call.words), [("", call.finish_reason)])
    choices = (_text_choice(index, text, reason) for text, reason in texts for index in _text_indexes(call))
    return _stream_choices(call, _text_head(call), choices)


def _text_indexes(call: Call) -> range:
    return range(choice_count(call.body) * len(parse_inputs(call.body, "prompt")))


def _text_choice(index: int, text: str, finish_reason: str | None) -> JsonObject:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _text_head(call: Call) -> JsonObject:
    return {"id": call.id, "object": "text_completion", "created": call.created, "model": call.model}


# --- What both kinds of completion share ------------------------------------------------------------------------------


def completion_usage(usage: Usage) -> JsonObject:
    """*usage* in the words of the completion endpoints."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _stream_choices(call: Call, head: JsonObject, choices: Iterable[JsonObject]) -> Iterator[str]:
    # With include_usage the usage comes in a chunk of its own, without choices, and is null in all others.
    # https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options
    options = call.body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    unknown_usage = {"usage": None} if with_usage else {}
    for choice in choices:
        yield _data({**head, "choices": [choice], **unknown_usage})
    if with_usage:
        yield _data({**head, "choices": [], "usage": completion_usage(call.usage)})
    yield _DONE


# --- Responses --------------------------------------------------------------------------------------------------------


def response(call: Call) -> JsonObject:
    """A ``response``: completed, or incomplete where ``max_output_tokens`` cut it short."""
    cut = is_limited(call.body)
    return {
        **_response_head(call),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [_output_message(call)],
        "usage": {
            "input_tokens": call.usage.input_tokens,
            "input_tokens_details": {"cached_tokens": call.usage.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": call.usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": call.usage.reasoning_tokens},
            "total_tokens": call.usage.input_tokens + call.usage.output_tokens,
        },
    }


def stream_response(call: Call) -> Iterator[str]:
    """The events of a streamed response, numbered from 0; the last one carries the whole response and its usage."""
    for number, (kind, fields) in enumerate(_response_events(call)):
        yield f"event: {kind}\n{_data({'type': kind, **fields, 'sequence_number': number})}"


def _response_events(call: Call) -> Iterator[tuple[str, JsonObject]]:
    begun = {**_response_head(call), "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    whole, message = response(call), _output_message(call)
    item = {"output_index": 0}
    part = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    text: JsonObject = message["content"][0]
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    yield "response.output_item.added", {**item, "item": {**message, "status": "in_progress", "content": []}}
    yield "response.content_part.added", {**part, "part": {**text, "text": ""}}
    for word in call.words:
        yield "response.output_text.delta", {**part, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**part, "text": text["text"], "logprobs": []}
    yield "response.content_part.done", {**part, "part": text}
    yield "response.output_item.done", {**item, "item": message}
    yield f"response.{whole['status']}", {"response": whole}


def _response_head(call: Call) -> JsonObject:
    return {
        "id": call.id,
        "object": "response",
        "created_at": call.created,
        "model": call.model,
        "service_tier": call.service_tier,
        "background": False,
        "error": None,
        **{name: call.body.get(name, default) for name, default in RESPONSE_ECHO.items()},
    }


def _output_message(call: Call) -> JsonObject:
    return {
        "id": f"msg_{call.id.removeprefix('resp_')}",
        "type": "message",
        "status": "incomplete" if is_limited(call.body) else "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "".join(call.words), "annotations": [], "logprobs": []}],
    }


# --- Embeddings and models --------------------------------------------------------------------------------------------


def embeddings(call: Call) -> JsonObject:
    """A ``list`` of one ``embedding`` for each input, in 32-bit floats, as numbers or in base64."""
    longest = EMBEDDING_DIMENSIONS.get(call.body["model"], 1_536)
    dimensions = whole_number(call.body, "dimensions", default=longest, maximum=longest)
    packed = [_unit_vector(repr(item).encode(), dimensions) for item in parse_inputs(call.body, "input")]
    as_base64 = call.body.get("encoding_format") == "base64"
    vectors = [base64.b64encode(one).decode() if as_base64 else struct.unpack(f"<{dimensions}f", one) for one in packed]
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(vectors)],
        "model": call.model,
        "usage": {"prompt_tokens": call.usage.input_tokens, "total_tokens": call.usage.input_tokens},
    }


def model_list() -> JsonObject:
    """A ``list`` of the models named in this module."""
    names = sorted({*SNAPSHOTS, *SNAPSHOTS.values(), *EMBEDDING_DIMENSIONS})
    models = [{"id": name, "object": "model", "created": _MODEL_CREATED, "owned_by": "system"} for name in names]
    return {"object": "list", "data": models}


def _unit_vector(seed: bytes, dimensions: int) -> bytes:
    """A vector of length 1 that is always the same for *seed*: little-endian 32-bit floats, as OpenAI packs them."""
    numbers = struct.unpack(f"<{dimensions}h", hashlib.shake_256(seed).digest(2 * dimensions))
    length = math.hypot(*numbers) or 1.0
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))


def _data(body: JsonObject) -> str:
    return f"data: {json.dumps(body)}\n\n"
