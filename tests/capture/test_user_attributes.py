"""Who pays where the application has not said it to us: what other systems write on and around spans."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.billing.customer import DEFAULT_USER_ID_ATTRIBUTES
from tests.capture.support import CHAT, HELD, inbound_baggage

if TYPE_CHECKING:
    from tests.capture.conftest import MakeApp
    from tests.capture.support import App


@pytest.mark.parametrize("name", DEFAULT_USER_ID_ATTRIBUTES)
def test_what_other_systems_call_a_user_is_billed(app: App, name: str) -> None:
    """Whoever has Langfuse, OpenLLMetry or Vercel's SDK has named the user already."""
    app.call({name: "user_42"})

    assert app.payers() == ["user_42"]


def test_the_issue_names_are_among_them() -> None:
    """These are the names in use; a change here changes whom somebody bills."""
    names = {
        *("session.user_id", "langfuse.user.id", "traceloop.association.properties.user_id"),
        *("ai.telemetry.metadata.userId", "llm.user"),
    }

    assert names <= set(DEFAULT_USER_ID_ATTRIBUTES)


@pytest.mark.parametrize(
    ("span", "baggage", "around", "expected", "reason"),
    [
        ({"userId": "a", "llm.user": "b"}, {"userId": "c"}, {"enduser.id": "d"}, "a", "the span's own word for us"),
        ({"llm.user": "b"}, {"userId": "c"}, {"enduser.id": "d"}, "c", "baggage before another system's id"),
        ({"llm.user": "b"}, {}, {"enduser.id": "d"}, "b", "the span before what is around it"),
        ({}, {}, {"enduser.id": "d", "llm.user": "e"}, "d", "the span around it, in the order of the keys"),
        ({}, {"userId": "c"}, {"enduser.id": "d"}, "c", "baggage before what is around it"),
    ],
)
def test_the_most_explicit_word_counts(
    app: App, span: dict[str, str], baggage: dict[str, str], around: dict[str, str], expected: str, reason: str
) -> None:
    """A hash for the provider or a login elsewhere may be another id of the same person."""
    with app.tracer.start_as_current_span("POST /chat", attributes=around), inbound_baggage(baggage):
        app.call(span)

    assert app.payers() == [expected], reason


def test_a_request_span_stamped_after_it_began_names_the_user_of_what_begins_later(app: App) -> None:
    """Auth middleware knows the user when the request's span is long open."""
    with app.tracer.start_as_current_span("POST /chat") as request:
        app.call()
        request.set_attribute("enduser.id", "user_42")
        with app.tracer.start_as_current_span("chain"), app.tracer.start_as_current_span("step"):
            app.call()

    assert app.payers() == [HELD, "user_42"]


def test_the_nearest_span_around_a_call_counts(app: App) -> None:
    """A worker's span for one user inside a batch for another."""
    with (
        app.tracer.start_as_current_span("batch", attributes={"user.id": "everybody"}),
        app.tracer.start_as_current_span("job", attributes={"user.id": "user_42"}),
    ):
        app.call()
    app.call()

    assert app.payers() == ["user_42", HELD]


def test_bill_to_is_not_overruled_by_anything_around_it(app: App) -> None:
    """The application has said it."""
    with app.tracer.start_as_current_span("POST /chat", attributes={"user.id": "somebody"}), bill_to("user_42"):
        app.call({"llm.user": "else"})

    assert app.payers() == ["user_42"]


def test_nobody_by_bill_to_stays_nobody(app: App) -> None:
    """bill_to(None) is a word, and attributes are not asked after it."""
    with app.tracer.start_as_current_span("POST /chat", attributes={"user.id": "somebody"}), bill_to(None):
        app.call()

    assert app.payers() == [HELD]


def test_an_id_around_a_call_that_cannot_be_one_bills_nobody(app: App) -> None:
    """The search ends there: what is less explicit could be somebody else."""
    with app.tracer.start_as_current_span("POST /chat", attributes={"user.id": "a;b"}):
        app.call()

    assert app.payers() == [HELD]


def test_a_span_of_another_service_names_nobody(app: App) -> None:
    """Only its ids come over the wire, and its attributes are not here."""
    remote = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1))

    app.call(parent=trace.set_span_in_context(trace.NonRecordingSpan(remote)))

    assert app.payers() == [HELD]


def test_a_process_that_serves_one_user_says_so_in_its_resource(tmp_path: Any) -> None:
    """One deployment for each customer."""
    provider = TracerProvider(resource=Resource({"user.id": "user_42"}), shutdown_on_exit=False)
    processor = PolarSpanProcessor(access_token="polar_oat_x", base_url="http://127.0.0.1:9", outbox_dir=tmp_path)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("tests")

    tracer.start_span("chat", attributes=CHAT).end()
    tracer.start_span("chat", attributes={**CHAT, "user.id": "user_43"}).end()

    assert processor.pipeline is not None
    recorded = [row.call for row in processor.pipeline.outboxes[0].recorded(limit=10)]
    assert ["user_42" in recorded[0], "user_43" in recorded[1]] == [True, True]
    provider.shutdown()


def test_the_names_are_an_option(make_app: MakeApp) -> None:
    """Every house has its own."""
    app = make_app(user_id_attributes="app.user")

    app.call({"app.user": "user_42"})
    app.call({"llm.user": "user_42"})

    assert app.payers() == ["user_42", HELD]


def test_names_of_other_systems_are_not_looked_for_in_baggage(app: App) -> None:
    """A header is the caller's word, and those names are for spans."""
    with inbound_baggage({"llm.user": "somebody"}):
        app.call()

    assert app.payers() == [HELD]


def test_spans_of_threads_at_work_inherit_from_their_own(app: App) -> None:
    """Two requests at once: each call has the user of the span around it."""
    barrier = threading.Barrier(2)

    def request(user: str) -> None:
        with app.tracer.start_as_current_span("POST /chat", attributes={"user.id": user}):
            barrier.wait(timeout=10)
            app.call({"gen_ai.usage.input_tokens": len(user)})

    threads = [threading.Thread(target=request, args=(user,)) for user in ("ann", "barbara")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    billed = {body["external_customer_id"]: body["metadata"]["input_tokens"] for body in app.bodies()}
    assert billed == {"ann": 3, "barbara": 7}


def test_nothing_is_remembered_of_a_span_that_names_nobody(app: App) -> None:
    """Most spans of an application are none of our business."""
    with app.tracer.start_as_current_span("a"), app.tracer.start_as_current_span("b") as span:
        assert isinstance(span, ReadableSpan)
        assert app.processor._started.look(span) is None


def test_an_id_that_was_pushed_off_the_span_around_a_call_is_known(make_app: MakeApp) -> None:
    """A job's span with many attributes, inside a tenant's."""
    app = make_app()
    with (
        app.tracer.start_as_current_span("tenant", attributes={"user.id": "acme"}),
        app.tracer.start_as_current_span("job", attributes={"user.id": "bob"}) as job,
    ):
        job.set_attributes({f"item.{number}": number for number in range(130)})
        app.call()

    assert app.payers() == ["bob"]


def test_a_span_around_a_call_that_may_have_named_somebody_bills_nobody_further_out(app: App) -> None:
    """Who was named on it is gone, and need not be the one around it."""
    with (
        app.tracer.start_as_current_span("tenant", attributes={"user.id": "acme"}),
        app.tracer.start_as_current_span("job") as job,
    ):
        job.set_attribute("user.id", "bob")
        job.set_attributes({f"item.{number}": number for number in range(130)})
        app.call()

    assert app.payers() == [HELD]


def test_a_member_alone_names_nobody(app: App) -> None:
    """It belongs to the customer around it, whose own word it must not hide."""
    with (
        app.tracer.start_as_current_span("request", attributes={"user.id": "acme"}),
        app.tracer.start_as_current_span("agent", attributes={"member_id": "jane"}),
    ):
        app.call()

    assert app.payers() == ["acme"]


def test_what_a_span_inherited_outlives_it(app: App) -> None:
    """A task goes on below a span that has ended."""
    with app.tracer.start_as_current_span("request", attributes={"user.id": "alice"}):
        middle = app.tracer.start_span("middle")
        middle.end()
        app.call(parent=trace.set_span_in_context(middle))

    assert app.payers() == ["alice"]
