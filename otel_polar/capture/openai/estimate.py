"""Tokens of an answer whose usage never came, for those who would rather bill a guess than nothing.

A stream that is closed early or breaks ends without usage, and the provider bills it all the same. Only where the
application has asked for it is the text that went by counted, and the call is marked as estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv

if TYPE_CHECKING:
    from otel_polar.capture.openai.answers import SpanAttributes
    from otel_polar.options import CountTokens

BYTES_PER_TOKEN: Final = 4
"""About what OpenAI's tokenizers make of English (https://help.openai.com/en/articles/4936856)."""

MAX_CHARACTERS: Final = 4_000_000
_MAX_DEPTH: Final = 20
_PROMPT_FIELDS: Final = ("messages", "input", "instructions", "prompt", "tools")
_ANSWER_FIELDS: Final = ("content", "refusal", "reasoning_content", "tool_calls", "function_call")
_NOT_TEXT: Final = frozenset({"image_url", "input_audio", "file", "file_data", "audio", "id", "type", "role"})


def count_by_bytes(_model: str | None, text: str) -> int:
    """One token for every four bytes of UTF-8, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


class Estimate:
    """Collects what went by of one call."""

    def __init__(self, count: CountTokens, body: Mapping[str, object]) -> None:
        self._count = count
        self._body = body
        self._said: list[str] = []
        self._characters = 0
        self.has_begun = False
        """Whether a stream has begun to answer: what was never answered may have cost nothing."""

    def hear(self, event: object) -> None:
        """One event of the stream, parsed."""
        self.has_begun = True
        for text in _said(event):
            if self._characters < MAX_CHARACTERS:
                self._said.append(text)
                self._characters += len(text)

    def counts(self, model: str | None) -> SpanAttributes:
        """The tokens so far, under the names of the conventions, and the mark."""
        asked = "\n".join(text for field in _PROMPT_FIELDS for text in _texts(self._body.get(field)))
        return {
            semconv.INPUT_TOKENS[0]: self._count(model, asked[:MAX_CHARACTERS]),
            semconv.OUTPUT_TOKENS[0]: self._count(model, "".join(self._said)),
            semconv.USAGE_IS_ESTIMATED: True,
        }


def _said(event: object) -> Iterator[str]:
    """What a chunk or an event adds to the answer."""
    if not isinstance(event, Mapping):
        return
    kind = event.get("type")
    if isinstance(kind, str):
        # Of the Responses API. What ends in .done repeats what the deltas said.
        if kind.endswith(".delta"):
            yield from _texts(event.get("delta"))
        return
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping):
            delta = choice.get("delta")
            yield from _texts(delta.get(key) for key in _ANSWER_FIELDS) if isinstance(delta, Mapping) else ()
            yield from _texts(choice.get("text"))


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """All texts in a value, but for what stands for images, sounds and files."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NOT_TEXT:
                yield from _texts(inner, depth + 1)
    elif isinstance(value, Iterable):
        for inner in value:
            yield from _texts(inner, depth + 1)
