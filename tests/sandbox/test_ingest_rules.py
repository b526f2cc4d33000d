"""The rules of an event, compared with pydantic, which is what Polar validates with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_polar.sandbox.ingest import read_batch, read_metadata
from otel_polar.sandbox.scalars import RefusedError, ServerFaultError
from tests.sandbox import oracle
from tests.sandbox.support import NOON, event

NOW = datetime.fromtimestamp(NOON, UTC)
UUID4 = "550e8400-e29b-41d4-a716-446655440000"
LLM = {"vendor": "openai", "model": "gpt-4o", "input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def batch_problems(body: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    try:
        read_batch(body, now=NOW)
    except RefusedError as error:
        return [(problem.type, problem.loc[1:]) for problem in error.problems]
    return []


def metadata_problems(metadata: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    try:
        read_metadata(metadata)
    except RefusedError as error:
        return [(problem.type, problem.loc) for problem in error.problems]
    return []


FIELDS: list[tuple[str, Any, str]] = [
    ("name", "", "an empty name is a name"),
    ("name", "x" * 128, "the longest name"),
    ("name", "x" * 129, "one too long"),
    ("name", None, "null is no string"),
    ("name", 5, "a number is no string"),
    ("name", "a\x00", "PostgreSQL keeps no NUL"),
    ("timestamp", None, "null is not absent"),
    ("timestamp", True, "a boolean is no time"),
    ("timestamp", [], "a list is no time"),
    ("timestamp", "2026-10-01T12:00:00Z", "now is in the past"),
    ("timestamp", "2026-10-01T12:00:00.000001Z", "a microsecond ahead is the future"),
    ("timestamp", "2026-10-01T14:00:00+02:00", "any offset will do"),
    ("timestamp", "2026-10-01T11:00:00", "a naive time is ambiguous"),
    ("timestamp", "2026-10-01", "a date is naive too"),
    ("timestamp", "2020-01-01 10:00Z", "a blank instead of T, no seconds"),
    ("timestamp", "2020-01-01t10:00:00z", "lower case"),
    ("timestamp", "2020-01-01T10:00:00,5+0130", "comma, offset without colon"),
    ("timestamp", "2020-01-01T10:00:00.123456789Z", "nanoseconds are cut"),
    ("timestamp", "2020-01-01T10:00:00.Z", "a point without digits"),
    ("timestamp", "2020-01-01T10Z", "no minutes"),
    ("timestamp", "2020-01-01T10:00:60Z", "no leap seconds"),
    ("timestamp", "2020-01-01T10:00:00+24:00", "an offset is less than a day"),
    ("timestamp", "2020-01-01T10:00:00+01:60", "an hour has 60 minutes"),
    ("timestamp", "2020-02-30T10:00:00Z", "no such day"),
    ("timestamp", "20200101T100000Z", "the basic format is not read"),
    ("timestamp", "", "nothing"),
    ("timestamp", "soon", "a word"),
    ("timestamp", "1700000000", "seconds as text"),
    ("timestamp", "1700000000.5", "with a fraction"),
    ("timestamp", 1.5, "seconds as a number"),
    ("timestamp", -1, "before 1970"),
    ("timestamp", 1_700_000_000_000, "a large number is milliseconds"),
    ("timestamp", 20_000_000_000, "the last number that is seconds, in the year 2603"),
    ("timestamp", 10**30, "beyond the year 9999"),
    ("timestamp", float("inf"), "never"),
    ("timestamp", float("nan"), "no number"),
    ("external_id", "", "an empty key is a key"),
    ("external_id", None, "null is no key"),
    ("external_id", 5, "a number is no key"),
    ("external_id", "a\x00", "NUL anywhere"),
    ("parent_id", [], "a list is no reference"),
    ("organization_id", "x", "an id of nobody"),
    ("external_customer_id", "", "accepted, and its usage lost"),
    ("external_customer_id", 5, "a number is no id"),
    ("external_customer_id", None, "null is no id"),
    ("external_member_id", 3, "a number is no id"),
    ("member_id", "z", "ignored beside an external customer"),
    ("customer_id", "not read", "the external id wins"),
    ("metadata", None, "null is not absent"),
    ("metadata", [], "a list is no object"),
    ("surprise", {"deep": [None]}, "unknown members are ignored"),
]


@pytest.mark.parametrize(("field", "value", "reason"), FIELDS, ids=[f"{row[0]}-{row[2]}" for row in FIELDS])
def test_a_field_is_judged_as_pydantic_judges_it(field: str, value: Any, reason: str) -> None:
    """Types and places are what a client decides by, so they must be Polar's own."""
    body = {"events": [event(**{field: value})]}

    expected = oracle.problems(oracle.Ingest, body)

    assert sorted(expected, key=str) == sorted(batch_problems(body), key=str), reason


@pytest.mark.parametrize(
    "customer_id",
    [
        None,
        5,
        "",
        "x",
        UUID4,
        UUID4.replace("-", ""),
        f"{{{UUID4}}}",
        f"urn:uuid:{UUID4}",
        "550e8400-e29b-11d4-a716-446655440000",
    ],
)
def test_a_customer_id_is_a_uuid4_in_any_spelling(customer_id: Any) -> None:
    """A UUID of another version is refused with a type of its own."""
    body = {"events": [{"name": "n", "customer_id": customer_id}]}

    assert oracle.problems(oracle.Ingest, body) == batch_problems(body)


@pytest.mark.parametrize("body", [5, None, [], {}, {"events": None}, {"events": {}}, {"events": [5, None, {}]}])
def test_what_is_no_batch_is_refused_at_its_place(body: Any) -> None:
    """A short location tells that the request, not an event, is wrong."""
    assert oracle.problems(oracle.Ingest, body) == batch_problems(body)


AMOUNTS: list[Any] = [
    *("0.025", "1E-7", "0", "-1", "+5", " 1 ", "1_0", "100000e-1", "1.0000000000000", 5, 0.5, "99999"),
    *("0.30000000000000004", 0.1 + 0.2, 123456, "123456", "1e5", "123456.0000000000001", 1e-20),
    *("abc", "", "NaN", "Infinity", None, True, []),
]
COUNTS: list[Any] = [1.0, 1.5, "1", "1.0", " 1_0 ", "x", True, None, -5, 10**30, float("inf"), []]
METADATA: list[tuple[dict[str, Any], str]] = [
    ({"k": "x" * 500}, "the longest value"),
    ({"k": "ä" * 500}, "counted in characters, not bytes"),
    ({"k": "x" * 501}, "one too long"),
    ({"k": ""}, "nothing"),
    ({"k": None}, "null"),
    ({"k": []}, "a list"),
    ({"k": {"a": 1}}, "an object"),
    ({"k": "a\x00"}, "NUL"),
    ({"k": 1, "l": 1.5, "m": True, "n": 10**400}, "numbers of any size and booleans"),
    ({str(number): number for number in range(60)}, "the documented 50 keys are not enforced"),
    ({"k" * 100: 1}, "nor are the 40 characters of a key"),
    ({"_foo": 1, "a.b": 2}, "an underscore and a dot are ordinary here"),
    ({"_cost": None}, "null"),
    ({"_cost": 5}, "no object"),
    ({"_cost": {}}, "nothing in it"),
    ({"_llm": None}, "null"),
    ({"_llm": {}}, "nothing in it"),
    *(({"_cost": {"amount": amount, "currency": "usd"}}, f"an amount of {amount!r}") for amount in AMOUNTS),
    *(({"_cost": {"amount": 1, "currency": word}}, f"currency {word!r}") for word in ("usd", "xusdx", "USD", None, 5)),
    *(({"_llm": {**LLM, "input_tokens": count}}, f"{count!r} tokens") for count in COUNTS),
    ({"_llm": {**LLM, "cached_input_tokens": None}}, "an optional count is absent, not null"),
    ({"_llm": {**LLM, "prompt": None, "response": "r"}}, "an optional text may be null"),
    ({"_llm": {**LLM, "prompt": 5, "vendor": None}}, "a text is a string"),
    ({"_llm": {**LLM, "reasoning_tokens": "many"}}, "unknown members are not even looked at"),
]


@pytest.mark.parametrize(("metadata", "reason"), METADATA, ids=[row[1] for row in METADATA])
def test_metadata_is_judged_as_pydantic_judges_it(metadata: dict[str, Any], reason: str) -> None:
    """One bad value costs the whole batch, so the line must run exactly where Polar's runs."""
    assert sorted(oracle.problems(oracle.Metadata, metadata), key=str) == sorted(
        metadata_problems(metadata), key=str
    ), reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD_NAMES = st.sampled_from(["timestamp", "name", "customer_id", "external_customer_id", "external_id", "metadata"])


# pydantic builds its validators during the first example, and a busy machine takes its time: neither is a fault.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELD_NAMES, JSON, max_size=6))
def test_any_event_is_accepted_or_refused_as_pydantic_does(fields: dict[str, Any]) -> None:
    """A table of examples has gaps; this looks for them."""
    metadata = fields.pop("metadata", {})

    assert oracle.problems(oracle.Ingest, {"events": [fields]}) == batch_problems({"events": [fields]})
    if isinstance(metadata, dict):
        # A key with NUL in it is refused by the database, which the oracle does not know.
        bad_keys = {place[0] for _, place in oracle.problems(oracle.Metadata, metadata)}
        found_keys = {place[0] for _, place in metadata_problems(metadata)}
        assert {key for key in bad_keys if "\x00" not in str(key)} == {
            key for key in found_keys if "\x00" not in str(key)
        }


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "\ud800"},
        {"external_id": "\udfff"},
        {"metadata": {"k": "\ud800"}},
        {"metadata": {"\ud800": 1}},
        {"metadata": {"k": float("nan")}},
        {"metadata": {"k": float("-inf")}},
        {"timestamp": "0001-01-01T00:00:00+01:00"},
    ],
)
def test_what_breaks_polars_server_is_no_refusal(fields: dict[str, Any]) -> None:
    """Polar answers 500 here, so a client that retries every 5xx would retry for ever."""
    with pytest.raises(ServerFaultError):
        read_batch({"events": [event(**fields)]}, now=NOW)


def test_a_bad_external_event_also_seems_to_lack_a_customer_id() -> None:
    """Both arms of the union are reported; only the index in the location can be trusted."""
    assert batch_problems({"events": [event(name=None)]}) == [
        ("string_type", ("events", 0, "EventCreateCustomer", "name")),
        ("missing", ("events", 0, "EventCreateCustomer", "customer_id")),
        ("string_type", ("events", 0, "EventCreateExternalCustomer", "name")),
    ]


def test_the_external_customer_wins_when_both_are_given() -> None:
    """The internal id is dropped without a word, and not even checked."""
    (parsed,) = read_batch({"events": [event(customer_id=UUID4)]}, now=NOW)

    assert (parsed.external_customer_id, parsed.customer_id) == ("user_42", None)


def test_an_amount_is_kept_as_a_double_and_unknown_llm_members_are_dropped() -> None:
    """Sixteen digits survive, and a reasoning count is gone."""
    parsed = read_metadata(
        {"_cost": {"amount": "99999.123456789012", "currency": "usd"}, "_llm": {**LLM, "reasoning_tokens": 5}}
    )

    assert parsed["_cost"] == {"amount": 99999.123456789012, "currency": "usd"}
    assert parsed["_llm"] == {**LLM, "prompt": None, "response": None}
