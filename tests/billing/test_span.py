from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode

from otel_polar.billing.span import SpanRecord, attributes_of, read_span

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)


def sdk_span(attributes: Mapping[str, str | int], *, limits: SpanLimits | None = None) -> ReadableSpan:
    """A span that a real SDK recorded and ended."""
    provider = TracerProvider(
        resource=Resource({"service.name": "chat-api"}), span_limits=limits, shutdown_on_exit=False
    )
    span = provider.get_tracer("my.instrumentation").start_span("chat", start_time=1_000, attributes=attributes)
    span.end(end_time=3_500)
    assert isinstance(span, ReadableSpan)
    return span


def test_a_span_of_the_sdk_is_read_whole() -> None:
    """Every field is one that identifies, prices or attributes the call."""
    span = sdk_span({"gen_ai.operation.name": "chat"})

    record = read_span(span)

    context = span.context
    assert context is not None
    assert record == SpanRecord(
        name="chat",
        trace_id=format(context.trace_id, "032x"),
        span_id=format(context.span_id, "016x"),
        start_time_unix_nano=1_000,
        end_time_unix_nano=3_500,
        failed=False,
        scope_name="my.instrumentation",
        attributes={"gen_ai.operation.name": "chat"},
        resource_attributes={"service.name": "chat-api"},
    )


def test_ids_are_lower_case_hex_with_their_leading_zeros() -> None:
    """The external id is made of them: a shorter spelling elsewhere would make one call two."""
    record = read_span(ReadableSpan("chat", CONTEXT, start_time=1, end_time=2))

    assert (record.trace_id, record.span_id) == ("00000000000000000000000000000abc", "0000000000000def")


@pytest.mark.parametrize(
    ("status", "failed", "reason"),
    [
        (StatusCode.ERROR, "failed", "ERROR is the only status that says so"),
        (StatusCode.OK, "not failed", "set by hand, or by an SDK that says OK on success"),
        (StatusCode.UNSET, "not failed", "how most instrumentations leave a success"),
    ],
)
def test_only_the_status_error_is_a_failure(status: StatusCode, failed: str, reason: str) -> None:
    """It decides the likely cause that is shown for a call without tokens."""
    record = read_span(ReadableSpan("chat", CONTEXT, start_time=1, end_time=2, status=Status(status)))

    assert ("failed" if record.failed else "not failed") == failed, reason


@pytest.mark.parametrize(
    ("span", "_reason"),
    [
        (ReadableSpan("half", CONTEXT, start_time=1), "not ended: its usage is not complete"),
        (ReadableSpan("half", CONTEXT, end_time=2), "no start: neither priced nor told from another"),
        (ReadableSpan("half", None, start_time=1, end_time=2), "no context: nothing to identify it by"),
    ],
)
def test_a_span_that_cannot_be_told_from_another_is_refused(span: ReadableSpan, _reason: str) -> None:
    """Billing it could bill it twice."""
    with pytest.raises(ValueError, match="span 'half' has no context or has not ended"):
        read_span(span)


def test_a_span_without_a_scope_has_an_empty_scope_name() -> None:
    """Spans made by hand have none; the table of scopes must still be asked."""
    assert read_span(ReadableSpan("chat", CONTEXT, start_time=1, end_time=2)).scope_name == ""


def test_the_scope_is_known_by_its_name_alone() -> None:
    """Whether input includes cached tokens is looked up by it; its version changes with every release."""
    scope = InstrumentationScope("opentelemetry.instrumentation.genai.bedrock", "1.3b0")

    record = read_span(ReadableSpan("chat", CONTEXT, start_time=1, end_time=2, instrumentation_scope=scope))

    assert record.scope_name == "opentelemetry.instrumentation.genai.bedrock"


def test_attributes_are_not_copied() -> None:
    """Copying would be the dearest thing done for every span that is no model call."""
    span = sdk_span({"http.route": "/"})

    assert attributes_of(span) is attributes_of(span)
    assert type(attributes_of(span)) is dict


def test_attributes_are_read_also_where_the_sdk_keeps_them_otherwise() -> None:
    """A ReadableSpan built by a test, an exporter or another version has a plain mapping."""
    span = ReadableSpan("chat", CONTEXT, attributes={"user.id": "user_42"}, start_time=1, end_time=2)

    assert attributes_of(span) == {"user.id": "user_42"}


def test_a_span_without_attributes_has_an_empty_mapping() -> None:
    """It is asked for markers like any other span."""
    assert attributes_of(ReadableSpan("chat", CONTEXT, start_time=1, end_time=2)) == {}


def test_the_attributes_are_those_that_survived_the_sdk_limits() -> None:
    """The SDK evicts the oldest attribute: what is read is what is there, not what was set once."""
    span = sdk_span({"first": 1, "second": 2, "third": 3}, limits=SpanLimits(max_span_attributes=2))

    assert attributes_of(span) == {"second": 2, "third": 3}


def test_attributes_that_the_limits_have_pushed_out_are_filled_in_from_the_start() -> None:
    """A chat of seventy messages evicts the operation and the customer, which were set first."""
    span = sdk_span({"first": 1, "second": 2, "third": 3}, limits=SpanLimits(max_span_attributes=2))

    record = read_span(span, {"first": 1, "second": 0})

    assert record.attributes == {"first": 1, "second": 2, "third": 3}
    assert attributes_of(span) == {"second": 2, "third": 3}


@pytest.mark.parametrize(
    ("limits", "expected", "reason"),
    [
        (SpanLimits(), None, "no limit is the default"),
        (SpanLimits(max_attribute_length=12), 12, "for every attribute"),
        (SpanLimits(max_span_attribute_length=9), 9, "for those of spans"),
    ],
)
def test_the_length_limit_of_the_span_is_known(limits: SpanLimits, expected: int | None, reason: str) -> None:
    """A value of just that length may be the beginning of another name, or of another customer's id."""
    record = read_span(sdk_span({"user.id": "user_421_of_a_long_name"}, limits=limits))

    assert record.attribute_length_limit == expected, reason
    assert expected is None or len(str(record.attributes["user.id"])) == expected


def test_a_span_without_limits_has_no_length_limit() -> None:
    """A ReadableSpan built by an exporter or a test says nothing of limits."""
    span = ReadableSpan("chat", CONTEXT, attributes={"user.id": "user_42"}, start_time=1, end_time=2)

    assert read_span(span).attribute_length_limit is None
