"""``UsageEvent``: the JSON body Polar gets for one call. Its keys are a contract that outlives this version.

A Polar meter freezes its filter once it has matched events, so names and keys here never change after 1.0. Keys are
snake_case without dots, because Polar reads a dot as a nested path (polarsource/polar, server/polar/kit/metadata.py).

Polar refuses a whole batch for one empty string, one NUL or one nested value in it, so everything that comes from
outside is made to fit first: see :func:`sanitise_metadata` for the limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.pricing import Cost, cents, nanos
from otel_polar.billing.usage import Unmetered

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall, TagValue
    from otel_polar.billing.usage import TokenUsage

# Documented limits of POST /v1/events/ingest (polar.sh, event ingestion; server/polar/event/schemas.py).
MAX_EVENT_NAME_CHARACTERS: Final = 128
MAX_METADATA_KEYS: Final = 50
MAX_KEY_CHARACTERS: Final = 40
MAX_VALUE_CHARACTERS: Final = 500
MAX_INTEGER_BITS: Final = 63

DEFAULT_EVENT_NAME: Final = "llm_usage"

# NUL is refused by Polar, and a lone surrogate cannot be encoded at all.
_UNSENDABLE: Final = re.compile("[\x00\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MetadataValue: TypeAlias = "str | int | float | bool | Mapping[str, str | int]"
Metadata: TypeAlias = "Mapping[str, MetadataValue]"
EventName: TypeAlias = "str | Callable[[ModelCall], str]"
MapMetadata: TypeAlias = "Callable[[ModelCall, Metadata], Metadata]"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event as Polar's ingest endpoint takes it. ``timestamp`` is ISO 8601 in UTC, to the microsecond."""

    name: str
    customer: Customer
    external_id: str
    timestamp: str
    metadata: Metadata

    def body(self) -> dict[str, object]:
        """The event as JSON-ready values, with only one kind of customer id in it."""
        return {
            "name": self.name,
            **_customer_fields(self.customer),
            "external_id": self.external_id,
            "timestamp": self.timestamp,
            "metadata": self.metadata,
        }


class UserFunctionError(Exception):
    """A function given as ``event_name`` or ``map_metadata`` raised, or answered something that cannot be sent."""


def build_event(
    call: ModelCall,
    cost: Cost | None,
    *,
    now: float,
    event_name: EventName = DEFAULT_EVENT_NAME,
    map_metadata: MapMetadata | None = None,
) -> UsageEvent:
    """The event of a metered, attributed call. Without a cost it carries none, rather than a cost of 0.

    Args:
        call: a call with token usage and a customer.
        cost: what it cost, or ``None`` if it is to be sent without.
        now: the time in Unix seconds; Polar refuses events from the future, so no timestamp is later than this.
        event_name: the name, or a function of the call.
        map_metadata: a function of the call and the default metadata, whose answer replaces the metadata.

    Raises:
        UserFunctionError: if a function raised or gave something unusable.
        ValueError: if the call has no usage or no customer.
    """
    if isinstance(call.usage, Unmetered):
        raise ValueError(call.usage.reason)  # noqa: TRY004 - the type is right, the call is not billable
    if isinstance(call.customer, Unattributed):
        raise ValueError(call.customer.reason)  # noqa: TRY004 - the type is right, the call is not billable
    if not (call.customer.customer_id or call.customer.external_customer_id):
        raise ValueError("a customer without an id")
    metadata = _default_metadata(call, call.usage, cost)
    if map_metadata is not None:
        metadata = _mapped(call, metadata, map_metadata)
    return UsageEvent(
        name=event_name if isinstance(event_name, str) else _named(call, event_name),
        customer=call.customer,
        external_id=external_id(call),
        timestamp=_timestamp(call.end_time_unix_nano, now),
        metadata=metadata,
    )


def sanitise_metadata(metadata: Mapping[Any, object], *, max_keys: int = MAX_METADATA_KEYS) -> dict[str, TagValue]:
    """What Polar accepts of *metadata*.

    At most *max_keys* keys of 40 characters; text of 1 to 500 characters without NUL and lone surrogates; numbers that
    are finite and whole ones of at most 63 bits; lists of names joined by commas; nothing nested. What cannot be made
    to fit is left out. Dots in keys become underscores; leading underscores are Polar's own and go.
    """
    result: dict[str, TagValue] = {}
    for raw_key, raw_value in metadata.items():
        if len(result) >= max_keys:
            break
        key = _sanitise_key(raw_key)
        value = _sanitise_value(raw_value)
        if key and value is not None:
            result.setdefault(key, value)
    return result


def add_tags(contract: Metadata, tags: Mapping[str, TagValue]) -> Metadata:
    """The contract's metadata, then the tags that still fit.

    A tag whose key belongs to the contract is written as ``tag_<key>``: no tag can pass for a token count or a cost.
    """
    taken = contract.keys() | _CONTRACT_KEYS
    fitting = sanitise_metadata(tags, max_keys=MAX_METADATA_KEYS - len(contract))
    renamed = {(f"tag_{key}"[:MAX_KEY_CHARACTERS] if key in taken else key): value for key, value in fitting.items()}
    return {**contract, **renamed}


def sanitise_text(value: str, max_characters: int) -> str:
    """Text that Polar accepts: without NUL and lone surrogates, cut to *max_characters* code points."""
    return _UNSENDABLE.sub("", value)[:max_characters]


def is_event_name(name: str) -> bool:
    """Whether Polar takes *name* as the name of an event, as it is."""
    return 0 < len(name) <= MAX_EVENT_NAME_CHARACTERS and not _UNSENDABLE.search(name)


def _default_metadata(call: ModelCall, usage: TokenUsage, cost: Cost | None) -> Metadata:
    vendor = sanitise_text(call.provider or "", MAX_VALUE_CHARACTERS) or "unknown"
    model = sanitise_text(call.model or "", MAX_VALUE_CHARACTERS) or "unknown"
    contract: dict[str, MetadataValue] = {
        "provider": vendor,
        "model": model,
        "operation": call.operation,
        "requests": 1,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.all_cache_read_tokens,
        "cache_write_tokens": usage.all_cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        **_cost_metadata(cost),
        **_optional_text("generation_id", call.response_id),
        "duration_ms": call.duration_ms,
        **_optional_text("service_name", call.service_name),
        "trace_id": call.trace_id,
        "span_id": call.span_id,
        "_llm": {
            "vendor": vendor,
            "model": model,
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.all_cache_read_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
    }
    return add_tags(contract, call.tags)


def _cost_metadata(cost: Cost | None) -> dict[str, MetadataValue]:
    if cost is None:
        return {}
    return {
        "cost_nanos": nanos(cost.femto_usd),
        "cost_currency": "usd",
        "price_source": sanitise_text(cost.source, MAX_VALUE_CHARACTERS) or "unknown",
        "_cost": {"amount": cents(cost.femto_usd), "currency": "usd"},
    }


_CONTRACT_KEYS: Final = frozenset(
    {"cost_nanos", "cost_currency", "price_source", "charge_nanos", "generation_id", "service_name"},
)
"""Keys that are ours even on an event that happens to lack them."""


_STRUCTURED_KEYS: Final = ("_cost", "_llm")


def _optional_text(key: str, value: str | None) -> dict[str, MetadataValue]:
    text = sanitise_text(value or "", MAX_VALUE_CHARACTERS)
    return {key: text} if text else {}


def _customer_fields(customer: Customer) -> dict[str, str]:
    member = customer.member_id
    if customer.customer_id is not None:
        return {"customer_id": customer.customer_id, **({"member_id": member} if member else {})}
    external = customer.external_customer_id or ""
    return {"external_customer_id": external, **({"external_member_id": member} if member else {})}


def _timestamp(end_time_unix_nano: int, now: float) -> str:
    # Whole microseconds: a float of nanoseconds since 1970 moves in steps of 256.
    microseconds = min(end_time_unix_nano // 1_000, int(now * 1_000_000))
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _named(call: ModelCall, event_name: Callable[[ModelCall], str]) -> str:
    try:
        name = event_name(call)
    except BaseException as error:
        raise UserFunctionError(f"event_name raised {type(error).__name__}") from error
    # Another name than was meant would match no meter, so it is not made to fit.
    if not isinstance(name, str) or not is_event_name(name):
        raise UserFunctionError(
            f"event_name must answer text of 1 to {MAX_EVENT_NAME_CHARACTERS} characters, without NUL and surrogates",
        )
    return name


def _mapped(call: ModelCall, metadata: Metadata, map_metadata: MapMetadata) -> Metadata:
    # A copy is offered, so that a function which changes its argument changes nothing of ours.
    offered = {key: dict(value) if isinstance(value, Mapping) else value for key, value in metadata.items()}
    try:
        answer: object = map_metadata(call, offered)
        mapped: dict[Any, object] | None = dict(answer) if isinstance(answer, Mapping) else None
    except BaseException as error:
        raise UserFunctionError(f"map_metadata raised {type(error).__name__}") from error
    if mapped is None:
        raise UserFunctionError(f"map_metadata must answer a mapping, not what is of type {type(answer).__name__}")
    for key, value in mapped.items():
        if key not in _STRUCTURED_KEYS:
            _check_mapped(key, value)
    # Polar's two structured keys pass only as they were built: anything else in them would refuse the whole batch.
    structured: dict[str, MetadataValue] = {
        key: metadata[key] for key in _STRUCTURED_KEYS if key in mapped and key in metadata
    }
    plain = {key: value for key, value in mapped.items() if key not in _STRUCTURED_KEYS}
    return {**sanitise_metadata(plain, max_keys=MAX_METADATA_KEYS - len(structured)), **structured}


def _check_mapped(key: object, value: object) -> None:
    """Refuse what would be left out in silence: a meter would then pass over the event."""
    items = value if isinstance(value, (list, tuple)) else ()
    if not isinstance(key, str):
        raise UserFunctionError(f"map_metadata must answer keys that are text, not of type {type(key).__name__}")
    if not isinstance(value, (str, int, float, list, tuple, NoneType)) or not all(isinstance(i, str) for i in items):
        raise UserFunctionError(
            f"map_metadata must answer text, numbers, truth values or lists of text, but {key[:MAX_KEY_CHARACTERS]!r}"
            f" is of type {type(value).__name__}",
        )


def _sanitise_key(key: object) -> str:
    if not isinstance(key, str):
        return ""
    return sanitise_text(key, MAX_KEY_CHARACTERS).replace(".", "_").lstrip("_")


def _sanitise_value(value: object) -> TagValue | None:
    if isinstance(value, (list, tuple)):
        value = ",".join(item for item in value if isinstance(item, str))
    if isinstance(value, str):
        return sanitise_text(value, MAX_VALUE_CHARACTERS) or None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_INTEGER_BITS else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None
