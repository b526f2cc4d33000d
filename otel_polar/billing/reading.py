"""From a span to the model call it is, or to the reason why it is none.

Every span can be read carefully; those that are usual are read quickly (:mod:`otel_polar.billing.usual`), with the same
answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS, find
from otel_polar.billing.call import NO_TAGS, ModelCall, NotBilled
from otel_polar.billing.counts import has_tokens, read_usage
from otel_polar.billing.customer import NOBODY
from otel_polar.billing.operation import NoCall, read_operation
from otel_polar.billing.provider import canonical_provider
from otel_polar.billing.service_tier import read_requested_service_tier, read_service_tier
from otel_polar.billing.usual import read_usual

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.span import SpanRecord


def read_call(
    span: SpanRecord,
    customer: Customer | Unattributed = NOBODY,
    tags: Mapping[str, TagValue] = NO_TAGS,
) -> ModelCall | NotBilled:
    """The model call that *span* is, or why it is not one."""
    return read_usual(span, customer, tags) or read_carefully(span, customer, tags)


def read_carefully(
    span: SpanRecord,
    customer: Customer | Unattributed = NOBODY,
    tags: Mapping[str, TagValue] = NO_TAGS,
) -> ModelCall | NotBilled:
    """The same for any span, usual or not."""
    operation = read_operation(span)
    found = find(span.attributes, span.attribute_length_limit)
    if isinstance(operation, NoCall):
        return NotBilled(operation.reason, suspicious=not operation.repeats_others and has_tokens(found))
    provider = None if found.provider is None else canonical_provider(found.provider)
    response_id = found.response_id
    service_tier = read_service_tier(found)
    return ModelCall(
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        scope_name=span.scope_name,
        operation=operation.name,
        provider=provider,
        request_model=found.request_model,
        response_model=found.response_model,
        # As long as a name may be, it may have been cut, and two different ids would be one call.
        response_id=response_id if response_id is not None and len(response_id) < MAX_NAME_CHARACTERS else None,
        service_tier=service_tier,
        requested_service_tier=None if service_tier is not None else read_requested_service_tier(span.attributes),
        server_address=found.server_address,
        service_name=_service_name(span),
        usage=read_usage(span, found, operation, provider),
        customer=customer,
        tags=tags,
        parent_span_id=span.parent_span_id,
        process=span.process,
        dialect=operation.dialect,
        is_total=operation.is_total,
        is_estimated=span.attributes.get(semconv.USAGE_IS_ESTIMATED) is True,
    )


def _service_name(span: SpanRecord) -> str | None:
    value = span.resource_attributes.get(semconv.SERVICE_NAME)
    return value[:MAX_NAME_CHARACTERS] if isinstance(value, str) else None
