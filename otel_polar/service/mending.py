"""Messages of which a part cannot be decoded, which must cost neither the call they are about nor others with it.

Mostly it is a text that is not UTF-8, such as a prompt that a Collector's processor cut in the middle of a character.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]  # it tells no types
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.wire import KEY, frames, tag_before

_Parsed = TypeVar("_Parsed", bound=Message)


def parse(message: _Parsed, content: bytes, *, attributes: int) -> _Parsed:
    """Decode *content* into an empty *message*, as far as that can be done; *attributes* is the number of that field.

    An attribute whose value cannot be decoded has bytes for its value, which nothing takes for a text: without it, a
    user who is named less explicitly would pay.

    Raises:
        SpansFormatError: if its fields do not fit into it.
    """
    try:
        message.ParseFromString(content)
    except DecodeError:
        message.Clear()
        _mend(message, content, attributes)
    return message


def _mend(message: Message, content: bytes, attributes: int) -> None:
    position = 0
    for number, begin, end in frames(content, 0, len(content)):
        tag = tag_before(content, number, begin, end)
        # Numbers before it.
        _merge(message, content[position:tag])
        if not _merge(message, content[tag:end]) and number == attributes and (key := _key(content, begin, end)):
            getattr(message, "attributes").append(KeyValue(key=key, value=AnyValue(bytes_value=b"")))  # noqa: B009 - not every message has them
        position = end
    _merge(message, content[position:])


def _merge(message: Message, content: bytes) -> bool:
    try:
        message.MergeFrom(type(message).FromString(content))
    except DecodeError:
        return False
    return True


def _key(content: bytes, begin: int, end: int) -> str | None:
    try:
        keys = [content[at:to].decode() for number, at, to in frames(content, begin, end) if number == KEY]
    except (UnicodeDecodeError, SpansFormatError):
        return None
    return keys[-1] if keys else None
