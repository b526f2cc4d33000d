"""OTLP/JSON documents as ``SpanRecord``s.

Protobuf's mapping (https://protobuf.dev/programming-guides/json) as OTLP changes it
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): field names in camelCase or snake_case, unknown
fields ignored, null as if absent, 64-bit integers as numbers or text, enums by number or name, bytes as base64, but
ids as hex.
"""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Final, TypeGuard

from otel_polar.service.origin import MAX_DEPTH, Origin, SpansFormatError, build_record, process_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from otel_polar.billing.span import SpanRecord

_REQUEST: Final = frozenset({"resourceSpans", "resource_spans"})
_STATUS_CODE_ERROR: Final = (2, "2", "STATUS_CODE_ERROR")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_INT64: Final = 2**63
_URL_SAFE: Final = str.maketrans("-_", "+/")
_JSON_NAMES: Final = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}


def parse(content: bytes | str, *, line: int) -> object:
    """What a JSON text that begins on *line* says.

    Raises:
        SpansFormatError: if it is not JSON; the message names the line at fault.
    """
    try:
        return json.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
    except UnicodeDecodeError as error:
        line += error.object.count(b"\n", 0, error.start)
        raise SpansFormatError(f"line {line} is not UTF-8") from error
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        raise SpansFormatError(f"line {line} is not JSON ({error.msg}, column {error.colno})") from error
    except (RecursionError, ValueError) as error:
        # Thousands of brackets, or a number of thousands of digits.
        raise SpansFormatError(f"line {line} is JSON out of all proportion ({type(error).__name__})") from error


def unknown(document: object, *, line: int) -> SpansFormatError:
    """Say of a document that is JSON, but no spans, what it is."""
    keys = f" with the keys {[key[:40] for key in list(document)[:5]]}" if isinstance(document, dict) else ""
    return SpansFormatError(f"line {line} is a JSON {_JSON_NAMES.get(type(document), 'number')}{keys}")


def is_request(document: object) -> bool:
    """Whether it has ``resourceSpans``, or nothing at all, as an export of no spans."""
    return isinstance(document, dict) and (not document or not _REQUEST.isdisjoint(document))


def records_of_json(document: object, *, line: int) -> Iterator[SpanRecord | None]:
    """Spans of a document that :func:`is_request`; ``None`` for each that cannot be told from another.

    Raises:
        SpansFormatError: if what should hold the spans is no array of objects.
    """
    return (record_of(span, origin) for span, origin in objects_of_spans(document, line=line))


def objects_of_spans(document: object, *, line: int) -> Iterator[tuple[object, Origin]]:
    """The same spans as they are, each with where it came from."""
    for resource_spans in _array(document, "resource_spans", line=line):
        resource_attributes = _attributes(_field(_field(resource_spans, "resource"), "attributes"), 0)
        process = process_of(resource_attributes)
        scope_spans = _array(resource_spans, "scope_spans", line=line)
        for group in scope_spans or _array(resource_spans, "instrumentation_library_spans", line=line):
            scope = _field(group, "scope") or _field(group, "instrumentation_library")
            scope_name = _field(scope, "name")
            origin = Origin(scope_name if _is_unicode(scope_name) else "", resource_attributes, process)
            for span in _array(group, "spans", line=line):
                yield span, origin


def has_any_key(span: object, keys: AbstractSet[str]) -> bool:
    """Whether a span has an attribute by any of these names."""
    pairs = _field(span, "attributes")
    return isinstance(pairs, list) and any(_text(_field(pair, "key")) in keys for pair in pairs)


def read_int(value: object) -> int | None:
    """A 64-bit integer, which JSON may hold as a number, also as 1e3, or as text."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -_INT64 <= value < _INT64 else None


def record_of(span: object, origin: Origin, names: AbstractSet[str] | None = None) -> SpanRecord | None:
    """Read a span, of its attributes only those of these *names* if there are any; ``None`` if it has no identity."""
    pairs = _field(span, "attributes")
    if names is not None and isinstance(pairs, list):
        pairs = [pair for pair in pairs if _text(_field(pair, "key")) in names]
    return build_record(
        origin,
        name=_text(_field(span, "name")) or "",
        trace_id=_field(span, "trace_id"),
        span_id=_field(span, "span_id"),
        parent_span_id=_field(span, "parent_span_id"),
        start_time_unix_nano=read_int(_field(span, "start_time_unix_nano")),
        end_time_unix_nano=read_int(_field(span, "end_time_unix_nano")),
        failed=_field(_field(span, "status"), "code") in _STATUS_CODE_ERROR,
        attributes=_attributes(pairs, 0),
        dropped_attributes=read_int(_field(span, "dropped_attributes_count")),
    )


@cache
def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _field(message: object, name: str) -> object:
    if not isinstance(message, dict):
        return None
    value = message.get(_camel_case(name))
    return message.get(name) if value is None else value


def _array(message: object, name: str, *, line: int) -> list[object]:
    value = _field(message, name)
    if not isinstance(message, dict) or not isinstance(value, list | None):
        raise SpansFormatError(
            f"line {line} is OTLP/JSON with something else where an array {_camel_case(name)} belongs"
        )
    return value or []


def _attributes(pairs: object, depth: int) -> dict[str, object]:
    if not isinstance(pairs, list):
        return {}
    values = ((_text(_field(pair, "key")) or "", _value(_field(pair, "value"), depth)) for pair in pairs)
    return {key: value for key, value in values if value is not None}


def _value(value: object, depth: int) -> object:
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return None
    for kind, held in value.items():
        if held is None:
            continue
        if kind in _SCALARS:
            return _SCALARS[kind](held)
        if kind in {"arrayValue", "array_value"}:
            return _tuple(_field(held, "values"), depth + 1)
        if kind in {"kvlistValue", "kvlist_value"}:
            return _attributes(_field(held, "values"), depth + 1)
    return None


def _tuple(items: object, depth: int) -> tuple[object, ...]:
    return tuple(_value(item, depth) for item in items) if isinstance(items, list) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _string(value: object) -> str | bytes | None:
    """A text as an attribute has it; half a character, as JSON can hold it and UTF-8 cannot, makes it none."""
    return value if _is_unicode(value) else b"" if isinstance(value, str) else None


def _is_unicode(value: object) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _double(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)  # also of "NaN", "Infinity" and "-Infinity", for which JSON has no number
    except (ValueError, OverflowError):
        return None


def _bytes(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    text = value.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


_SCALARS: Final[dict[str, Callable[[object], object]]] = {
    **dict.fromkeys(("stringValue", "string_value"), _string),
    **dict.fromkeys(("boolValue", "bool_value"), _bool),
    **dict.fromkeys(("intValue", "int_value"), read_int),
    **dict.fromkeys(("doubleValue", "double_value"), _double),
    **dict.fromkeys(("bytesValue", "bytes_value"), _bytes),
}
