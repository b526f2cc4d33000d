"""The numbers behind the page: usage and cost by customer, model and minute. Pure: events in, JSON out.

Money is counted in nanos, whole billionths of a dollar: from ``cost_nanos`` where the event has it, otherwise from
``_cost.amount``, which is in cents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from otel_polar.sandbox.records import isoformat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_polar.sandbox.records import Customer, Event

_LARGEST_EXACT: Final = 2**53 - 1
_NANOS_PER_CENT: Final = 10_000_000
_MINUTE_US: Final = 60_000_000
_MINUTES_SHOWN: Final = 30
_MODELS_SHOWN: Final = 6
_EVENTS_SHOWN: Final = 25
# Where a count stands: at top level, or in Polar's own `_llm`.
_TOKENS: Final = {
    "input_tokens": ("input_tokens", "input_tokens"),
    "output_tokens": ("output_tokens", "output_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cached_input_tokens"),
    "total_tokens": ("total_tokens", "total_tokens"),
}


def cost_nanos(metadata: Mapping[str, Any]) -> int | None:
    """Return what the call cost in billionths of a dollar, or None where the event does not say."""
    nanos = metadata.get("cost_nanos")
    if _is_shown(nanos):
        return nanos
    cost = metadata.get("_cost")
    return round(cost["amount"] * _NANOS_PER_CENT) if isinstance(cost, dict) else None


def tokens(metadata: Mapping[str, Any], kind: str) -> int:
    """Return a count of tokens, 0 where the event has none."""
    name, llm_name = _TOKENS[kind]
    usage = metadata.get("_llm")
    count = metadata.get(name, usage.get(llm_name) if isinstance(usage, dict) else None)
    return count if _is_shown(count) else 0


def _is_shown(value: Any) -> TypeGuard[int]:
    # bool is an int in Python; True is not one token. Polar takes integers of any size, JavaScript does not.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_EXACT


def model_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the model's name."""
    usage = metadata.get("_llm")
    model = metadata.get("model", usage.get("model") if isinstance(usage, dict) else None)
    return None if model is None else str(model)


@dataclass(slots=True)
class Tally:
    """A running sum over events."""

    events: int = 0
    priced_events: int = 0
    cost_nanos: int = 0
    last_us: int = 0
    tokens: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, event: Event) -> None:
        """Count one event."""
        self.events += 1
        if (cost := cost_nanos(event.metadata)) is not None:
            self.priced_events += 1
            self.cost_nanos += cost
        self.last_us = max(self.last_us, event.timestamp_us)
        for kind in _TOKENS:
            self.tokens[kind] += tokens(event.metadata, kind)

    def as_json(self) -> dict[str, Any]:
        """Return the sums; the cost is None where there are events and none of them says what it cost."""
        counts = {kind: self.tokens[kind] for kind in _TOKENS}
        is_unknown = self.events > 0 and self.priced_events == 0
        return {"events": self.events, "cost_nanos": None if is_unknown else self.cost_nanos, **counts}


def build_overview(events: Sequence[Event], customers: Iterable[Customer], now_us: int) -> dict[str, Any]:
    """Return the totals, the customers by cost, the models by tokens and the last half hour by minute."""
    known = _Directory(customers)
    total, by_payer, by_model = Tally(), defaultdict[str, Tally](Tally), defaultdict[str, Tally](Tally)
    for event in events:
        for tally in (total, by_payer[known.key_of(event)], by_model[model_of(event.metadata) or "no model"]):
            tally.add(event)
    for key in known.keys():  # noqa: SIM118 - a customer without events is shown too; this is no mapping
        by_payer[key].events += 0
    rows = [{**known.describe(key), **tally.as_json()} for key, tally in by_payer.items()]
    rows.sort(key=lambda row: (-(row["cost_nanos"] or 0), -row["events"], row["label"]))
    return {
        "totals": {**total.as_json(), "customers": len(rows)},
        "customers": rows,
        "models": _top_models(by_model),
        "minutes": _minutes(events, now_us),
    }


def _top_models(by_model: Mapping[str, Tally]) -> list[dict[str, Any]]:
    ranked = sorted(by_model.items(), key=lambda item: (-item[1].tokens["total_tokens"], item[0]))
    return [{"model": model, **tally.as_json()} for model, tally in ranked[:_MODELS_SHOWN]]


def _minutes(events: Iterable[Event], now_us: int) -> list[dict[str, Any]]:
    last = now_us // _MINUTE_US
    costs = dict.fromkeys(range(last - _MINUTES_SHOWN + 1, last + 1), 0)
    for event in events:
        minute = event.timestamp_us // _MINUTE_US
        if minute in costs:
            costs[minute] += cost_nanos(event.metadata) or 0
    return [{"minute": isoformat(minute * _MINUTE_US), "cost_nanos": cost} for minute, cost in costs.items()]


def newest_events(events: Iterable[Event], customers: Iterable[Customer], key: str) -> list[dict[str, Any]]:
    """Return one customer's newest events, the newest first."""
    known = _Directory(customers)
    own = [event for event in events if known.key_of(event) == key]
    own.sort(key=lambda event: event.timestamp_us, reverse=True)
    return [_event_row(event) for event in own[:_EVENTS_SHOWN]]


def _event_row(event: Event) -> dict[str, Any]:
    metadata = event.metadata
    return {
        "id": event.id,
        "time": isoformat(event.timestamp_us),
        "name": event.name,
        "provider": metadata.get("provider"),
        "operation": metadata.get("operation"),
        "model": model_of(metadata),
        "cost_nanos": cost_nanos(metadata),
        **{kind: tokens(metadata, kind) for kind in _TOKENS},
    }


class _Directory:
    """Names those who pay: customers of Polar, and external ids that are none yet."""

    def __init__(self, customers: Iterable[Customer]) -> None:
        self._by_key = {f"id:{customer.id}": customer for customer in customers}
        self._key_by_external_id = {
            customer.external_id: key for key, customer in self._by_key.items() if customer.external_id is not None
        }

    def keys(self) -> Iterable[str]:
        return self._by_key.keys()

    def key_of(self, event: Event) -> str:
        if event.customer_id is not None:
            return f"id:{event.customer_id}"
        external_id = event.external_customer_id or ""
        return self._key_by_external_id.get(external_id, f"external:{external_id}")

    def describe(self, key: str) -> dict[str, Any]:
        customer = self._by_key.get(key)
        label = key.partition(":")[2]
        if customer is not None:
            label = customer.external_id or customer.name or customer.email or customer.id
        name = None if customer is None else customer.name or customer.email
        return {"key": key, "label": label, "name": name, "known": customer is not None}
