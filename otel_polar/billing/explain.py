"""What becomes of each span of a recording, and why: the rules of billing, made visible.

The same functions decide here as in a process or behind a Collector. Two things are not in a recording, baggage and
``bill_to``: who pays is told by attributes, or by whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.billing.around import naming_around
from otel_polar.billing.call import ModelCall, external_id
from otel_polar.billing.customer import Customer, CustomerKeys, Unattributed, find_customer
from otel_polar.billing.measurement import read_measurements
from otel_polar.billing.merging import leading_of, merge
from otel_polar.billing.pricing import Price
from otel_polar.billing.reading import read_call
from otel_polar.billing.reported_cost import with_reported_cost
from otel_polar.billing.scopes import NOT_AMONG_BILL_SCOPES, bills
from otel_polar.billing.selection import select
from otel_polar.billing.usage import Unmetered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_polar.billing.pricing import Unpriced
    from otel_polar.billing.reported_cost import TrustedCosts
    from otel_polar.billing.span import SpanRecord

BILLED: Final = "billed"
DUPLICATE: Final = "duplicate"
NOT_BILLED: Final = "not billed"
UNMETERED: Final = "held: unmetered"
UNATTRIBUTED: Final = "held: unattributed"
UNPRICED: Final = "held: unpriced"
DROPPED: Final = "dropped"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of one span. ``call`` is what was read of it or, where it is billed, of all spans of the call.

    ``of`` is the external id of the event it belongs to, ``None`` if it belongs to none.
    """

    span: SpanRecord
    verdict: str
    reason: str
    call: ModelCall | None = None
    price: Price | None = None
    of: str | None = None


def explain(
    spans: Sequence[SpanRecord],
    *,
    keys: CustomerKeys,
    bill_scopes: tuple[str, ...] = (),
    trusted_costs: TrustedCosts = (),
    resolver: Callable[[ModelCall], Price | Unpriced],
    carried: Customer | None = None,
    sends_unpriced: bool = False,
    drops_unattributed: bool = False,
) -> list[Explanation]:
    """One explanation for each of *spans*, in their order.

    Args:
        spans: a recording, in any order.
        keys: under which names customers are looked for.
        bill_scopes: the scopes that bill; all, if there are none.
        trusted_costs: by provider, the attribute whose word on the cost is trusted.
        resolver: what calls cost.
        carried: who pays as far as baggage would have said it.
        sends_unpriced: calls without a known price are sent without cost (``on_unpriced="send"``).
        drops_unattributed: calls with nobody to bill are not kept (``on_unattributed="drop"``).
    """
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    answers: dict[int, Explanation] = {}
    calls: list[ModelCall] = []
    places: list[int] = []
    for place, span in enumerate(spans):
        customer = _customer(span, by_id, keys, carried)
        call = read_call(span, customer)
        if not isinstance(call, ModelCall):
            answers[place] = _measured(span, customer) or Explanation(span, NOT_BILLED, call.reason)
        elif not bills(call.scope_name, bill_scopes):
            answers[place] = Explanation(span, NOT_BILLED, NOT_AMONG_BILL_SCOPES, call)
        else:
            calls.append(with_reported_cost(call, span.attributes, trusted_costs))
            places.append(place)
    for group in select(calls):
        merged = merge([calls[position] for position in group])
        leading = leading_of([calls[position] for position in group])
        verdict, reason, price = _decide(merged, resolver)
        if verdict == UNPRICED and sends_unpriced:
            verdict, reason = BILLED, f"a call to a model, without cost: {reason}"
        if verdict == UNATTRIBUTED and drops_unattributed:
            verdict = DROPPED
        for position in group:
            place, key = places[position], external_id(merged)
            if calls[position] is leading:
                answers[place] = Explanation(spans[place], verdict, reason, merged, price, key)
            else:
                told = f"another span of the call that {leading.scope_name or 'an unnamed scope'} tells of"
                answers[place] = Explanation(spans[place], DUPLICATE, told, calls[position], of=key)
    return [answers[place] for place in range(len(spans))]


def _measured(span: SpanRecord, customer: Customer | Unattributed) -> Explanation | None:
    """What becomes of usage that is no call to a model, as far as the span says so itself."""
    for measurement in read_measurements(span, (), customer, {}):
        told = ", ".join(f"{key} {value}" for key, value in measurement.values.items())
        what = f"usage: event {measurement.event_name}" + (f" with {told}" if told else "")
        if measurement.why_held is not None:
            return Explanation(span, UNMETERED, f"{what}: {measurement.why_held}")
        if isinstance(customer, Unattributed):
            return Explanation(span, UNATTRIBUTED, f"{what}: {customer.reason}")
        return Explanation(span, BILLED, what, of=measurement.external_id)
    return None


def _decide(call: ModelCall, resolver: Callable[[ModelCall], Price | Unpriced]) -> tuple[str, str, Price | None]:
    if isinstance(call.usage, Unmetered):
        return UNMETERED, call.usage.reason, None
    answer = resolver(call)
    price = answer if isinstance(answer, Price) else None
    if isinstance(call.customer, Unattributed):
        return UNATTRIBUTED, call.customer.reason, price
    return (UNPRICED, answer.reason, None) if not isinstance(answer, Price) else (BILLED, "a call to a model", price)


def _customer(
    span: SpanRecord,
    by_id: Mapping[tuple[str, str], SpanRecord],
    keys: CustomerKeys,
    carried: Customer | None,
) -> Customer | Unattributed:
    def look_up(trace_id: str, span_id: str) -> SpanRecord | None:
        return by_id.get((trace_id, span_id))

    return find_customer(
        span.attributes,
        keys,
        carried=carried,
        inherited=naming_around(span, look_up, keys),
        resource_attributes=span.resource_attributes,
        attribute_length_limit=span.attribute_length_limit,
    )
