from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.event import (
    MAX_EVENT_NAME_CHARACTERS,
    EventName,
    MapMetadata,
    UsageEvent,
    build_event,
)
from otel_polar.billing.metadata import Metadata, add_tags, sanitise_metadata
from otel_polar.billing.pricing import Price
from otel_polar.billing.usage import Unmetered
from otel_polar.errors import UserFunctionError
from tests.billing.support import POLAR_ID, SPAN_ID, TRACE_ID, metadata_problems, model_call, tokens, unix_nano

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

PRICE: Final = Price(Decimal("0.0001686"), "genai-prices 0.2.3", "openai/gpt-4o-mini")
LATER: Final = datetime.fromisoformat("2027-01-01T00:00:00Z").timestamp()


def event_of(
    call: ModelCall | None = None,
    price: Price | None = PRICE,
    *,
    now: float = LATER,
    event_name: EventName = "llm_usage",
    map_metadata: MapMetadata | None = None,
) -> UsageEvent:
    """The event of a call, long after it ended."""
    return build_event(
        model_call() if call is None else call, price, now=now, event_name=event_name, map_metadata=map_metadata
    )


EXAMPLE: Final = model_call(
    start_time_unix_nano=unix_nano("2026-11-21T09:59:58.293456Z"),
    end_time_unix_nano=unix_nano("2026-11-21T10:00:00.123456Z") + 789,
    request_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    response_id="chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa",
    service_tier="default",
    server_address="api.openai.com",
    service_name="chat-api",
    usage=tokens(812, 142, cache_read=512),
    tags={"plan": "pro"},
)


def test_the_event_is_exactly_this_json() -> None:
    """A lasting contract: a Polar meter freezes its filter, so no name, key or type here may ever change."""
    body = event_of(EXAMPLE).body()

    assert json.loads(json.dumps(body, allow_nan=False)) == {
        "name": "llm_usage",
        "external_customer_id": "user_42",
        "external_id": "openai:chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa",
        "timestamp": "2026-11-21T10:00:00.123456Z",
        "metadata": {
            "provider": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "operation": "chat",
            "requests": 1,
            "input_tokens": 812,
            "output_tokens": 142,
            "total_tokens": 954,
            "cache_read_tokens": 512,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            "cost_nanos": 168600,
            "cost_currency": "usd",
            "price_source": "genai-prices 0.2.3",
            "price_model": "openai/gpt-4o-mini",
            "price_approximate": False,
            "generation_id": "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa",
            "duration_ms": 1830,
            "service_name": "chat-api",
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "plan": "pro",
            "_cost": {"amount": "0.016860000000", "currency": "usd"},
            "_llm": {
                "vendor": "openai",
                "model": "gpt-4o-mini-2024-07-18",
                "input_tokens": 812,
                "cached_input_tokens": 512,
                "output_tokens": 142,
                "total_tokens": 954,
            },
        },
    }


def test_every_bucket_is_a_key_and_the_totals_contain_them() -> None:
    """Meters may sum any of them; a token in two buckets of one total would be sold twice."""
    call = model_call(usage=tokens(812, 142, cache_read=500, cache_write=12, reasoning=42))

    metadata = event_of(call).metadata

    counts = {key: value for key, value in metadata.items() if key.endswith("_tokens")}
    assert counts == {
        "input_tokens": 812,
        "output_tokens": 142,
        "total_tokens": 954,
        "cache_read_tokens": 500,
        "cache_write_tokens": 12,
        "reasoning_tokens": 42,
    }


def test_what_is_meant_to_be_summed_is_a_number_and_not_a_truth_value() -> None:
    """Polar's meters skip text and booleans silently."""
    metadata = event_of(EXAMPLE).metadata

    summable = ("requests", "input_tokens", "output_tokens", "total_tokens", "cost_nanos", "duration_ms")
    assert {type(metadata[key]) for key in summable} == {int}


@pytest.mark.parametrize(
    ("customer", "expected", "reason"),
    [
        (Customer(external_customer_id="user_42"), {"external_customer_id": "user_42"}, "yours"),
        (
            Customer(external_customer_id="user_42", member_id="ann"),
            {"external_customer_id": "user_42", "external_member_id": "ann"},
            "with an external customer Polar ignores member_id silently",
        ),
        (Customer(customer_id=POLAR_ID), {"customer_id": POLAR_ID}, "Polar's"),
        (
            Customer(customer_id=POLAR_ID, member_id=POLAR_ID),
            {"customer_id": POLAR_ID, "member_id": POLAR_ID},
            "with an internal customer the member is internal",
        ),
        (
            Customer(customer_id=POLAR_ID, external_customer_id="user_42"),
            {"customer_id": POLAR_ID},
            "of both, Polar would take the external one unchecked",
        ),
    ],
)
def test_an_event_names_one_customer_in_the_fields_of_its_kind(
    customer: Customer, expected: dict[str, str], reason: str
) -> None:
    """In a wrong field an id is refused with its whole batch, or bills nobody."""
    body = event_of(model_call(customer=customer)).body()

    assert {key: value for key, value in body.items() if "customer" in key or "member" in key} == expected, reason


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (model_call(customer=NOBODY), NOBODY.reason),
        (model_call(usage=Unmetered("no token counts: the call failed")), "no token counts: the call failed"),
    ],
)
def test_a_call_without_customer_or_usage_becomes_no_event(call: ModelCall, why: str) -> None:
    """It is held for a person to decide; an event of nobody, or of nothing, could never be taken back."""
    with pytest.raises(ValueError, match=r"^no ") as caught:
        event_of(call)

    assert str(caught.value) == why


def test_without_a_cost_there_is_no_word_of_a_cost() -> None:
    """A cost of 0 would be believed; an absent one is seen to be absent."""
    metadata = event_of(EXAMPLE, price=None).metadata

    assert [key for key in metadata if "cost" in key or "price" in key] == []
    assert metadata["total_tokens"] == 954


@pytest.mark.parametrize(
    ("fields", "absent", "reason"),
    [
        ({"response_id": None}, "generation_id", "embeddings have none"),
        ({"response_id": "\x00"}, "generation_id", "nothing is left of it"),
        ({"service_name": None}, "service_name", "the resource names none"),
        ({"service_name": "\ud800"}, "service_name", "nothing is left of it"),
    ],
)
def test_an_absent_name_is_an_absent_key(fields: dict[str, Any], absent: str, reason: str) -> None:
    """Polar refuses null and the empty string, and the whole batch with them."""
    metadata = event_of(model_call(**fields)).metadata

    assert absent not in metadata, reason
    assert metadata_problems(metadata) == []


def test_an_unknown_provider_or_model_is_written_as_unknown() -> None:
    """Polar's `_llm` demands both, and its cost page groups by them."""
    metadata = event_of(model_call(provider=None, response_model="\x00"), price=None).metadata

    assert (metadata["provider"], metadata["model"]) == ("unknown", "unknown")
    assert metadata_problems(metadata) == []


@pytest.mark.parametrize(
    ("end", "now", "expected", "reason"),
    [
        ("2026-11-21T10:00:00.123456Z", "2026-11-21T10:00:01Z", "2026-11-21T10:00:00.123456Z", "the span's end"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:01Z", "2026-11-21T10:00:00.000000Z", "always six places"),
        ("2026-11-21T10:00:02Z", "2026-11-21T10:00:01Z", "2026-11-21T10:00:01.000000Z", "a clock that runs ahead"),
        ("2099-01-01T00:00:00Z", "2026-11-21T10:00:01Z", "2026-11-21T10:00:01.000000Z", "a clock that is broken"),
        ("1970-01-01T00:00:00Z", "2026-11-21T10:00:01Z", "1970-01-01T00:00:00.000000Z", "Polar has no lower bound"),
    ],
)
def test_the_timestamp_is_the_end_and_never_later_than_now(end: str, now: str, expected: str, reason: str) -> None:
    """Polar refuses a whole batch for one event two seconds ahead of its clock."""
    call = model_call(end_time_unix_nano=unix_nano(end))

    event = event_of(call, now=datetime.fromisoformat(now).timestamp())

    assert event.timestamp == expected, reason


def test_an_end_beyond_every_calendar_is_taken_for_now() -> None:
    """OTLP carries 64 bits; an overflow must not hold up a batch."""
    event = event_of(model_call(end_time_unix_nano=2**64 - 1), now=1_800_000_000.5)

    assert event.timestamp == "2027-01-15T08:00:00.500000Z"


@pytest.mark.parametrize("nanoseconds", [0, 1, 499, 500, 999])
def test_nanoseconds_are_cut_to_whole_microseconds(nanoseconds: int) -> None:
    """Rounded up, an event could be later than its own span; through a float, it moves in steps of 256 ns."""
    event = event_of(model_call(end_time_unix_nano=unix_nano("2026-11-21T10:00:00.123456Z") + nanoseconds))

    assert event.timestamp == "2026-11-21T10:00:00.123456Z"


@given(end=st.integers(0, 2**63), now=st.floats(0, 4e9))
@settings(max_examples=300, deadline=None)
def test_no_timestamp_is_later_than_now(end: int, now: float) -> None:
    """To the microsecond, which is the finest that Polar reads."""
    event = event_of(model_call(end_time_unix_nano=end), now=now)

    moment = datetime.fromisoformat(event.timestamp).timestamp()
    assert moment <= min(now, end / 1e9) + 1e-6


def test_tags_stand_beside_the_contract() -> None:
    """Meters filter by them."""
    metadata = event_of(model_call(tags={"plan": "pro", "seats": 3, "trial": False, "share": 0.5})).metadata

    assert {key: metadata[key] for key in ("plan", "seats", "trial", "share")} == {
        "plan": "pro",
        "seats": 3,
        "trial": False,
        "share": 0.5,
    }


RESERVED: Final = (
    "provider",
    "model",
    "operation",
    "requests",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nanos",
    "cost_currency",
    "price_model",
    "price_approximate",
    "price_source",
    "charge_nanos",
    "generation_id",
    "duration_ms",
    "service_name",
    "trace_id",
    "span_id",
)


@pytest.mark.parametrize("key", RESERVED)
@pytest.mark.parametrize("spelling", ["{}", "_{}", "__{}", ".{}", "\x00{}"])
def test_no_tag_can_pass_for_a_key_of_the_contract(key: str, spelling: str) -> None:
    """Baggage comes from anybody: a tag named total_tokens must not become what is billed."""
    bare = model_call(response_id=None, service_name=None)
    tagged = model_call(response_id=None, service_name=None, tags={spelling.format(key): "forged"})

    for price in (None, PRICE):
        expected = event_of(bare, price).metadata
        assert event_of(tagged, price).metadata == {**expected, f"tag_{key}": "forged"}


@pytest.mark.parametrize("key", ["_cost", "_llm"])
def test_no_tag_can_pass_for_a_structured_key_of_polar(key: str) -> None:
    """Text in `_cost` would refuse the batch; an amount in it would be believed."""
    metadata = event_of(model_call(tags={key: "0.01"})).metadata

    assert metadata[key.lstrip("_")] == "0.01"
    assert metadata[key] == event_of().metadata[key]


@pytest.mark.parametrize(
    ("tags", "expected", "reason"),
    [
        ({"plan": "pro"}, {"plan": "pro"}, "as it is"),
        ({"a.b.c": 1}, {"a_b_c": 1}, "a dot is a path to meters: the key could not be metered"),
        ({"__private": 1, "_x": 2}, {"private": 1, "x": 2}, "leading underscores are Polar's own"),
        ({"_": 1, "...": 2, "": 3, "\x00": 4}, {}, "nothing is left of the key"),
        ({"a.b": 1, "a_b": 2}, {"a_b": 1}, "two keys become one: the first wins"),
        ({"k" * 40: 1}, {"k" * 40: 1}, "the longest key"),
        ({"k" * 41: 1}, {"k" * 40: 1}, "one more is cut"),
        ({"v": "x" * 500}, {"v": "x" * 500}, "the longest text"),
        ({"v": "x" * 501}, {"v": "x" * 500}, "one more is cut"),
        ({"v": "\N{GRINNING FACE}" * 501}, {"v": "\N{GRINNING FACE}" * 500}, "Polar counts code points, not bytes"),
        ({"v": ""}, {}, "Polar refuses empty text"),
        ({"v": "a\x00b"}, {"v": "ab"}, "Polar refuses NUL"),
        ({"v": "\x00" * 9}, {}, "nothing but NUL is empty"),
        ({"v": "\x00" * 9 + "x" * 500}, {"v": "x" * 500}, "cut after cleaning, not before"),
        ({"v": "a\ud800b\udfff"}, {"v": "ab"}, "a lone surrogate is a 500 at Polar"),
        ({"k\ud800": 1}, {"k": 1}, "in a key as well"),
        ({"v": " "}, {"v": " "}, "a space is text"),
        ({"v": "\n"}, {"v": "\n"}, "a line break is text"),
        ({"v": None}, {}, "Polar refuses null"),
        ({"v": True}, {"v": True}, "true stays true, not 1"),
        ({"v": 0}, {"v": 0}, "zero is a value"),
        ({"v": False}, {"v": False}, "false is a value"),
        ({"v": float("nan")}, {}, "JSON has no NaN"),
        ({"v": float("inf")}, {}, "nor infinity"),
        ({"v": float("-inf")}, {}, "nor its opposite"),
        ({"v": 1e308}, {"v": 1e308}, "large, and finite"),
        ({"v": 2**63 - 1}, {"v": 2**63 - 1}, "the largest integer of 64 bits"),
        ({"v": 2**63}, {}, "one more does not fit a database"),
        ({"v": -(2**63) + 1}, {"v": -(2**63) + 1}, "the same below zero"),
        ({"v": 10**400}, {}, "an integer of four hundred digits"),
        ({"v": 10**5_000}, {}, "one that Python itself refuses to write"),
        ({"v": ["a", "b"]}, {"v": "a,b"}, "names, joined"),
        ({"v": ("a", 1, None, "b")}, {"v": "a,b"}, "what is no name in it goes"),
        ({"v": []}, {}, "an empty list is nothing"),
        ({"v": [1, 2]}, {}, "a list without names is nothing"),
        ({"v": ["x" * 300, "y" * 300]}, {"v": "x" * 300 + "," + "y" * 199}, "long lists are cut like text"),
        ({"v": {"a": 1}}, {}, "nested: refused by Polar"),
        ({"v": b"abc"}, {}, "bytes"),
        ({"v": 1 + 2j}, {}, "complex numbers"),
        ({1: "a", None: "b", ("t",): "c"}, {}, "keys that are no text"),
    ],
)
def test_metadata_is_made_to_fit_or_left_out(tags: dict[Any, object], expected: dict[str, object], reason: str) -> None:
    """One bad value refuses every event of a batch."""
    assert sanitise_metadata(tags) == expected, reason
    assert {key: type(value) for key, value in sanitise_metadata(tags).items()} == {
        key: type(value) for key, value in expected.items()
    }, reason


def test_at_most_fifty_keys_are_sent_and_the_contract_is_among_them() -> None:
    """Tags give way; a token count never does."""
    tags: dict[str, object] = {f"tag{number:03}": number for number in range(100)}

    assert len(sanitise_metadata(tags)) == 50
    metadata = event_of(model_call(service_name="chat-api", response_id="x", tags=tags)).metadata
    assert len(metadata) == 50
    assert {*RESERVED, "_cost", "_llm"} - {"charge_nanos"} <= metadata.keys()
    assert "tag000" in metadata


def test_what_cannot_be_sent_takes_no_place_from_what_can() -> None:
    """Fifty unusable tags before a good one must not push it out."""
    tags = {**{f"empty{number}": "" for number in range(60)}, "plan": "pro"}

    assert sanitise_metadata(tags) == {"plan": "pro"}


def test_a_renamed_tag_is_cut_to_a_key_that_fits() -> None:
    """The prefix must not make a key too long."""
    contract: Metadata = {"k" * 40: 1}

    assert add_tags(contract, {"k" * 40: "tag"}) == {"k" * 40: 1, "tag_" + "k" * 36: "tag"}


def test_adding_tags_changes_nothing_it_was_given() -> None:
    """The call is used again: by explain, by reprice, by the next attempt."""
    contract: Metadata = {"requests": 1}
    tags = {"requests": 2}

    add_tags(contract, tags)

    assert (contract, tags) == ({"requests": 1}, {"requests": 2})


def test_the_name_may_be_a_function_of_the_call() -> None:
    """One meter for chats and one for embeddings need two names."""
    event = event_of(model_call(operation="embeddings"), event_name=lambda call: f"llm_{call.operation}")

    assert event.name == "llm_embeddings"


def raising(call: ModelCall) -> str:
    """Raise, with the content of a header in the message."""
    raise KeyError(f"secret of {call.model}")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "nothing: no meter matches it"),
        ("\x00", "Polar takes no NUL"),
        ("llm\ud800usage", "nor half a character"),
        ("n" * 129, "cut to 128 it would be another name"),
        (None, "a forgotten return"),
        (42, "a number"),
        (b"llm_usage", "bytes"),
    ],
)
def test_a_name_that_cannot_be_sent_is_an_error_of_the_function(answer: Any, reason: str) -> None:
    """The event is parked with the reason, where a person sees it; under a made-up name no meter would."""
    with pytest.raises(UserFunctionError) as caught:
        event_of(event_name=lambda _: answer)

    assert str(caught.value).startswith("event_name must answer text of 1 to 128 characters"), reason


def test_a_name_function_that_raises_is_told_by_the_kind_of_its_error_alone() -> None:
    """Its message may hold anything, also what must not be logged; the error itself is chained for a debugger."""
    with pytest.raises(UserFunctionError) as caught:
        event_of(event_name=raising)

    assert str(caught.value) == "event_name raised KeyError"
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_user_function_that_exits_ends_nothing_but_its_event() -> None:
    """A sys.exit() in it would end the delivery thread, and with it all billing, in silence."""

    def leave(*_: object) -> Any:
        raise SystemExit(1)

    with pytest.raises(UserFunctionError, match="event_name raised SystemExit"):
        event_of(event_name=leave)
    with pytest.raises(UserFunctionError, match="map_metadata raised SystemExit"):
        event_of(map_metadata=leave)


def test_no_name_is_longer_than_polar_takes() -> None:
    """A longer one refuses the whole batch."""
    longest = "n" * MAX_EVENT_NAME_CHARACTERS

    assert event_of(event_name=lambda _: longest).name == longest
    try:
        name = event_of(event_name=lambda _: longest + "n").name
    except UserFunctionError:
        return
    assert len(name) <= MAX_EVENT_NAME_CHARACTERS


def test_map_metadata_replaces_what_is_sent() -> None:
    """What it leaves out is not sent: some keep trace ids to themselves."""

    def only_totals(call: ModelCall, metadata: Metadata) -> Metadata:
        return {"model": call.model or "", "credits": 7, "total_tokens": metadata["total_tokens"]}

    assert event_of(map_metadata=only_totals).metadata == {"model": "gpt-4o-mini", "credits": 7, "total_tokens": 1_100}


def test_map_metadata_sees_the_tags_and_the_cost() -> None:
    """It is offered all that would be sent, so that it can be written as a small change."""
    offered: list[Metadata] = []

    def note(call: ModelCall, metadata: Metadata) -> Metadata:
        offered.append({**metadata, "seen": call.operation})
        return metadata

    event = event_of(EXAMPLE, map_metadata=note)

    assert offered == [{**event_of(EXAMPLE).metadata, "seen": "chat"}]
    assert event.metadata == event_of(EXAMPLE).metadata


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"_cost": {"amount": "99.0", "currency": "usd"}}, "another amount"),
        ({"_cost": {"amount": "NaN", "currency": "USD"}}, "one that refuses the batch"),
        ({"_cost": None}, "null refuses the batch"),
        ({"_cost": "0.01"}, "text refuses the batch"),
    ],
)
def test_map_metadata_cannot_smuggle_a_cost(answer: Any, reason: str) -> None:
    """Polar's cost page shows what the provider took; it passes as it was built, or not at all."""
    priced = event_of(map_metadata=lambda _call, _metadata: answer)
    unpriced = event_of(price=None, map_metadata=lambda _call, _metadata: answer)

    assert priced.metadata == {"_cost": {"amount": "0.016860000000", "currency": "usd"}}, reason
    assert unpriced.metadata == {}, reason


@pytest.mark.parametrize("key", ["__cost", "._cost", "\x00_cost", "_.cost", "cost"])
def test_no_other_spelling_of_a_structured_key_gets_through(key: str) -> None:
    """Cleaning a key must not turn it into Polar's own."""
    event = event_of(price=None, map_metadata=lambda _call, _metadata: {key: "1"})

    assert event.metadata == {"cost": "1"}


@pytest.mark.parametrize(
    ("answer", "named", "reason"),
    [
        ({"usage": {"tokens": 5}}, "'usage' is of type dict", "nested, as it looks in Polar's page"),
        ({"tokens": Decimal(5)}, "'tokens' is of type Decimal", "exact, but no JSON"),
        ({"models": ["a", 1]}, "'models' is of type list", "half of it would be left out"),
        ({"raw": b"x"}, "'raw' is of type bytes", "not text"),
        ({7: "seven"}, "keys that are text, not of type int", "a key must be a name"),
    ],
)
def test_what_map_metadata_answers_is_not_left_out_in_silence(answer: Any, named: str, reason: str) -> None:
    """A meter sums a key; an event without it is a lost bill, and looks well."""
    with pytest.raises(UserFunctionError) as caught:
        event_of(map_metadata=lambda _call, _metadata: answer)

    assert named in str(caught.value), reason


def test_map_metadata_can_leave_the_structured_keys_out() -> None:
    """Its answer replaces everything; what it does not want shown is not shown."""
    event = event_of(map_metadata=lambda _call, _metadata: {"credits": 1})

    assert event.metadata == {"credits": 1}


def test_what_map_metadata_does_to_its_argument_is_harmless() -> None:
    """A function that edits in place and answers something else changes only what it answers."""

    def vandal(_call: ModelCall, metadata: Metadata) -> Metadata:
        assert isinstance(metadata, dict)
        metadata["_cost"]["amount"] = "0"
        metadata["_llm"]["total_tokens"] = 0
        answer = dict(metadata)
        metadata.clear()
        return answer

    event = event_of(EXAMPLE, map_metadata=vandal)

    assert event.metadata == event_of(EXAMPLE).metadata


def breaking(call: ModelCall, metadata: Metadata) -> Metadata:
    """Raise, with the content of the metadata in the message."""
    raise RuntimeError(f"{call}{metadata}")


@pytest.mark.parametrize(
    ("function", "message", "reason"),
    [
        (breaking, "map_metadata raised RuntimeError", "it failed"),
        (
            lambda _call, _metadata: None,
            "map_metadata must answer a mapping, not what is of type NoneType",
            "forgotten",
        ),
        (lambda _call, _metadata: 7, "map_metadata must answer a mapping, not what is of type int", "no metadata"),
        (lambda _call, _metadata: [("a", 1)], "map_metadata must answer a mapping, not what is of type list", "pairs"),
        (lambda _call, metadata: metadata["nope"], "map_metadata raised KeyError", "a key that is not there"),
    ],
)
def test_a_map_metadata_that_fails_parks_the_event(function: MapMetadata, message: str, reason: str) -> None:
    """It never loses it, never reaches the caller, and never puts content into a message."""
    with pytest.raises(UserFunctionError) as caught:
        event_of(map_metadata=function)

    assert str(caught.value) == message, reason


def test_what_map_metadata_answers_is_limited_to_fifty_keys() -> None:
    """The limits hold for its answer too, Polar's own keys included."""

    def generous(_call: ModelCall, metadata: Metadata) -> Metadata:
        return {**{f"key{number}": number for number in range(100)}, **metadata}

    metadata = event_of(map_metadata=generous).metadata

    assert len(metadata) == 50
    assert {"_cost", "_llm"} <= metadata.keys()


def test_building_the_same_event_again_gives_the_same_body() -> None:
    """A retry after a lost answer must send what Polar may already have."""
    assert json.dumps(event_of(EXAMPLE).body()) == json.dumps(event_of(EXAMPLE).body())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.text(alphabet="a\x00\ud800\udfff. _", max_size=6)
    | st.sampled_from(["x" * 499, "x" * 500, "x" * 501, "\x00" * 501])
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.one_of(
    st.text(max_size=6),
    st.text(alphabet="a\x00\ud800._", max_size=6),
    st.sampled_from([*RESERVED, "_cost", "_llm", "k" * 40, "k" * 41, "." * 41]),
    st.none(),
    st.integers(),
)
ANYTHING = st.dictionaries(KEYS, VALUES, max_size=60)


@given(metadata=ANYTHING)
@settings(max_examples=300, deadline=None)
def test_sanitised_metadata_is_always_accepted(metadata: dict[Any, object]) -> None:
    """Whatever comes from baggage, attributes or a function, no batch is refused for it."""
    sanitised = sanitise_metadata(metadata)

    assert metadata_problems(sanitised) == []
    json.dumps(sanitised, allow_nan=False, ensure_ascii=False).encode()


@given(tags=st.dictionaries(KEYS.filter(lambda key: isinstance(key, str)), VALUES, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_tags_change_what_is_billed_or_get_an_event_refused(tags: dict[str, Any]) -> None:
    """Tags are the one part of an event that strangers can write."""
    bare = event_of(EXAMPLE).metadata

    metadata = event_of(EXAMPLE._replace(tags=tags)).metadata

    assert metadata_problems(metadata) == []
    json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
    assert {key: metadata[key] for key in bare if key != "plan"} == {
        key: value for key, value in bare.items() if key != "plan"
    }


@given(answer=ANYTHING, usd=st.none() | st.decimals(0, "999.99", allow_nan=False))
@settings(max_examples=200, deadline=None)
def test_no_answer_of_map_metadata_gets_an_event_refused(answer: dict[Any, Any], usd: Decimal | None) -> None:
    """A user's function may answer anything at all."""
    price = None if usd is None else Price(usd, "my list")

    try:
        event = event_of(price=price, map_metadata=lambda _call, _metadata: answer)
    except UserFunctionError:
        return

    assert metadata_problems(event.metadata) == []
    json.dumps(event.body(), allow_nan=False, ensure_ascii=False).encode()


@given(
    fields=st.fixed_dictionaries(
        {
            name: st.none() | st.text(alphabet="ab\x00\ud800 .", max_size=5) | st.just("x" * 200)
            for name in ("provider", "request_model", "response_model", "response_id", "service_name")
        }
    ),
    end=st.integers(0, 2**64 - 1),
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_span_names_its_event_is_accepted(fields: dict[str, str | None], end: int) -> None:
    """Names come from attributes, and attributes from anybody."""
    event = event_of(model_call(end_time_unix_nano=end, **fields))

    assert metadata_problems(event.metadata) == []
    json.dumps(event.body(), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("source", ["", "x" * 501, "a\x00b"])
def test_the_source_of_a_price_is_made_to_fit(source: str) -> None:
    """It comes from a resolver of the user's."""
    assert metadata_problems(build_event(model_call(), Price(Decimal("1e-15"), source), now=2e9).metadata) == []


def test_an_event_of_nobody_is_refused() -> None:
    """Polar takes an empty external id, and the usage is lost."""
    with pytest.raises(ValueError, match="without an id"):
        build_event(model_call(customer=Customer()), None, now=2e9)
