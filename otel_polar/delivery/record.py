"""A ``ModelCall`` as the JSON that lies in the outbox, and back.

It is written on the caller's thread, so it is built by hand, and in ASCII, so that a lone surrogate in a tag cannot
make SQLite refuse the row. A reader ignores keys it does not know and gives absent ones their defaults: a newer version
reads what an older one left on disk.
"""

from __future__ import annotations

import json
from typing import Any, Final

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.usage import TokenUsage, Unmetered

_encode: Final = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode


def dump_call(call: ModelCall) -> str:
    """One line of ASCII JSON."""
    customer = call.customer
    usage = call.usage
    return _encode(
        {
            "trace_id": call.trace_id,
            "span_id": call.span_id,
            "start": call.start_time_unix_nano,
            "end": call.end_time_unix_nano,
            "scope": call.scope_name,
            "operation": call.operation,
            "provider": call.provider,
            "request_model": call.request_model,
            "response_model": call.response_model,
            "response_id": call.response_id,
            "service_tier": call.service_tier,
            "server_address": call.server_address,
            "service_name": call.service_name,
            "usage": {"unmetered": usage.reason}
            if isinstance(usage, Unmetered)
            else {
                "uncached_input": usage.uncached_input_tokens,
                "visible_output": usage.visible_output_tokens,
                "cache_read": usage.cache_read_tokens,
                "cache_write": usage.cache_write_tokens,
                "cache_write_1h": usage.cache_write_1h_tokens,
                "reasoning": usage.reasoning_tokens,
            },
            "customer": {"unattributed": customer.reason}
            if isinstance(customer, Unattributed)
            else {
                "id": customer.customer_id,
                "external_id": customer.external_customer_id,
                "member_id": customer.member_id,
            },
            "tags": dict(call.tags),
        },
    )


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
            trace_id=fields["trace_id"],
            span_id=fields["span_id"],
            start_time_unix_nano=fields["start"],
            end_time_unix_nano=fields["end"],
            scope_name=fields.get("scope", ""),
            operation=fields["operation"],
            provider=fields.get("provider"),
            request_model=fields.get("request_model"),
            response_model=fields.get("response_model"),
            response_id=fields.get("response_id"),
            service_tier=fields.get("service_tier"),
            server_address=fields.get("server_address"),
            service_name=fields.get("service_name"),
            usage=_load_usage(fields["usage"]),
            customer=_load_customer(fields["customer"]),
            tags=dict(fields.get("tags", {})),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a recorded call: {error!r}") from error


def _load_usage(fields: dict[str, Any]) -> TokenUsage | Unmetered:
    if "unmetered" in fields:
        return Unmetered(fields["unmetered"])
    return TokenUsage(
        uncached_input_tokens=_load_count(fields["uncached_input"]),
        visible_output_tokens=_load_count(fields["visible_output"]),
        cache_read_tokens=_load_count(fields.get("cache_read", 0)),
        cache_write_tokens=_load_count(fields.get("cache_write", 0)),
        cache_write_1h_tokens=_load_count(fields.get("cache_write_1h", 0)),
        reasoning_tokens=_load_count(fields.get("reasoning", 0)),
    )


def _load_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a recorded call: a token count is not a whole number of at least 0")
    return value


def _load_customer(fields: dict[str, Any]) -> Customer | Unattributed:
    if "unattributed" in fields:
        return Unattributed(fields["unattributed"])
    if not fields.get("id") and not fields.get("external_id"):
        raise ValueError("not a recorded call: a customer without an id")
    return Customer(
        customer_id=fields.get("id"),
        external_customer_id=fields.get("external_id"),
        member_id=fields.get("member_id"),
    )
