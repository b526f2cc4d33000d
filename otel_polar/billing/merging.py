"""Several spans of one call as one ``ModelCall``: the best that any of them knows, field by field.

The innermost span leads: it is nearest to the provider, so its numbers and its model are the provider's own. A proxy's
span has the real model where the client's has an alias; an instrumentation that adds up a stream wrongly stands around
the library's own span. What it does not know is taken from the next one out. Two totals are never mixed into a third:
input is taken from one span and so is output, with the finest division into buckets that adds up to the same total.

Where two spans name two customers, nobody is billed until a person decides. What a person has decided is not asked of
spans any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.billing.usage import TokenUsage, Unmetered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_polar.billing.call import ModelCall

CONTRADICTION: Final = Unattributed("two spans of one call name two customers")


def merge(calls: Sequence[ModelCall]) -> ModelCall:
    """The one call that all of *calls* (at least one) are about."""
    if len(calls) == 1:
        return calls[0]
    leading = leading_of(calls)
    ordered = [leading, *(call for call in _innermost_first(_parts(calls)) if call is not leading)]
    assigned = [call for call in calls if call.is_assigned]
    with_model = next((call for call in ordered if call.model is not None), leading)
    return leading._replace(
        provider=_first(call.provider for call in ordered),
        request_model=with_model.request_model,
        response_model=with_model.response_model,
        response_id=_first(call.strong_id for call in ordered) or leading.response_id,
        service_tier=_first(call.service_tier for call in ordered),
        requested_service_tier=_first(call.requested_service_tier for call in ordered),
        reported_cost_usd=_first(call.reported_cost_usd for call in ordered),
        parent_event_id=_first(call.parent_event_id for call in ordered),
        server_address=_first(call.server_address for call in ordered),
        usage=_merged_usage(ordered),
        customer=_merged_customer(
            assigned or [*ordered, *(call for call in calls if call.is_total and call not in ordered)]
        ),
        is_assigned=bool(assigned),
        tags={key: value for call in reversed(ordered) for key, value in call.tags.items()},
    )


def leading_of(calls: Sequence[ModelCall]) -> ModelCall:
    """The innermost of *calls* (at least one) that knows its tokens, or has a guess, else the innermost."""
    ordered = _innermost_first(_parts(calls))
    metered = [call for call in ordered if isinstance(call.usage, TokenUsage)]
    return next((call for call in metered if not call.is_estimated), next(iter(metered), ordered[0]))


def _parts(calls: Sequence[ModelCall]) -> Sequence[ModelCall]:
    # A total is the sum of more than this call: it knows who pays, and nothing else.
    return [call for call in calls if not call.is_total] or calls


def _innermost_first(calls: Sequence[ModelCall]) -> list[ModelCall]:
    """Those that ran while the first did, the latest to begin first; then what came after it."""
    by_start = sorted(calls, key=lambda call: (call.start_time_unix_nano, -call.end_time_unix_nano, call.span_id))
    first = by_start[0]
    spans = {(call.trace_id, call.span_id): call for call in calls}
    # A child is further in than its parent, whatever the clocks of two machines say.
    depths = {id(call): _depth(call, spans) for call in calls}
    meanwhile = [call for call in by_start if depths[id(call)] or call.start_time_unix_nano <= first.end_time_unix_nano]
    later = [call for call in by_start if call not in meanwhile]
    meanwhile.reverse()
    meanwhile.sort(key=lambda call: -depths[id(call)])
    return [*meanwhile, *later]


def _depth(call: ModelCall, spans: Mapping[tuple[str, str], ModelCall]) -> int:
    """Of how many of these spans, each the parent of the next, it is the last."""
    depth = 0
    parent = spans.get((call.trace_id, call.parent_span_id or ""))
    while parent is not None and depth < len(spans):
        depth += 1
        parent = spans.get((parent.trace_id, parent.parent_span_id or ""))
    return depth


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)


def _merged_usage(ordered: Sequence[ModelCall]) -> TokenUsage | Unmetered:
    leading = ordered[0].usage
    if not isinstance(leading, TokenUsage):
        return leading
    usages = [call.usage if isinstance(call.usage, TokenUsage) else call.usage.known for call in ordered]
    known = [usage for usage in usages if usage is not None]
    for_input = min(
        (usage for usage in known if usage.input_tokens == leading.input_tokens),
        key=lambda usage: (usage.uncached_input_tokens, usage.cache_write_tokens),
    )
    for_output = min(
        (usage for usage in known if usage.output_tokens == leading.output_tokens),
        key=lambda usage: usage.visible_output_tokens,
    )
    return for_input._replace(
        visible_output_tokens=for_output.visible_output_tokens,
        reasoning_tokens=for_output.reasoning_tokens,
        audio_output_tokens=for_output.audio_output_tokens,
        image_output_tokens=for_output.image_output_tokens,
    )


def _merged_customer(ordered: Sequence[ModelCall]) -> Customer | Unattributed:
    # Nobody is not an answer where another span has one; a refusal, such as bill_to(None) or an id that is none, is.
    answers = [call.customer for call in ordered if call.customer != NOBODY]
    if not answers:
        return NOBODY
    customers = {customer for customer in answers if isinstance(customer, Customer)}
    if len({(customer.customer_id, customer.external_customer_id) for customer in customers}) > 1:
        return CONTRADICTION
    if isinstance(answers[0], Unattributed):
        return answers[0]
    # Of one customer, with and without a member, the one who is named more closely.
    return next((customer for customer in answers if isinstance(customer, Customer) and customer.member_id), answers[0])
