from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from otel_polar.billing.customer import Customer, CustomerKeys
from otel_polar.billing.explain import Explanation, explain
from otel_polar.billing.pricing import Price, Unpriced
from tests.billing.support import span, unix_nano

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.span import SpanRecord

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 2,
}
USER = {"user.id": "user_42"}
PRICE = Price(Decimal("0.005"), "test")
START = unix_nano("2026-11-20T12:00:00Z")


def priced(_: ModelCall) -> Price | Unpriced:
    return PRICE


def told(*spans: SpanRecord, **options: Any) -> list[Explanation]:
    return explain(spans, **{"keys": CustomerKeys(), "resolver": priced, **options})


def test_a_billed_span_says_everything() -> None:
    """It is the debugging tool and the documentation of the rule."""
    (answer,) = told(span({**CHAT, **USER}))

    assert answer.call is not None
    assert (answer.verdict, answer.price, answer.call.dialect) == ("billed", PRICE, "OpenTelemetry GenAI")
    assert answer.call.customer == Customer(external_customer_id="user_42")
    assert answer.of == f"{answer.span.trace_id}-{answer.span.span_id}-{START:x}"


def test_every_span_has_an_answer_in_its_place() -> None:
    """Billed or not."""
    agent = span({**CHAT, "gen_ai.operation.name": "invoke_agent"}, span_id="1" * 16)
    http = span({"http.method": "POST"}, span_id="2" * 16)
    call = span({**CHAT, **USER}, span_id="3" * 16)

    answers = told(agent, http, call)

    assert [answer.span for answer in answers] == [agent, http, call]
    assert [(answer.verdict, answer.reason) for answer in answers] == [
        ("not billed", "operation invoke_agent is not a single call"),
        ("not billed", "no gen_ai.operation.name"),
        ("billed", "a call to a model"),
    ]


def test_another_span_of_a_call_says_which_one_is_billed() -> None:
    """A framework's span around the client's."""
    outer = span({**CHAT, **USER}, scope_name="openinference.instrumentation.langchain", span_id="1" * 16)
    inner = span(
        {**CHAT, **USER},
        scope_name="opentelemetry.instrumentation.genai.openai",
        span_id="2" * 16,
        parent_span_id="1" * 16,
        start_time_unix_nano=START + 1,
    )

    first, second = told(outer, inner)

    assert (first.verdict, second.verdict) == ("duplicate", "billed")
    assert first.of == second.of
    assert "opentelemetry.instrumentation.genai.openai" in first.reason


def test_what_is_held_says_why() -> None:
    """The states of the outbox."""
    nobody = span(CHAT, span_id="1" * 16)
    unmetered = span({"gen_ai.operation.name": "chat", **USER}, span_id="2" * 16)

    assert [answer.verdict for answer in told(nobody, unmetered)] == ["held: unattributed", "held: unmetered"]

    (unpriced,) = told(span({**CHAT, **USER}), resolver=lambda _: Unpriced("no such model"))
    assert (unpriced.verdict, unpriced.reason, unpriced.price) == ("held: unpriced", "no such model", None)


def test_scopes_that_do_not_bill_say_so() -> None:
    """A user who named one layer sees what became of the other."""
    (answer,) = told(span({**CHAT, **USER}), bill_scopes=("openinference.*",))

    assert (answer.verdict, answer.reason) == ("not billed", "the scope is not among bill_scopes")


def test_the_nearest_span_around_a_call_names_its_user() -> None:
    """As in the process it was recorded in."""
    request = span(USER, span_id="1" * 16)
    chain = span({}, span_id="2" * 16, parent_span_id="1" * 16)
    call = span(CHAT, span_id="3" * 16, parent_span_id="2" * 16)

    assert told(request, chain, call)[2].verdict == "billed"
    elsewhere = span(USER, span_id="1" * 16, process="gateway")
    assert told(elsewhere, chain, call)[2].verdict == "held: unattributed"


def test_whoever_asks_can_say_who_pays() -> None:
    """Baggage is not on spans."""
    carried = Customer(external_customer_id="user_43")

    named, unnamed = told(span({**CHAT, "userId": "user_42"}), span(CHAT, span_id="1" * 16), carried=carried)

    assert named.call is not None
    assert unnamed.call is not None
    assert [named.call.customer, unnamed.call.customer] == [Customer(external_customer_id="user_42"), carried]


def test_a_circle_of_parents_ends() -> None:
    """Damaged recordings are read as well."""
    one = span(CHAT, span_id="1" * 16, parent_span_id="2" * 16)
    two = span({}, span_id="2" * 16, parent_span_id="1" * 16)

    assert len(told(one, two)) == 2


def test_what_the_settings_send_or_drop_is_shown_as_that() -> None:
    """It is the same rule as in the process."""
    unpriced = told(span({**CHAT, **USER}), resolver=lambda _: Unpriced("no such model"), sends_unpriced=True)
    dropped = told(span(CHAT), drops_unattributed=True)

    assert (unpriced[0].verdict, unpriced[0].price) == ("billed", None)
    assert dropped[0].verdict == "dropped"


def test_usage_that_is_no_call_to_a_model_is_shown_with_its_numbers() -> None:
    """As far as the span itself says so; rules are the application's."""
    upload = {"otel_polar.event.name": "upload", "otel_polar.event.metadata.bytes": 5}
    billed, held, nobody = told(span({**upload, **USER}), span({**upload, **USER}, failed=True), span(upload))

    assert (billed.verdict, billed.reason) == ("billed", "usage: event upload with bytes 5")
    assert (billed.of or "").startswith(f"{billed.span.trace_id}-{billed.span.span_id}-{START:x}-")
    assert (held.verdict, held.reason) == (
        "held: unmetered",
        "usage: event upload with bytes 5: the metered block failed",
    )
    assert (nobody.verdict, nobody.of) == ("held: unattributed", None)
