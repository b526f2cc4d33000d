from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.billing.usage import TokenUsage, Unmetered
from otel_polar.delivery.disk.record import dump_call, load_call
from tests.billing.support import POLAR_ID, SPAN_ID, TRACE_ID, model_call

CALL: Final = ModelCall(
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    start_time_unix_nano=1_795_000_000_000_000_001,
    end_time_unix_nano=1_795_000_001_000_000_002,
    scope_name="opentelemetry.instrumentation.openai_v2",
    operation="chat",
    provider="openai",
    request_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    response_id="chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa",
    service_tier="default",
    server_address="api.openai.com",
    service_name="chat-api",
    usage=TokenUsage(300, 100, 500, 12, 42),
    customer=Customer(external_customer_id="user_42", member_id="ann"),
    tags={"plan": "pro", "seats": 3, "trial": False, "share": 0.5},
    parent_span_id="b7ad6b7169203331",
    process="0af7651916cd43dd",
    dialect="OpenTelemetry GenAI",
)

ON_DISK: Final = (
    '{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","parent":"b7ad6b7169203331",'
    '"process":"0af7651916cd43dd","start":1795000000000000001,"end":1795000001000000002,'
    '"scope":"opentelemetry.instrumentation.openai_v2","dialect":"OpenTelemetry GenAI","operation":"chat",'
    '"is_total":false,"provider":"openai","request_model":"gpt-4o-mini","response_model":"gpt-4o-mini-2024-07-18",'
    '"response_id":"chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa","service_tier":"default",'
    '"server_address":"api.openai.com","service_name":"chat-api",'
    '"usage":{"uncached_input":300,"visible_output":100,"cache_read":500,"cache_write":12,"reasoning":42},'
    '"customer":{"id":null,"external_id":"user_42","member_id":"ann"},'
    '"tags":{"plan":"pro","seats":3,"trial":false,"share":0.5}}'
)
"""What this version writes. A later one must still read it: it may lie on a disk for a month."""

MINIMAL: Final[dict[str, Any]] = {
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
    "start": 1,
    "end": 2,
    "operation": "chat",
    "usage": {"uncached_input": 10, "visible_output": 2},
    "customer": {"external_id": "user_42"},
}


def test_what_lies_on_disk_is_exactly_this_line() -> None:
    """Its keys are a contract between versions, and all that is kept of a call is in it."""
    assert dump_call(CALL) == ON_DISK


def test_what_an_older_version_wrote_is_read() -> None:
    """An upgrade must not lose what the night before left on disk."""
    assert load_call(ON_DISK) == CALL


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (CALL._replace(usage=Unmetered("no token counts: the call failed")), "held until a person looks"),
        (
            CALL._replace(usage=Unmetered("no count of output tokens", TokenUsage(300, 0, 500, 12))),
            "half a count: another span of the call may have the other half",
        ),
        (CALL._replace(is_total=True), "a sum that counts only by itself"),
        (CALL._replace(customer=NOBODY), "held until somebody is assigned"),
        (CALL._replace(customer=Unattributed("user.id: an id must not contain ';'")), "with the reason"),
        (CALL._replace(customer=Customer(customer_id=POLAR_ID)), "Polar's own id"),
        (CALL._replace(usage=TokenUsage(0, 0)), "zeros are not absent"),
        (CALL._replace(tags={}), "no tags"),
        (
            model_call(
                provider=None, request_model=None, response_model=None, scope_name="", response_id=None, tags={}
            ),
            "a bare call",
        ),
        (CALL._replace(tags={"t": 1, "u": True, "v": 1.0, "w": "1"}), "true, 1, 1.0 and '1' are four values"),
        (CALL._replace(tags={"line": "a\nb\u2028c\x00\x7f\N{GRINNING FACE}"}), "breaks and other planes"),
        (CALL._replace(tags={"\ud800": "\udfff"}), "lone surrogates: SQLite would refuse the row"),
        (CALL._replace(start_time_unix_nano=2**63 - 1, end_time_unix_nano=0), "nanoseconds beyond a float's 53 bits"),
    ],
)
def test_a_call_comes_back_as_it_went(call: ModelCall, reason: str) -> None:
    """What changes on disk is billed changed."""
    loaded = load_call(dump_call(call))

    assert loaded == call, reason
    assert [type(value) for value in loaded.tags.values()] == [type(value) for value in call.tags.values()], reason


def test_keys_that_are_not_known_are_ignored() -> None:
    """After a downgrade, what the newer version left on disk is still sent."""
    newer = json.loads(ON_DISK)
    newer["audio"] = {"seconds": 3}
    newer["usage"]["video_input"] = 7
    newer["customer"]["tenant"] = "acme"

    assert load_call(json.dumps(newer)) == CALL


def test_absent_keys_have_their_defaults() -> None:
    """An older version did not write what it did not know."""
    assert load_call(json.dumps(MINIMAL)) == ModelCall(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        start_time_unix_nano=1,
        end_time_unix_nano=2,
        scope_name="",
        operation="chat",
        provider=None,
        request_model=None,
        response_model=None,
        response_id=None,
        service_tier=None,
        server_address=None,
        service_name=None,
        usage=TokenUsage(10, 2),
        customer=Customer(external_customer_id="user_42"),
        tags={},
    )


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_what_identifies_or_bills_a_call_must_be_there(key: str) -> None:
    """A default there would be a guess about money."""
    partial = {name: value for name, value in MINIMAL.items() if name != key}

    with pytest.raises(ValueError, match=f"not a recorded call: KeyError\\('{key}'\\)"):
        load_call(json.dumps(partial))


@pytest.mark.parametrize("key", ["uncached_input", "visible_output"])
def test_a_usage_without_its_main_buckets_is_refused(key: str) -> None:
    """Half a usage would be billed as the whole."""
    usage = {name: value for name, value in MINIMAL["usage"].items() if name != key}

    with pytest.raises(ValueError, match="not a recorded call"):
        load_call(json.dumps({**MINIMAL, "usage": usage}))


@pytest.mark.parametrize(
    ("text", "_reason"),
    [
        ("", "an empty row"),
        ("not json", "text"),
        (ON_DISK[:-10], "cut short by a full disk"),
        ("\x00" * 100, "a page of zeros after a crash"),
        (ON_DISK + ON_DISK, "two rows in one"),
        ("null", "JSON, and nothing"),
        ("7", "JSON, and a number"),
        ('"text"', "JSON, and text"),
        ("[]", "JSON, and a list"),
        ("{}", "JSON, and empty"),
        (json.dumps({**MINIMAL, "usage": None}), "a part that is null"),
        (json.dumps({**MINIMAL, "usage": []}), "a part that is a list"),
        (json.dumps({**MINIMAL, "usage": "unmetered"}), "a part that is text"),
        (json.dumps({**MINIMAL, "customer": None}), "no customer"),
        (json.dumps({**MINIMAL, "customer": 7}), "a customer that is a number"),
        (json.dumps({**MINIMAL, "customer": {}}), "a customer without an id: Polar would take it, and bill nobody"),
        (json.dumps({**MINIMAL, "usage": {"uncached_input": -5, "visible_output": 1}}), "fewer than no tokens"),
        (json.dumps({**MINIMAL, "usage": {"uncached_input": 5, "visible_output": "z"}}), "tokens in text"),
        (json.dumps({**MINIMAL, "tags": None}), "tags that are null"),
        ("[" * 200_000, "deeper than Python reads"),
        ("1" * 5_000, "more digits than Python reads"),
    ],
)
def test_garbage_is_a_value_error(text: str, _reason: str) -> None:
    """One broken row is set aside with its error; it must not stop the rows behind it."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one, and as good
        load_call(text)


def joined(text: str) -> str:
    """Text in which surrogates stand alone: JSON joins a pair of them to the character it means."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


NAMES = st.none() | st.text(max_size=20)
IDS = st.text(min_size=1, max_size=36)
COUNTS = st.integers(0, 2**63)
WILD_TEXT = st.text(alphabet=st.characters() | st.sampled_from(["\ud800", "\udfff", "\x00", "\n"]), max_size=20)
USAGES = st.builds(TokenUsage, *[COUNTS] * len(TokenUsage._fields))
CALLS = st.builds(
    ModelCall,
    trace_id=st.text(max_size=32),
    span_id=st.text(max_size=16),
    start_time_unix_nano=st.integers(0, 2**64),
    end_time_unix_nano=st.integers(0, 2**64),
    scope_name=st.text(max_size=20),
    operation=st.text(max_size=20),
    provider=NAMES,
    request_model=NAMES,
    response_model=NAMES,
    response_id=NAMES,
    service_tier=NAMES,
    server_address=NAMES,
    service_name=NAMES,
    usage=USAGES | st.builds(Unmetered, st.text(max_size=40), st.none() | USAGES),
    parent_span_id=NAMES,
    process=st.text(max_size=20),
    dialect=st.text(max_size=20),
    is_total=st.booleans(),
    customer=st.builds(Customer, customer_id=IDS, external_customer_id=st.none(), member_id=NAMES)
    | st.builds(Customer, customer_id=st.none(), external_customer_id=IDS, member_id=NAMES)
    | st.builds(Unattributed, st.text(max_size=40)),
    tags=st.dictionaries(
        WILD_TEXT.map(joined),
        WILD_TEXT.map(joined) | st.integers() | st.booleans() | st.floats(allow_nan=False),
        max_size=5,
    ),
)


@given(call=CALLS)
@settings(max_examples=200, deadline=None)
def test_every_call_survives_the_disk(call: ModelCall) -> None:
    """Whatever stood on a span or in baggage, what is billed tomorrow is what was recorded today."""
    assert load_call(dump_call(call)) == call


@given(call=CALLS)
@settings(max_examples=200, deadline=None)
def test_a_record_is_one_line_of_ascii(call: ModelCall) -> None:
    """It is stored by SQLite, printed by commands and cut by line; nothing in a tag may forge a second line."""
    line = dump_call(call)

    assert line.isascii()
    assert line.isprintable()
    assert line.splitlines() == [line]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARTS = JSON | st.dictionaries(
    st.sampled_from(["unmetered", "unattributed", "uncached_input", "visible_output", "id", "external_id"]), JSON
)


@given(text=st.text() | JSON.map(json.dumps))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_call_or_a_value_error(text: str) -> None:
    """A file from another program, or a broken disk, must not stop the worker."""
    try:
        call = load_call(text)
    except ValueError:
        return
    assert isinstance(call, ModelCall)


@given(fields=st.fixed_dictionaries({}, optional=dict.fromkeys([*MINIMAL, "tags", "provider"], PARTS)))
@settings(max_examples=200, deadline=None)
def test_any_record_with_wrong_parts_is_a_call_or_a_value_error(fields: dict[str, object]) -> None:
    """Damage in one part is found where it is read, and nowhere else."""
    try:
        call = load_call(json.dumps({**MINIMAL, **fields}))
    except ValueError:
        return
    assert isinstance(call, ModelCall)
