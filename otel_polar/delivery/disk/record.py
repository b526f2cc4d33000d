"""A ``ModelCall`` or a ``Measurement`` as the JSON that lies in the outbox, and back.

It is written on the caller's thread, so it is built by hand, and in ASCII, so that a lone surrogate in a tag cannot
make SQLite refuse the row. A reader ignores keys it does not know and gives absent ones their defaults: a newer version
reads what an older one left on disk.
"""

from __future__ import annotations

import json
from sys import intern
from typing import Any, Final

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.usage import TokenUsage, Unmetered

_encode: Final = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode

_COUNTS: Final = {
    # the key in the record -> the field of TokenUsage
    "uncached_input": "uncached_input_tokens",
    "visible_output": "visible_output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "audio_input": "audio_input_tokens",
    "audio_cache_read": "audio_cache_read_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_cache_read": "image_cache_read_tokens",
    "image_output": "image_output_tokens",
}
_KEYS: Final = tuple(_COUNTS)
_NOTHING: Final[dict[str, str | bool]] = {}
_FIRST_RARE: Final = ModelCall._fields.index("requested_service_tier")
_NOTHING_RARE: Final = (None, None, False, None, False)
assert tuple(_COUNTS.values()) == TokenUsage._fields  # noqa: S101 - the dump below relies on their order


def dump_call(call: ModelCall) -> str:
    """One line of ASCII JSON."""
    customer = call.customer
    return _encode(
        {
            "trace_id": call.trace_id,
            "span_id": call.span_id,
            "parent": call.parent_span_id,
            "process": call.process,
            "start": call.start_time_unix_nano,
            "end": call.end_time_unix_nano,
            "scope": call.scope_name,
            "dialect": call.dialect,
            "operation": call.operation,
            "is_total": call.is_total,
            "provider": call.provider,
            "request_model": call.request_model,
            "response_model": call.response_model,
            "response_id": call.response_id,
            "service_tier": call.service_tier,
            "server_address": call.server_address,
            "service_name": call.service_name,
            "usage": _dump_usage(call.usage),
            "customer": _dump_customer(customer),
            "tags": dict(call.tags),
            **_rare(call),
        },
    )


def dump_measurement(measurement: Measurement) -> str:
    """One line of ASCII JSON, which begins as no call does."""
    return _encode(
        {
            "measurement": measurement.event_name,
            "values": dict(measurement.values),
            "trace_id": measurement.trace_id,
            "span_id": measurement.span_id,
            "start": measurement.start_time_unix_nano,
            "end": measurement.end_time_unix_nano,
            "service_name": measurement.service_name,
            "why_held": measurement.why_held,
            "customer": _dump_customer(measurement.customer),
            "tags": dict(measurement.tags),
            "parent_event_id": measurement.parent_event_id,
        },
    )


def _dump_customer(customer: Customer | Unattributed) -> dict[str, str | None]:
    if isinstance(customer, Unattributed):
        return {"unattributed": customer.reason}
    return {
        "id": customer.customer_id,
        "external_id": customer.external_customer_id,
        "member_id": customer.member_id,
    }


def _rare(call: ModelCall) -> dict[str, str | bool]:
    """What most calls do not have."""
    if call[_FIRST_RARE:] == _NOTHING_RARE:
        return _NOTHING
    rare = {
        "requested_service_tier": call.requested_service_tier,
        "reported_cost_usd": call.reported_cost_usd,
        "is_estimated": call.is_estimated or None,
        "parent_event_id": call.parent_event_id,
        "is_assigned": call.is_assigned or None,
    }
    return {key: value for key, value in rare.items() if value is not None}


def _dump_usage(usage: TokenUsage | Unmetered) -> dict[str, Any]:
    if isinstance(usage, Unmetered):
        return {"unmetered": usage.reason, "known": None if usage.known is None else _dump_usage(usage.known)}
    # Most buckets are empty. The two that are always written tell a record from a damaged one.
    return {
        "uncached_input": usage.uncached_input_tokens,
        "visible_output": usage.visible_output_tokens,
        **{key: count for key, count in zip(_KEYS, usage, strict=True) if count},
    }


def load_record(text: str) -> ModelCall | Measurement:
    """What :func:`dump_call` or :func:`dump_measurement` wrote.

    Raises:
        ValueError: if the text is no such record.
    """
    is_measurement = isinstance(text, str) and text.startswith('{"measurement":')
    return _load_measurement(text) if is_measurement else load_call(text)


def _load_measurement(text: str) -> Measurement:
    try:
        fields: dict[str, Any] = json.loads(text)
        return Measurement(
            event_name=_text(fields["measurement"]),
            values=dict(fields["values"]),
            trace_id=_text(fields["trace_id"]),
            span_id=_text(fields["span_id"]),
            start_time_unix_nano=_whole(fields["start"]),
            end_time_unix_nano=None if fields["end"] is None else _whole(fields["end"]),
            customer=_load_customer(fields["customer"]),
            tags=dict(fields.get("tags", {})),
            service_name=_text_or_none(fields.get("service_name")),
            why_held=_text_or_none(fields.get("why_held")),
            parent_event_id=_text_or_none(fields.get("parent_event_id")),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a recorded measurement: {error!r}") from error


def load_call(text: str) -> ModelCall:
    """The call that :func:`dump_call` wrote, by this version or an older one.

    Raises:
        ValueError: if the text is not such a record.
    """
    if not isinstance(text, str) or not text.isascii():
        # It was written in ASCII: something else is damage, though it may still be JSON.
        raise ValueError("not a recorded call: not ASCII")
    try:
        fields: dict[str, Any] = json.loads(text)
        return ModelCall(
            trace_id=_text(fields["trace_id"]),
            span_id=_text(fields["span_id"]),
            start_time_unix_nano=_whole(fields["start"]),
            end_time_unix_nano=_whole(fields["end"]),
            scope_name=_name(fields.get("scope", "")),
            operation=_name(fields["operation"]),
            provider=_name_or_none(fields.get("provider")),
            request_model=_name_or_none(fields.get("request_model")),
            response_model=_name_or_none(fields.get("response_model")),
            response_id=_text_or_none(fields.get("response_id")),
            service_tier=_name_or_none(fields.get("service_tier")),
            server_address=_name_or_none(fields.get("server_address")),
            service_name=_name_or_none(fields.get("service_name")),
            usage=_load_usage(fields["usage"]),
            customer=_load_customer(fields["customer"]),
            tags=dict(fields.get("tags", {})),
            parent_span_id=_text_or_none(fields.get("parent")),
            process=_name(fields.get("process", "")),
            dialect=_name(fields.get("dialect", "")),
            is_total=fields.get("is_total") is True,
            requested_service_tier=_text_or_none(fields.get("requested_service_tier")),
            reported_cost_usd=_text_or_none(fields.get("reported_cost_usd")),
            is_estimated=fields.get("is_estimated") is True,
            parent_event_id=_text_or_none(fields.get("parent_event_id")),
            is_assigned=fields.get("is_assigned") is True,
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a recorded call: {error!r}") from error


def _name(value: object) -> str:
    """Text that many calls have in common, once in memory for all that are remembered."""
    return intern(_text(value))


def _name_or_none(value: object) -> str | None:
    return None if value is None else intern(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} where a whole number belongs")
    return value


def _load_usage(fields: dict[str, Any]) -> TokenUsage | Unmetered:
    if "unmetered" in fields:
        known = fields.get("known")
        return Unmetered(_text(fields["unmetered"]), None if known is None else _load_counts(known))
    return _load_counts(fields)


def _load_counts(fields: dict[str, Any]) -> TokenUsage:
    every = {**dict.fromkeys(_KEYS, 0), "uncached_input": fields["uncached_input"]}
    every |= {
        "visible_output": fields["visible_output"],
        **{key: fields[key] for key in fields.keys() & _COUNTS.keys()},
    }
    return TokenUsage(*map(_load_count, every.values()))


def _load_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a recorded call: a token count is not a whole number of at least 0")
    return value


def _load_customer(fields: dict[str, Any]) -> Customer | Unattributed:
    if "unattributed" in fields:
        return Unattributed(_text(fields["unattributed"]))
    if not fields.get("id") and not fields.get("external_id"):
        raise ValueError("not a recorded call: a customer without an id")
    return Customer(
        customer_id=_text_or_none(fields.get("id")),
        external_customer_id=_text_or_none(fields.get("external_id")),
        member_id=_text_or_none(fields.get("member_id")),
    )
