"""``UsageEvent``: the JSON body Polar gets for one call. Its keys are a contract that outlives this version.

A Polar meter freezes its filter once it has matched events, so names and keys here never change after 1.0. Keys are
snake_case without dots, because Polar reads a dot as a nested path (polarsource/polar, server/polar/kit/metadata.py).

Polar refuses a whole batch for one empty string, one NUL or one nested value in it, so everything that comes from
outside is made to fit first (:mod:`otel_polar.billing.metadata`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.markup import charge_nanos
from otel_polar.billing.metadata import (
    MAX_KEY_CHARACTERS,
    MAX_METADATA_KEYS,
    MAX_VALUE_CHARACTERS,
    UNSENDABLE,
    add_tags,
    sanitise_metadata,
    sanitise_text,
)
from otel_polar.billing.money import cents, nanos
from otel_polar.billing.usage import Unmetered
from otel_polar.errors import UserFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.markup import Markup
    from otel_polar.billing.metadata import Metadata, MetadataValue
    from otel_polar.billing.pricing import Price
    from otel_polar.billing.usage import TokenUsage

MAX_EVENT_NAME_CHARACTERS: Final = 128

DEFAULT_EVENT_NAME: Final = "llm_usage"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

EventName: TypeAlias = "str | Callable[[ModelCall], str]"
MapMetadata: TypeAlias = "Callable[[ModelCall, Metadata], Metadata]"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event as Polar's ingest endpoint takes it.

    ``timestamp`` is ISO 8601 in UTC, to the microsecond. ``parent_id`` is another event's ``external_id``: one that is
    certain to be sent, or Polar shows neither (polarsource/polar, server/polar/event/service.py).
    """

    name: str
    customer: Customer
    external_id: str
    timestamp: str
    metadata: Metadata
    parent_id: str | None = None

    def body(self) -> dict[str, object]:
        """The event as JSON-ready values, with only one kind of customer id in it."""
        return {
            "name": self.name,
            **_customer_fields(self.customer),
            "external_id": self.external_id,
            "timestamp": self.timestamp,
            **({} if self.parent_id is None else {"parent_id": self.parent_id}),
            "metadata": self.metadata,
        }


def build_event(
    call: ModelCall,
    price: Price | None,
    *,
    now: float,
    markup: Markup | None = None,
    event_name: EventName = DEFAULT_EVENT_NAME,
    map_metadata: MapMetadata | None = None,
    parent_id: str | None = None,
) -> UsageEvent:
    """The event of a metered, attributed call. Without a price it carries no cost, rather than a cost of 0.

    Args:
        call: a call with token usage and a customer.
        price: what it cost, or ``None`` if it is to be sent without.
        now: the time in Unix seconds; Polar refuses events from the future, so no timestamp is later than this.
        markup: what to charge for it, as a factor of its cost or a function; charges nothing if ``None``.
        event_name: the name, or a function of the call.
        map_metadata: a function of the call and the default metadata, whose answer replaces the metadata.
        parent_id: the external id of the event of the run that the call is part of.

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
    charge = None if price is None or markup is None else charge_nanos(call, price, markup)
    metadata = _default_metadata(call, call.usage, price, charge)
    if map_metadata is not None:
        metadata = _mapped(call, metadata, map_metadata)
    return UsageEvent(
        name=event_name if isinstance(event_name, str) else _named(call, event_name),
        customer=call.customer,
        external_id=external_id(call),
        timestamp=event_timestamp(call.end_time_unix_nano, now),
        metadata=metadata,
        parent_id=parent_id,
    )


def is_event_name(name: str) -> bool:
    """Whether Polar takes *name* as the name of an event, as it is."""
    return 0 < len(name) <= MAX_EVENT_NAME_CHARACTERS and not UNSENDABLE.search(name)


def _default_metadata(call: ModelCall, usage: TokenUsage, price: Price | None, charge: int | None) -> Metadata:
    vendor = sanitise_text(call.provider or "", MAX_VALUE_CHARACTERS) or "unknown"
    model = sanitise_text(call.model or "", MAX_VALUE_CHARACTERS) or "unknown"
    # Each is a sum: once is enough.
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    cache_read_tokens = usage.all_cache_read_tokens
    contract: dict[str, MetadataValue] = {
        "provider": vendor,
        "model": model,
        "operation": call.operation,
        "requests": 1,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "cache_read_tokens": cache_read_tokens,
        "cache_write_tokens": usage.all_cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        **({"estimated": True} if call.is_estimated else {}),
        **_cost_metadata(price),
        **({} if charge is None else {"charge_nanos": charge}),
        **_optional_text("generation_id", call.response_id),
        "duration_ms": call.duration_ms,
        **_optional_text("service_name", call.service_name),
        "trace_id": call.trace_id,
        "span_id": call.span_id,
        "_llm": {
            "vendor": vendor,
            "model": model,
            "input_tokens": input_tokens,
            "cached_input_tokens": cache_read_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        },
    }
    return add_tags(contract, call.tags)


def _cost_metadata(price: Price | None) -> dict[str, MetadataValue]:
    if price is None:
        return {}
    return {
        "cost_nanos": nanos(price.usd),
        "cost_currency": "usd",
        "price_source": sanitise_text(price.source, MAX_VALUE_CHARACTERS) or "unknown",
        **_optional_text("price_model", price.matched),
        "price_approximate": price.is_approximate,
        "_cost": {"amount": cents(price.usd), "currency": "usd"},
    }


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


def event_timestamp(end_time_unix_nano: int, now: float) -> str:
    """The end of a span as Polar takes it: no later than *now*, in Unix seconds, for Polar refuses the future."""
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
