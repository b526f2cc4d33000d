"""What an answer of OpenAI's says about itself, as span attributes.

Sources: openai-python 3.54.0, ``types``; the OpenTelemetry GenAI semantic conventions for the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_polar.billing import semconv

_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details", "output_token_details")

_TOTALS: Final = {
    "prompt_tokens": semconv.INPUT_TOKENS[0],
    "input_tokens": semconv.INPUT_TOKENS[0],
    "completion_tokens": semconv.OUTPUT_TOKENS[0],
    "output_tokens": semconv.OUTPUT_TOKENS[0],
}
_INPUT_PARTS: Final = {
    "cached_tokens": semconv.CACHE_READ_TOKENS[0],
    "cache_write_tokens": semconv.CACHE_WRITE_TOKENS[0],
    "audio_tokens": semconv.AUDIO_INPUT_TOKENS[0],
    "image_tokens": semconv.IMAGE_INPUT_TOKENS[0],
}
_CACHED_PARTS: Final = {
    "audio_tokens": semconv.AUDIO_CACHE_READ_TOKENS[0],
    "image_tokens": semconv.IMAGE_CACHE_READ_TOKENS[0],
}
_OUTPUT_PARTS: Final = {
    "reasoning_tokens": semconv.REASONING_TOKENS[0],
    "audio_tokens": semconv.AUDIO_OUTPUT_TOKENS[0],
    "image_tokens": semconv.IMAGE_OUTPUT_TOKENS[0],
}
_STEP: Final = "thread.run.step"

SpanAttributes = dict[str, str | int | float | bool]


class Answer:
    """What is known so far of an answer that may come in pieces; what comes later counts."""

    __slots__ = ("id", "is_background", "model", "service_tier", "status", "usage")

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.usage: Mapping[str, Any] | None = None
        self.status: str | None = None
        self.is_background = False

    def learn(self, data: object) -> None:
        """Take what a body, a chunk or an event says; anything that is not an object says nothing."""
        if not isinstance(data, Mapping):
            return
        # Events of the Responses API have the response in them, those of assistants the run.
        inner = next((data[key] for key in ("response", "data") if isinstance(data.get(key), Mapping)), data)
        if inner.get("object") == _STEP:
            # A part of the run, whose usage follows.
            return
        self.id = _text(inner.get("id")) or self.id
        self.model = _text(inner.get("model")) or self.model
        self.service_tier = _text(inner.get("service_tier")) or self.service_tier
        self.status = _text(inner.get("status")) or self.status
        self.is_background = self.is_background or inner.get("background") is True
        if isinstance(inner.get("usage"), Mapping) and inner["usage"]:
            self.usage = inner["usage"]

    def names(self) -> SpanAttributes:
        """Who answered, under the names of the conventions."""
        found = {
            semconv.RESPONSE_ID[0]: self.id,
            semconv.RESPONSE_MODEL[0]: self.model,
            semconv.SERVICE_TIER[1]: self.service_tier,
        }
        return {name: value for name, value in found.items() if value is not None}

    def counts(self) -> SpanAttributes:
        """The tokens, under the names of the conventions; nothing if the answer has no usage."""
        usage = self.usage
        if usage is None:
            return {}
        counts = _pick(usage, _TOTALS)
        inputs = _details(usage, _INPUT_DETAILS)
        counts |= _pick(inputs, _INPUT_PARTS)
        counts |= _pick(_details(inputs, ("cached_tokens_details",)), _CACHED_PARTS)
        counts |= _pick(_details(usage, _OUTPUT_DETAILS), _OUTPUT_PARTS)
        return counts


def _details(usage: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), Mapping)), {})


def _pick(counts: Mapping[str, Any], names: Mapping[str, str]) -> SpanAttributes:
    # Numbers as they are, however odd: what cannot be true is refused where it is read, with its reason.
    return {
        attribute: counts[name]
        for name, attribute in names.items()
        if isinstance(counts.get(name), (int, float)) and not isinstance(counts[name], bool)
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
