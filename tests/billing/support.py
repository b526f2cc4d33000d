"""What the specifications of billing share: a span, a call, and Polar's rules, written down from Polar's own schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer
from otel_polar.billing.span import SpanRecord
from otel_polar.billing.usage import TokenUsage

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID: Final = "00f067aa0ba902b7"
START: Final = "2026-11-20T12:00:00Z"
"""A Friday noon: outside every provider's peak hours."""

USER: Final = Customer(external_customer_id="user_42")
POLAR_ID: Final = "0b6d1f4e-6f4d-4c3a-9d1e-2f3a4b5c6d7e"


def unix_nano(moment: str) -> int:
    """A moment in ISO 8601 as Unix nanoseconds."""
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1_000


def span(attributes: Mapping[str, object] | None = None, **fields: Any) -> SpanRecord:
    """A span that lasted one second, with *fields* on top."""
    start = unix_nano(START)
    return SpanRecord(
        **{
            "name": "chat gpt-4o-mini",
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "start_time_unix_nano": start,
            "end_time_unix_nano": start + 1_000_000_000,
            "failed": False,
            "scope_name": "opentelemetry.instrumentation.openai_v2",
            "attributes": {} if attributes is None else attributes,
            "resource_attributes": {},
            **fields,
        },
    )


def model_call(**fields: Any) -> ModelCall:
    """A call of user_42 that lasted one second, with *fields* on top."""
    start = fields.pop("start_time_unix_nano", unix_nano(START))
    return ModelCall(
        **{
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "start_time_unix_nano": start,
            "end_time_unix_nano": start + 1_000_000_000,
            "scope_name": "opentelemetry.instrumentation.openai_v2",
            "operation": "chat",
            "provider": "openai",
            "request_model": None,
            "response_model": "gpt-4o-mini",
            "response_id": None,
            "service_tier": None,
            "server_address": None,
            "service_name": None,
            "usage": tokens(1_000, 100),
            "customer": USER,
            **fields,
        },
    )


def tokens(
    input_tokens: int,
    output_tokens: int = 0,
    *,
    cache_read: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
) -> TokenUsage:
    """Usage from the totals a provider prints, its parts included in them."""
    return TokenUsage(
        uncached_input_tokens=input_tokens - cache_read - cache_write,
        visible_output_tokens=output_tokens - reasoning,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=reasoning,
    )


def metadata_problems(metadata: Mapping[Any, object]) -> list[str]:
    """What Polar's ingest endpoint, its documented limits or its meters would object to; empty if nothing.

    Source: polarsource/polar, server/polar/event/schemas.py and server/polar/kit/metadata.py.
    """
    problems = [] if len(metadata) <= 50 else [f"{len(metadata)} keys"]
    for key, value in metadata.items():
        if key == "_cost":
            problems += _cost_problems(value)
        elif key == "_llm":
            problems += _llm_problems(value)
        else:
            problems += [f"{key!r}: {problem}" for problem in (*_key_problems(key), *_value_problems(value))]
    return problems


def _key_problems(key: object) -> list[str]:
    if not isinstance(key, str):
        return ["a key that is not text"]
    rules = {
        "a key that is empty": not key,
        "a key longer than 40": len(key) > 40,
        "a dot, which meters read as a path": "." in key,
        "a leading underscore, which is Polar's own": key.startswith("_"),
    }
    return [problem for problem, broken in rules.items() if broken] + _text_problems(key)


def _value_problems(value: object) -> list[str]:
    if isinstance(value, str):
        return _text_problems(value) + ([] if 1 <= len(value) <= 500 else [f"text of {len(value)}"])
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{value}, for which JSON has no literal"]
    if isinstance(value, int):
        return [] if -(2**63) <= value < 2**63 else ["an integer beyond 64 bits"]
    return [f"a value of type {type(value).__name__}"]


def _text_problems(text: str) -> list[str]:
    rules = {"NUL": "\x00" in text, "a lone surrogate": any("\ud800" <= letter <= "\udfff" for letter in text)}
    return [problem for problem, broken in rules.items() if broken]


def _cost_problems(value: object) -> list[str]:
    if not isinstance(value, Mapping) or value.keys() != {"amount", "currency"} or value["currency"] != "usd":
        return ["_cost is not an amount in usd"]
    amount = Decimal(str(value["amount"]))
    whole, _, places = format(amount, "f").partition(".")
    return [] if amount >= 0 and len(whole) <= 5 and len(places) <= 12 else [f"_cost of {amount}"]


def _llm_problems(value: object) -> list[str]:
    if not isinstance(value, Mapping):
        return ["_llm is not an object"]
    names = {"vendor", "model"}
    counts = {"input_tokens", "cached_input_tokens", "output_tokens", "total_tokens"}
    if value.keys() != names | counts:
        return [f"_llm has {sorted(value)}"]
    return [f"_llm {name}: {problem}" for name in names for problem in _text_problems(str(value[name]))] + [
        f"_llm {name} is no count" for name in counts if type(value[name]) is not int
    ]
