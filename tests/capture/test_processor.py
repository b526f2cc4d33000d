"""``PolarSpanProcessor``: every model call is recorded once, for whoever paid at its start, and nobody notices."""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_polar import ConfigError, PolarSpanProcessor, bill_to
from otel_polar.billing.customer import CustomerKeys
from otel_polar.delivery.disk.rows import State
from otel_polar.sandbox import SandboxServer
from tests.capture.support import CHAT, FLUSH_MILLIS, HELD, TOKEN, UUID4, App, inbound_baggage
from tests.delivery.support import let_go

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.context import Context
    from opentelemetry.trace import TraceState

    from tests.capture.conftest import MakeApp

KEYS = CustomerKeys()
START_UNIX_NANO = 1_790_856_000_000_000_000
"""2026-10-01T12:00:00Z."""


def our_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("otel_polar")]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- Who pays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*KEYS.internal, *KEYS.external])
def test_every_default_key_names_the_customer(app: App, key: str) -> None:
    """They are the keys of Polar's own npm destination and of OpenTelemetry, on the span and in baggage alike."""
    expected = UUID4 if key in KEYS.internal else "user_42"

    app.call({key: expected})
    with inbound_baggage({key: expected}):
        app.call()

    assert app.payers() == [expected, expected]


@pytest.mark.parametrize("key", KEYS.member)
def test_every_default_key_names_the_member(app: App, key: str) -> None:
    """A team pays for its members' calls and wants to know whose they were."""
    app.call({"user.id": "team", key: "m_1"})
    with inbound_baggage({"userId": "team", key: "m_1"}):
        app.call()

    assert [body["external_member_id"] for body in app.bodies()] == ["m_1", "m_1"]


def test_a_member_alone_is_nobody(app: App) -> None:
    """Polar cannot bill a member without a customer."""
    app.call({"memberId": "m_1"})

    assert app.payers() == [HELD]


@pytest.mark.parametrize("who", ["bill_to", "baggage"])
def test_the_customer_survives_a_span_whose_attributes_push_each_other_out(make_app: MakeApp, who: str) -> None:
    """The SDK drops the oldest attributes first, and an id stamped at the start would be the oldest."""
    app = make_app(span_limits=SpanLimits(max_span_attributes=8))
    with bill_to("customer_12345") if who == "bill_to" else inbound_baggage({"userId": "customer_12345"}):
        span = app.tracer.start_span("chat gpt-4o-mini")
    for number in range(200):
        span.set_attribute(f"gen_ai.prompt.{number}.content", "text")
    span.set_attributes(CHAT)
    span.end()

    assert app.payers() == ["customer_12345"]


@pytest.mark.parametrize("who", ["bill_to", "baggage"])
def test_the_customer_survives_a_span_whose_attributes_are_cut_short(make_app: MakeApp, who: str) -> None:
    """``customer_12345`` cut to four characters is ``cust``, who may exist."""
    app = make_app(span_limits=SpanLimits(max_span_attribute_length=4), on_unpriced="send")
    with bill_to("customer_12345") if who == "bill_to" else inbound_baggage({"userId": "customer_12345"}):
        app.call()

    assert app.payers() == ["customer_12345"]


def test_an_id_on_the_span_that_may_have_been_cut_bills_nobody(make_app: MakeApp) -> None:
    """Exactly as long as the limit, it may be the beginning of somebody else's id, and nobody can tell any more."""
    app = make_app(span_limits=SpanLimits(max_span_attribute_length=4), on_unpriced="send")
    app.call({"user.id": "customer_12345"})

    assert app.payers() == [HELD]


def test_an_id_the_span_started_with_wins_over_baggage_even_if_it_was_pushed_out(make_app: MakeApp) -> None:
    """The more explicit word was spoken; that the SDK forgot it must not bill whoever sent the request."""
    app = make_app(span_limits=SpanLimits(max_span_attributes=8))
    with inbound_baggage({"userId": "caller"}):
        span = app.tracer.start_span("chat gpt-4o-mini", attributes={"user.id": "customer_12345"})
    for number in range(200):
        span.set_attribute(f"gen_ai.prompt.{number}.content", "text")
    span.set_attributes(CHAT)
    span.end()

    assert app.payers() in (["customer_12345"], [HELD])


def test_a_call_whose_operation_was_pushed_out_is_not_lost(make_app: MakeApp) -> None:
    """Instrumentations set the operation first and the messages, one attribute each, afterwards."""
    app = make_app(span_limits=SpanLimits(max_span_attributes=8))
    with bill_to("user_42"):
        span = app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT)
    for number in range(200):
        span.set_attribute(f"gen_ai.prompt.{number}.content", "text")
    span.set_attributes({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5})
    span.end()

    assert app.pipeline.counts.total() == 1


def test_a_span_that_ends_after_the_block_is_billed_to_the_blocks_customer(app: App) -> None:
    """A stream is read long after the call that opened it, often while another user's request runs."""
    with bill_to("a"):
        span = app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT)
    with bill_to("b"):
        span.end()

    assert app.payers() == ["a"]


def test_a_span_may_end_in_another_thread_than_it_started_in(app: App) -> None:
    """A worker of a pool reads the stream; it has no context of the request."""
    with bill_to("a"):
        span = app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT)
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()

    assert app.payers() == ["a"]


def test_spans_that_never_end_are_not_remembered_for_ever(app: App) -> None:
    """A leak of the application's must not become one of ours: what is kept is gone with the span."""
    with bill_to("user_42"):
        spans = [app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT) for _ in range(11)]
    kept = [weakref.ref(span) for span in spans]
    del spans
    gc.collect()

    assert [reference() for reference in kept] == [None] * 11
    assert app.payers() == []


# --- Tags -------------------------------------------------------------------------------------------------------------


def test_named_attributes_and_baggage_members_become_tags(make_app: MakeApp) -> None:
    """What is already on the span need not be said again; what nobody named stays where it is."""
    app = make_app(tags=["plan", "http.route", "seat"])
    with inbound_baggage({"plan": "from_baggage", "seat": "7", "secret": "x"}):
        app.call({"http.route": "/chat", "secret": "x"})
        app.call({"plan": "from_the_span"})
        with bill_to("user_42", plan="from_bill_to"):
            app.call({"plan": "from_the_span"})
    with bill_to("user_42"):
        app.call({"plan": "from_the_span", "user.id": "user_42"})

    assert [body["metadata"]["plan"] for body in app.bodies()] == ["from_bill_to", "from_the_span"]
    assert app.bodies()[0]["metadata"]["seat"] == "7"
    assert "secret" not in app.bodies()[0]["metadata"]
    assert app.payers() == [HELD, HELD, "user_42", "user_42"]


def test_a_tags_dots_become_underscores(make_app: MakeApp) -> None:
    """Polar reads a dot as a path, so a meter could not filter by it."""
    app = make_app(tags="http.route,models")
    app.call({"http.route": "/chat", "models": ["a", "b"], "user.id": "user_42"})

    (body,) = app.bodies()
    assert (body["metadata"]["http_route"], body["metadata"]["models"]) == ("/chat", "a,b")


# --- What is held, dropped and sent -----------------------------------------------------------------------------------


def test_a_call_without_a_customer_is_held_and_said_once(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """It is somebody's usage; a person can still say whose, and need not read it a thousand times."""
    app.call()
    app.call()

    assert app.payers() == [HELD, HELD]
    (line,) = our_lines(caplog)
    assert "unattributed" in line
    assert "bill_to" in line


def test_a_call_without_a_customer_is_dropped_on_request(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Who bills only some of the calls does not want to keep the others; they are counted and said all the same."""
    app = make_app(on_unattributed="drop")
    app.call()
    app.call()
    with bill_to("user_42"):
        app.call()

    assert app.payers() == ["user_42"]
    assert app.pipeline.counts["dropped: unattributed"] == 2
    assert len(our_lines(caplog)) == 1


@pytest.mark.parametrize(("on_unpriced", "state"), [("hold", State.UNPRICED), ("send", State.SENT)])
def test_a_call_without_a_price_is_held_or_sent_without_a_cost(
    make_app: MakeApp, on_unpriced: str, state: State
) -> None:
    """A cost of zero would be a lie that sums up."""
    app = make_app(on_unpriced=on_unpriced)
    with bill_to("user_42"):
        app.call({"gen_ai.request.model": "our-own-model"})

    (row,) = app.ledger()
    assert row.state is state
    for body in app.bodies():
        assert body["metadata"].keys().isdisjoint({"_cost", "cost_nanos", "cost_currency", "price_source"})
        assert body["metadata"]["input_tokens"] == 10


def test_an_event_name_function_that_raises_holds_its_call_and_no_other(
    make_app: MakeApp, polar_sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the user's own mistake to mend; what it said may hold an id, so the log does not repeat it."""

    def name(call: Any) -> str:
        if "bad" in call.tags:
            raise LookupError("no name for user_42")
        return "named"

    app = make_app(event_name=name)
    with bill_to("user_42"):
        app.call()
        with bill_to(bad=1):
            app.call()
            app.call()
        app.call()

    assert app.payers() == ["user_42", State.UNBUILDABLE, State.UNBUILDABLE, "user_42"]
    assert [event["name"] for event in polar_sandbox.events()] == ["named", "named"]
    (line,) = our_lines(caplog)
    assert "LookupError" in line
    assert "user_42" not in line
    assert "LookupError in name, test_processor.py:" in line
    reason = app.ledger()[1].reason
    assert reason is not None
    assert reason.endswith(": no name for user_42")


def test_two_processors_bill_a_call_once(make_app: MakeApp, polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Two libraries of an application may both think it is theirs to add one."""
    app = make_app()
    second = PolarSpanProcessor(access_token=TOKEN, base_url=polar_sandbox.url, outbox_dir=tmp_path / "outbox")
    app.provider.add_span_processor(second)
    with bill_to("user_42"):
        app.call()

    assert app.flush()
    assert second.force_flush(FLUSH_MILLIS)
    assert len(polar_sandbox.events()) == 1


# --- Which spans are calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["invoke_agent", "invoke_workflow", "execute_tool", "create_agent"])
def test_an_agents_span_is_counted_and_not_billed(app: App, operation: str) -> None:
    """It repeats the tokens of the calls below it."""
    with bill_to("user_42"):
        app.call({"gen_ai.operation.name": operation})

    assert app.payers() == []
    assert app.pipeline.counts == {f"not billed: operation {operation} is not a single call": 1}


def test_a_span_that_is_no_model_call_leaves_no_trace(app: App) -> None:
    """Nearly all spans of an application are none of our business."""
    with bill_to("user_42"), app.tracer.start_as_current_span("GET /", attributes={"http.route": "/"}):
        pass

    assert app.payers() == []
    assert app.pipeline.counts.total() == 0


def test_unknown_model_calls_with_tokens_are_counted_and_said_once(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Money may be lost here, so it is not passed over in silence."""
    app.call({"gen_ai.operation.name": "sing"})
    app.call({"gen_ai.operation.name": "sing"})

    assert app.pipeline.counts.total() == 2
    assert len(our_lines(caplog)) == 1


class RecordOnly(Sampler):
    """A tail sampler's head: everything is recorded, nothing is exported."""

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002 - the SDK's signature
        trace_id: int,  # noqa: ARG002 - as above
        name: str,  # noqa: ARG002 - as above
        kind: SpanKind | None = None,  # noqa: ARG002 - as above
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002 - as above
        trace_state: TraceState | None = None,  # noqa: ARG002 - as above
    ) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY, attributes)

    def get_description(self) -> str:
        return "RecordOnly"


def test_a_span_that_is_recorded_and_not_exported_is_billed(make_app: MakeApp) -> None:
    """Sampling is about how much to look at, not about who pays."""
    app = make_app(sampler=RecordOnly())
    with bill_to("user_42"):
        app.call()

    assert app.exporter.get_finished_spans() == ()
    assert app.payers() == ["user_42"]


# --- The application is not harmed ------------------------------------------------------------------------------------


class Counting(IdGenerator):
    """Ids 1, 2, 3: two runs are alike in everything."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        return self.generate_span_id()


def a_users_trace(provider: TracerProvider) -> list[str]:
    """A request with everything a span can have, seen by the user's own exporter; times are given, so they repeat."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("users", "1.0", attributes={"scope": True})
    clock = iter(range(START_UNIX_NANO, START_UNIX_NANO + 1_000))
    link = Link(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1)), {"why": "batch"})
    with inbound_baggage({"theirs": "kept", "userId": "caller"}), bill_to("user_42", plan="pro"):
        root = tracer.start_span("POST /chat", kind=SpanKind.SERVER, links=[link], start_time=next(clock))
        below = trace.set_span_in_context(root)
        for attributes in (CHAT, {**CHAT, "gen_ai.input.messages": "hello", "user.id": "u"}, {"db.system": "x"}):
            span = tracer.start_span("child", context=below, attributes=attributes, start_time=next(clock))
            span.add_event("token", {"n": 1}, timestamp=next(clock))
            span.record_exception(ValueError("theirs"), timestamp=next(clock))
            span.set_status(Status(StatusCode.ERROR, "theirs"))
            span.end(next(clock))
        root.end(next(clock))
    return [span.to_json() for span in exporter.get_finished_spans()]


def test_the_users_own_traces_are_the_same_with_and_without_us(make_app: MakeApp) -> None:
    """Span for span: names, ids, parents, attributes, events, links, status, times and order."""
    app = make_app(id_generator=Counting())
    without = TracerProvider(resource=app.provider.resource, id_generator=Counting(), shutdown_on_exit=False)

    assert a_users_trace(app.provider) == a_users_trace(without)
    assert app.payers() == ["user_42", "user_42"]
    without.shutdown()


class Raising(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError(f"the user's own, at {span.name}")


def test_a_processor_of_the_users_that_raises_is_left_alone(app: App) -> None:
    """We neither hide their exception nor lose our call to it."""
    app.provider.add_span_processor(Raising())
    with bill_to("user_42"), pytest.raises(RuntimeError, match="the user's own"):
        app.call()

    assert app.payers() == ["user_42"]


class Strange(Mapping[str, Any]):
    """A mapping, and nothing else: not the SDK's own, not a dictionary."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def foreign_span(attributes: Mapping[str, Any] | None, **fields: Any) -> ReadableSpan:
    """A span that no tracer of the SDK has made: a replay, a bridge from another library."""
    defaults: dict[str, Any] = {
        "context": SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(1)),
        "start_time": START_UNIX_NANO,
        "end_time": START_UNIX_NANO + 1,
    }
    return ReadableSpan("chat", attributes=attributes, **{**defaults, **fields})


@pytest.mark.parametrize("kind", [dict, Strange, MappingProxyType])
def test_a_span_from_elsewhere_is_billed(app: App, kind: Any) -> None:
    """Attributes are a mapping by contract; that the SDK's own is faster to read is not."""
    app.processor.on_end(foreign_span(kind({**CHAT, "user.id": "user_42"})))

    assert app.payers() == ["user_42"]


@pytest.mark.parametrize(
    "span",
    [
        foreign_span(None),
        foreign_span({}),
        foreign_span(CHAT, context=None),
        foreign_span(CHAT, start_time=None),
        foreign_span(CHAT, end_time=None),
        foreign_span(CHAT, start_time=2**70, end_time=-5),
        foreign_span({**CHAT, "gen_ai.operation.name": None}),
        foreign_span({**CHAT, "gen_ai.operation.name": ["chat"]}),
        foreign_span({**CHAT, "gen_ai.provider.name": 7, "gen_ai.response.id": object()}),
        foreign_span({**CHAT, "gen_ai.request.model": b"bytes", "user.id": {"nested": "x"}}),
        foreign_span({**CHAT, "gen_ai.usage.input_tokens": float("nan")}),
        foreign_span({**CHAT, "gen_ai.usage.input_tokens": -1}),
        foreign_span({7: 8, **CHAT}),  # type: ignore[dict-item]  # no text, which is the point
        foreign_span(CHAT, resource=object()),
        foreign_span(CHAT, status=None),
        foreign_span(CHAT, instrumentation_scope=object()),
        object(),
    ],
)
def test_no_span_makes_a_callback_raise(app: App, span: Any) -> None:
    """The SDK catches nothing: an exception here would end in the middle of the application's own code."""
    app.processor.on_start(span)
    app.processor.on_end(span)

    with bill_to("user_42"):
        app.processor.on_start(span, None)
        app.call()

    assert app.payers()[-1] == "user_42"


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"gen_ai.usage.input_tokens": 10**5_000}, id="a count too long to write"),
        pytest.param({"tag": 10**5_000}, id="a tag too long to write"),
    ],
)
def test_a_number_too_long_to_write_does_not_lose_the_call(make_app: MakeApp, attributes: Mapping[str, Any]) -> None:
    """Every model call ends in exactly one counted state."""
    app = make_app(tags="tag")
    with bill_to("user_42"):
        app.call(attributes)

    assert app.pipeline.counts.total() == 1


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
)
NAMES = st.sampled_from([*CHAT, "gen_ai.response.model", "gen_ai.response.id", "service.name", "tag", *KEYS.all])


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attributes=st.dictionaries(NAMES, ODD), start=st.integers(), end=st.integers())
def test_whatever_a_call_carries_it_ends_in_exactly_one_state(
    counting_app: App, attributes: dict[str, Any], start: int, end: int
) -> None:
    """Nothing raises, and nothing vanishes between the states."""
    before = counting_app.pipeline.counts.total()

    counting_app.processor.on_end(foreign_span({**CHAT, **attributes}, start_time=start, end_time=end))

    assert counting_app.pipeline.counts.total() == before + 1


@pytest.fixture
def counting_app(make_app: MakeApp) -> App:
    """One whose calls need not be delivered."""
    return make_app(tags="tag", settle_s=3_600.0, shutdown_timeout_s=0.0)


# --- What is wrong is said once, and the application runs on ----------------------------------------------------------


def test_without_a_token_nothing_is_recorded_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a developer's machine there is none, and the application is the same."""
    app = App(outbox_dir=tmp_path / "outbox")
    with bill_to("user_42"):
        app.call()
        app.call()

    assert app.processor.pipeline is None
    assert app.processor.force_flush()
    app.shutdown()
    assert len(app.exporter.get_finished_spans()) == 2
    (line,) = our_lines(caplog)
    assert "POLAR_ACCESS_TOKEN" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POLAR_ACCESS_TOKEN", "polar oat"),
        ("POLAR_SERVER", "staging"),
        ("POLAR_BASE_URL", "localhost:8787"),
        ("OTEL_POLAR_EVENT_NAME", "n" * 129),
        ("OTEL_POLAR_TAGS", "plan,,seat"),
        ("OTEL_POLAR_EXTERNAL_CUSTOMER_ID_KEYS", ","),
        ("OTEL_POLAR_ON_UNATTRIBUTED", "guess"),
        ("OTEL_POLAR_ON_UNPRICED", "zero"),
        ("OTEL_POLAR_SETTLE_S", "soon"),
        ("OTEL_POLAR_LINGER_S", "-1"),
        ("OTEL_POLAR_REQUEST_TIMEOUT_S", "nan"),
        ("OTEL_POLAR_REQUESTS_PER_MINUTE", "0"),
        ("OTEL_POLAR_RETENTION_DAYS", "inf"),
        ("OTEL_POLAR_SHUTDOWN_TIMEOUT_S", "1e9"),
        pytest.param(
            "OTEL_POLAR_OUTBOX_DIR",
            "~nobody_of_this_name/outbox",
        ),
        pytest.param(
            "POLAR_BASE_URL",
            "http://[",
        ),
        pytest.param(
            "POLAR_BASE_URL",
            "http://127.0.0.1:port",
        ),
    ],
)
def test_a_wrong_setting_is_one_error_that_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """It is heard when the application starts, by the person who can mend it."""
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("POLAR_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("OTEL_POLAR_OUTBOX_DIR", str(tmp_path))
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=variable) as caught:
        PolarSpanProcessor()

    assert variable != "POLAR_ACCESS_TOKEN" or value not in str(caught.value)


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    """A misspelt option would otherwise be one that is silently not set."""
    with pytest.raises(TypeError, match="event_names"):
        PolarSpanProcessor(event_names="x")  # type: ignore[call-arg]  # the point of it


def test_every_option_can_come_from_the_environment(
    polar_sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator configures what a developer has built; a keyword wins over its variable."""
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("POLAR_BASE_URL", polar_sandbox.url + "/")
    monkeypatch.setenv("OTEL_POLAR_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("OTEL_POLAR_EVENT_NAME", "from_the_variable")
    monkeypatch.setenv("OTEL_POLAR_EXTERNAL_CUSTOMER_ID_KEYS", "tenant, account")
    monkeypatch.setenv("OTEL_POLAR_TAGS", "plan")
    monkeypatch.setenv("OTEL_POLAR_ON_UNATTRIBUTED", "drop")
    monkeypatch.setenv("OTEL_POLAR_ON_UNPRICED", "")
    app = App(event_name="from_the_keyword")
    app.call({"account": "acme", "plan": "pro"})
    app.call()

    assert app.payers() == ["acme"]
    assert list((tmp_path / "outbox").iterdir())
    app.shutdown()

    (event,) = polar_sandbox.events()
    assert (event["name"], event["external_customer_id"], event["metadata"]["plan"]) == (
        "from_the_keyword",
        "acme",
        "pro",
    )
    assert polar_sandbox.ingest_requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_an_outbox_that_cannot_be_written_is_said_once_and_calls_are_delivered_from_memory(
    make_app: MakeApp, polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A read-only file system is the operator's to mend, and no reason to lose a call or a request."""
    (tmp_path / "file").write_text("not a directory")
    app = make_app(outbox_dir=tmp_path / "file" / "outbox")
    with bill_to("user_42"):
        app.call()
        app.call()

    assert app.flush()
    assert [event["external_customer_id"] for event in polar_sandbox.events()] == ["user_42", "user_42"]
    (line,) = our_lines(caplog)
    assert "OTEL_POLAR_OUTBOX_DIR" in line


def test_a_wrong_token_is_said_once_and_the_calls_wait_for_the_right_one(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A revoked token must not bury a day's revenue."""
    tokens: dict[str, frozenset[str]] = {"polar_oat_of_somebody_else": frozenset({"events:write"})}
    with SandboxServer(tokens=tokens) as sandbox:
        app = make_app(base_url=sandbox.url)
        with bill_to("user_42"):
            app.call()
            assert not app.processor.force_flush(400)
            app.call()
            assert not app.processor.force_flush(200)
        denied = [line for line in our_lines(caplog) if "POLAR_ACCESS_TOKEN" in line]
        tokens[TOKEN] = frozenset({"events:write"})

        assert app.payers() == ["user_42", "user_42"]
        assert len(sandbox.events()) == 2
        assert len(denied) == 1
        assert TOKEN not in caplog.text


def test_an_unreachable_polar_harms_nobody(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The application goes on, deadlines are kept, and the calls are on disk."""
    app = make_app(base_url=f"http://127.0.0.1:{closed_port()}", shutdown_timeout_s=1.0)
    with bill_to("user_42"):
        for _ in range(3):
            app.call()

    began = time.monotonic()
    assert app.processor.force_flush(500) is False
    assert time.monotonic() - began < 2.0
    assert app.outbox.waiting() == 3
    assert len(app.exporter.get_finished_spans()) == 3
    assert len([line for line in our_lines(caplog) if "cannot be reached" in line]) == 1


def test_a_call_that_ends_after_shutdown_is_delivered_by_the_next_process(
    make_app: MakeApp, polar_sandbox: SandboxServer
) -> None:
    """The last request of a server often ends after its provider."""
    app = make_app()
    with bill_to("user_42"):
        span = app.tracer.start_span("chat gpt-4o-mini", attributes=CHAT)
    app.provider.shutdown()
    span.end()
    assert app.outbox.waiting() == 1
    assert polar_sandbox.events() == []
    let_go(app.pipeline)

    assert make_app().payers() == ["user_42"]
    assert len(polar_sandbox.events()) == 1


def test_an_event_name_function_that_exits_does_not_end_delivery(make_app: MakeApp) -> None:
    """A library's ``sys.exit`` or a cancelled task is no ``Exception``, and one such call must not stop all others."""

    def name(call: Any) -> str:
        if "bad" in call.tags:
            sys.exit(3)
        return "named"

    app = make_app(event_name=name, shutdown_timeout_s=0.0)
    with bill_to("user_42"):
        with bill_to(bad=1):
            app.call()
        app.call()

    assert app.processor.force_flush(1_000)


PROGRAM = """
import gc, sys, threading
from opentelemetry.sdk.trace import TracerProvider
from otel_polar import PolarSpanProcessor, bill_to

provider = TracerProvider()
processor = PolarSpanProcessor(access_token="polar_oat_x", base_url=sys.argv[1], outbox_dir=sys.argv[2])
provider.add_span_processor(processor)
with bill_to("user_42"):
    provider.get_tracer("t").start_span("chat", attributes=ATTRIBUTES).end()
ours = [thread for thread in threading.enumerate() if thread.name.startswith("otel-polar")]
provider.shutdown()
for thread in ours:
    thread.join()
del provider, processor, ours, thread
gc.collect()
"""


def test_nothing_of_ours_is_left_open_after_shutdown(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Whoever runs their tests with warnings as errors must not find one of ours among them."""
    program = PROGRAM.replace("ATTRIBUTES", repr(dict(CHAT)))
    command = [sys.executable, "-X", "dev", "-c", program, polar_sandbox.url, str(tmp_path)]

    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert len(polar_sandbox.events()) == 1
    assert (child.returncode, child.stderr) == (0, "")


# --- Nothing leaks ----------------------------------------------------------------------------------------------------

SECRET = "the-prompt-of-a-patient"
MESSAGES = f'[{{"role":"user","parts":[{{"type":"text","content":"{SECRET}"}}]}}]'


def test_no_log_line_and_no_file_holds_content_a_token_or_a_customer(
    make_app: MakeApp, polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs are read by many, files are backed up; the customer's id is on disk because it must be, and nowhere else."""
    caplog.set_level(logging.DEBUG, logger="otel_polar")

    def name(call: Any) -> str:
        raise ValueError(call.customer)

    content = {"gen_ai.input.messages": MESSAGES, "gen_ai.output.messages": MESSAGES, "gen_ai.prompt": SECRET}
    polar_sandbox.answer_next(422, b'{"detail": "customer_secret"}')
    polar_sandbox.answer_next(500, b"customer_secret polar_oat_")
    for app in (make_app(), make_app(event_name=name), make_app(base_url="http://127.0.0.1:1", shutdown_timeout_s=0)):
        with bill_to("customer_secret"):
            app.call(content)
            app.call({**content, "gen_ai.request.model": "no-such-model"})
            app.call({**content, "gen_ai.operation.name": "sing"})
            app.call({**content, "gen_ai.usage.input_tokens": -1})
        with bill_to("customer_secret;x"):
            app.call(content)
        with bill_to(customer_id=UUID4):
            app.call(content)
        app.call({**content, "user.id": "customer_secret\n1"})
        app.processor.on_end(foreign_span({**CHAT, **content, "user.id": "customer_secret"}, context=None))
        app.processor.force_flush(3_000 if app.pipeline._settings.base_url == polar_sandbox.url else 300)

    assert len(polar_sandbox.events()) == 1
    written = "\n".join([*our_lines(caplog), *(repr(record.args) for record in caplog.records)])
    for secret in (TOKEN, "customer_secret", UUID4, SECRET):
        assert secret not in written
    files = [path for path in (tmp_path / "outbox").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert SECRET.encode() not in path.read_bytes()
        assert TOKEN.encode() not in path.read_bytes()
    assert TOKEN not in str([path.name for path in (tmp_path / "outbox").rglob("*")])


def test_the_token_is_not_in_the_processors_own_text(app: App) -> None:
    """A debugger's or a framework's dump of the provider ends in tickets."""
    assert TOKEN not in f"{app.processor!r} {app.pipeline!r} {app.pipeline._settings!r} {vars(app.processor)!r}"
