from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.customer import (
    MAX_ID_CHARACTERS,
    NOBODY,
    Customer,
    CustomerKeys,
    InvalidIdError,
    Unattributed,
    build_customer,
    check_baggage_id,
    check_id,
    check_internal_id,
    read_baggage_customer,
    read_customer,
)
from tests.billing.support import POLAR_ID

KEYS = CustomerKeys()


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({"userId": "a", "externalId": "b"}, Customer(external_customer_id="a"), "the first default key"),
        ({"externalId": "b", "user_id": "c"}, Customer(external_customer_id="b"), "then the second"),
        ({"user_id": "c", "user.id": "d"}, Customer(external_customer_id="c"), "snake_case before OTel's own"),
        ({"user.id": "d", "enduser.id": "e"}, Customer(external_customer_id="d"), "user.id before the deprecated one"),
        ({"enduser.id": "e", "session.id": "s"}, Customer(external_customer_id="e"), "the last default key"),
        ({"enduser.id": "e", "userId": "a"}, Customer(external_customer_id="a"), "not the order on the span"),
        ({"customerId": POLAR_ID}, Customer(customer_id=POLAR_ID), "Polar's own id"),
        ({"polarCustomerId": POLAR_ID}, Customer(customer_id=POLAR_ID), "under its second name"),
        ({"customer_id": POLAR_ID}, Customer(customer_id=POLAR_ID), "under its third"),
        (
            {"userId": "a", "customer_id": POLAR_ID},
            Customer(customer_id=POLAR_ID),
            "the internal id wins over any other",
        ),
        (
            {"userId": "a", "memberId": "m"},
            Customer(external_customer_id="a", member_id="m"),
            "who of the customer's people it was",
        ),
        (
            {"userId": "a", "memberId": "m", "member_id": "n"},
            Customer(external_customer_id="a", member_id="m"),
            "first",
        ),
    ],
)
def test_the_first_key_that_is_present_decides(attributes: dict[str, object], expected: Customer, reason: str) -> None:
    """Two keys on one span may name two people; which one pays must be fixed and documented."""
    assert read_customer(attributes, KEYS) == expected, reason
    assert read_baggage_customer(attributes, KEYS) == expected, reason


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "nothing at all"),
        ({"http.route": "/"}, "other people's attributes"),
        ({"memberId": "m"}, "a member of nobody"),
        ({"USERID": "a", "userid": "b"}, "keys are case-sensitive"),
    ],
)
def test_a_source_without_a_key_names_nobody_and_the_search_goes_on(attributes: dict[str, object], reason: str) -> None:
    """None is not a refusal: only then may a less explicit source be asked."""
    assert read_customer(attributes, KEYS) is None, reason
    assert read_baggage_customer(attributes, KEYS) is None, reason


def test_own_keys_replace_the_default_ones() -> None:
    """Who bills by tenant must not be billed by user when the tenant is missing."""
    keys = CustomerKeys(internal=(), external=("tenant", "org"), member=("user.id",))

    assert read_customer({"org": "acme", "user.id": "ann"}, keys) == Customer(
        external_customer_id="acme", member_id="ann"
    )
    assert read_customer({"user.id": "ann", "customerId": POLAR_ID}, keys) is None


def test_all_keys_are_known_together() -> None:
    """The capture side looks for exactly these, so one that is missing there is a customer not found."""
    keys = CustomerKeys(internal=("i",), external=("e", "f"), member=("m",))

    assert keys.all == {"i", "e", "f", "m"}


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        ("user_42", "user_42", "the usual"),
        ("x" * 200, "x" * 200, "the limit itself"),
        ("\N{GRINNING FACE}" * 200, "\N{GRINNING FACE}" * 200, "characters are counted, not bytes"),
        ("ann@example.com", "ann@example.com", "an address"),
        ("Ann Lee", "Ann Lee", "an inner space is text"),
        ("auth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f7c8ec7c33c6c004bbafe82", "Auth0's form"),
        ("k=v,w", "k=v,w", "what baggage must encode is still an id"),
        ("none", "none", "a word, but not one that a sender writes for nothing"),
        (42, "42", "a database's key"),
        (0, "0", "also the first one"),
        (-1, "-1", "also a strange one"),
        (2**63, "9223372036854775808", "also a large one"),
        (UUID(POLAR_ID), POLAR_ID, "a database's key of the other kind"),
    ],
)
def test_an_id_is_taken_as_it_is_written(value: object, expected: str, reason: str) -> None:
    """Refusing a good id is a call nobody pays for; changing one is a call somebody else pays for."""
    assert check_id(value) == expected, reason


BAD_IDS = [
    ("", "must not be empty", "nothing"),
    ("   ", "begin or end with white space", "white space alone"),
    (" user", "begin or end with white space", "may have been '+user'"),
    ("user\n", "begin or end with white space", "cut off, it may be another's"),
    ("None", "the word for nothing", "str(None) in somebody's middleware"),
    ("null", "the word for nothing", "JavaScript's"),
    ("undefined", "the word for nothing", "JavaScript's other one"),
    (" None ", "begin or end with white space", "also with white space around it"),
    (2**200, "whole number of usual size", "no database counts that far"),
    ("x" * 201, "longer than 200 characters (it has 201)", "one too many: never cut"),
    ("x" * 100_000, "(it has 100000)", "an attack on the disk"),
    ("secret\x00id", "control characters", "Polar refuses the batch for it"),
    ("secret\nid", "control characters", "an inner line break forges log lines"),
    ("secret\tid", "control characters", "an inner tab"),
    ("secret\x7fid", "control characters", "DEL"),
    ("secret\u202eid", "control characters", "reads as another id on screen"),
    ("secret\u200bid", "control characters", "two ids that look the same"),
    ("secret\u00a0id", "control characters", "a space that is not one"),
    ("secret\ud800id", "control characters", "a lone surrogate cannot be sent at all"),
    ("secret;id", "must not contain ';'", "the next service would read 'secret', another customer"),
    (True, "not bool", "True is not customer 1"),
    (False, "not bool", "nor is False customer 0"),
    (42.0, "not float", "a rounded key may be another's"),
    (None, "not NoneType", "nobody"),
    (b"secret", "not bytes", "bytes in an unknown encoding"),
    (["secret"], "not list", "an array, however short"),
    (("secret",), "not tuple", "as the SDK stores it"),
    ({"secret": 1}, "not dict", "a structure"),
]


@pytest.mark.parametrize(("value", "why", "reason"), BAD_IDS)
def test_an_id_that_cannot_be_right_is_refused_and_told_why(value: object, why: str, reason: str) -> None:
    """Cut or repaired, it may be somebody else's."""
    with pytest.raises(InvalidIdError) as caught:
        check_id(value)

    assert why in str(caught.value), reason


def test_a_number_too_long_to_write_is_refused_like_any_other() -> None:
    """Python itself refuses to write out more than 4300 digits; reading a span must not raise for it."""
    assert isinstance(read_customer({"user.id": 10**5_000}, KEYS), Unattributed)
    assert isinstance(read_baggage_customer({"user.id": 10**5_000}, KEYS), Unattributed)


@pytest.mark.parametrize(
    ("limit", "expected", "reason"),
    [
        (None, Customer(external_customer_id="user_42"), "no limit: nothing was cut"),
        (8, Customer(external_customer_id="user_42"), "one character below the limit: whole"),
        (7, None, "as long as the limit: it may have been user_421"),
        (6, None, "longer than the limit: set in some other way, and not believed either"),
    ],
)
def test_an_id_as_long_as_the_span_limit_is_refused(limit: int | None, expected: Customer | None, reason: str) -> None:
    """OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cuts ids without a word: user_421 becomes user_42, another customer."""
    answer = read_customer({"user.id": "user_42", "enduser.id": "u"}, KEYS, attribute_length_limit=limit)

    if expected is None:
        assert answer == Unattributed(f"user.id: an id may have been cut by the span limit of {limit} characters")
    else:
        assert answer == expected, reason


@pytest.mark.parametrize("members", [{"userId": "a", "memberId": "m" * 9}, {"customerId": POLAR_ID}])
def test_the_span_limit_holds_for_every_kind_of_id(members: dict[str, object]) -> None:
    """A member that was cut is somebody else too."""
    assert isinstance(read_customer(members, KEYS, attribute_length_limit=9), Unattributed)


@pytest.mark.parametrize(("value", "why", "reason"), BAD_IDS)
def test_a_refusal_names_the_key_and_never_the_id(value: object, why: str, reason: str) -> None:
    """The reason is written to logs, where an e-mail address has no business."""
    answer = read_customer({"user_id": value}, KEYS)

    assert isinstance(answer, Unattributed), reason
    assert answer.reason.startswith("user_id: "), reason
    assert why in answer.reason, reason
    assert "secret" not in answer.reason, reason
    assert "xx" not in answer.reason, reason


@pytest.mark.parametrize(("value", "_why", "reason"), BAD_IDS)
def test_an_invalid_id_never_falls_back_to_another_key(value: object, _why: str, reason: str) -> None:
    """The caller meant somebody by the first key; the second may be somebody else."""
    assert isinstance(read_customer({"userId": value, "user.id": "ann"}, KEYS), Unattributed), reason
    assert isinstance(read_customer({"customerId": value, "user.id": "ann"}, KEYS), Unattributed), reason
    assert isinstance(read_customer({"user.id": "ann", "memberId": value}, KEYS), Unattributed), reason


def test_an_invalid_internal_id_never_falls_back_to_the_external_one() -> None:
    """An own id under Polar's key is the commonest mistake; guessing past it hides it for ever."""
    answer = read_customer({"customer_id": "user_42", "user_id": "user_43"}, KEYS)

    assert answer == Unattributed(
        "customer_id: Polar's own ids of customers and members are UUIDs of version 4;"
        " pass your own id as the external one"
    )


@pytest.mark.parametrize(("value", "_why", "reason"), BAD_IDS)
def test_an_unusable_external_id_beside_an_internal_one_does_no_harm(value: object, _why: str, reason: str) -> None:
    """Only the id that is sent is checked: the customer is certain."""
    assert read_customer({"customerId": POLAR_ID, "userId": value}, KEYS) == Customer(customer_id=POLAR_ID), reason


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        (POLAR_ID, POLAR_ID, "as Polar writes it"),
        (POLAR_ID.upper(), POLAR_ID, "Polar's own form is lower case"),
        (UUID(POLAR_ID), POLAR_ID, "as a database hands it out"),
    ],
)
def test_an_internal_id_is_a_uuid_of_version_4(value: object, expected: str, reason: str) -> None:
    """It goes out in one spelling, so that one customer is one customer everywhere."""
    assert check_internal_id(value) == expected, reason


@pytest.mark.parametrize(
    ("value", "_reason"),
    [
        ("user_42", "an own id: it belongs under an external key"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "version 1: never Polar's"),
        ("0190a6f1-2c3d-7e4f-8a5b-6c7d8e9f0a1b", "version 7: never Polar's"),
        ("00000000-0000-0000-0000-000000000000", "nil"),
        ("0b6d1f4e-6f4d-4c3a-1d1e-2f3a4b5c6d7e", "4 in its place, but another variant"),
        ("0b6d1f4e-6f4d-4c3a-9d1e-2f3a4b5c6d7", "a digit short"),
        ("0b6d1f4e-6f4d-4c3a-9d1e-2f3a4b5c6d7e0", "a digit long"),
        (POLAR_ID + ";x", "properties are not cut here"),
        (f" {POLAR_ID}", "nor is white space"),
        (42, "a number"),
        (None, "nothing"),
        ("", "empty"),
    ],
)
def test_an_internal_id_of_any_other_form_is_refused(value: object, _reason: str) -> None:
    """Polar refuses the whole batch the event is in."""
    with pytest.raises(InvalidIdError):
        check_internal_id(value)


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        ("user_42", "user_42", "no properties"),
        ("user_42;tenant=acme", "user_42", "the property is not the id"),
        ("user_42 ; tenant=acme;flag", "user_42", "white space before the properties is allowed by W3C"),
        (42, "42", "set in this process as a number"),
    ],
)
def test_properties_of_a_baggage_member_are_cut(value: object, expected: str, reason: str) -> None:
    """W3C lets a member carry them; they are not part of anybody's id."""
    assert check_baggage_id(value) == expected, reason


@pytest.mark.parametrize(
    ("value", "why", "reason"),
    [
        ("a b@example.com", "white space", "a+b@example.com from a sender that does not percent-encode"),
        ("Ann Lee", "white space", "cannot be told from Ann+Lee"),
        ("a\tb", "control characters", "a tab is white space too"),
        (";tenant=acme", "must not be empty", "properties of nothing"),
        ("None;tenant=acme", "the word for nothing", "str(None) with a property behind it"),
        ("x" * 201 + ";tenant=acme", "(it has 201)", "cutting properties does not cut the id"),
        (True, "not bool", "True is not customer 1"),
    ],
)
def test_an_id_in_baggage_that_may_have_been_another_is_refused(value: object, why: str, reason: str) -> None:
    """What a header lost on the way cannot be guessed back."""
    with pytest.raises(InvalidIdError) as caught:
        check_baggage_id(value)

    assert why in str(caught.value), reason


def test_only_baggage_has_properties() -> None:
    """On a span, a ';' is part of what the application wrote, and is refused rather than cut."""
    members = {"user.id": "user_42;tenant=acme"}

    assert read_baggage_customer(members, KEYS) == Customer(external_customer_id="user_42")
    assert isinstance(read_customer(members, KEYS), Unattributed)


def test_internal_and_member_ids_in_baggage_are_cut_and_checked_alike() -> None:
    """The rules for a header do not depend on which id it carries."""
    members = {"customerId": f"{POLAR_ID};p=1", "memberId": f"{POLAR_ID};q"}

    assert read_baggage_customer(members, KEYS) == Customer(customer_id=POLAR_ID, member_id=POLAR_ID)
    assert isinstance(read_baggage_customer({"userId": "ann", "memberId": "a b"}, KEYS), Unattributed)


def test_the_internal_id_wins_where_both_are_given() -> None:
    """With both, Polar takes the external one and drops the other unchecked; only one may be sent."""
    assert build_customer(internal=POLAR_ID, external="user_42") == Customer(customer_id=POLAR_ID)


def test_an_id_that_is_not_used_is_not_checked() -> None:
    """An unusable external id beside a good internal one is nobody's loss."""
    assert build_customer(internal=UUID(POLAR_ID), external="") == Customer(customer_id=POLAR_ID)


@pytest.mark.parametrize(
    ("ids", "_reason"),
    [
        ({}, "nobody at all"),
        ({"external": None, "member": "m"}, "a member of nobody"),
        ({"external": "user_42", "member": ""}, "a member that is not one"),
        ({"internal": "user_42", "external": "user_42"}, "an own id given as Polar's"),
        ({"internal": "", "external": "user_42"}, "an empty internal id is not an absent one"),
    ],
)
def test_a_customer_cannot_be_built_without_a_good_id(ids: dict[str, object], _reason: str) -> None:
    """Polar takes an event for the customer '' and never bills it."""
    with pytest.raises(InvalidIdError):
        build_customer(**ids)


def test_nobody_says_where_an_identity_was_looked_for() -> None:
    """It is the first message most users see; it must tell them what to do."""
    assert NOBODY.reason == "no customer: not inside bill_to(...), and no customer key in attributes or baggage"


IDS = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="ab; \t\n\x00\u2028\ud800", max_size=8),
    st.integers(195, 205).map("x".__mul__),
    st.tuples(st.integers(195, 205), st.text(max_size=8)).map(lambda pair: "x" * pair[0] + pair[1]),
    st.integers(),
    st.uuids(),
)


@given(value=IDS)
@settings(max_examples=500, deadline=None)
def test_an_id_is_the_whole_input_or_refused(value: object) -> None:
    """Never truncated into another id: what goes in comes out, to the last character."""
    try:
        checked = check_id(value)
    except InvalidIdError:
        return

    assert checked == str(value)
    assert 1 <= len(checked) <= MAX_ID_CHARACTERS
    assert checked.isprintable()
    assert ";" not in checked
    assert check_id(checked) == checked


@given(value=IDS)
@settings(max_examples=500, deadline=None)
def test_an_id_in_baggage_is_all_that_stood_before_the_first_semicolon_or_refused(value: object) -> None:
    """Cutting properties is the only cut there is."""
    try:
        checked = check_baggage_id(value)
    except InvalidIdError:
        return

    assert checked == str(value).split(";")[0].strip()
    assert not any(letter.isspace() for letter in checked)


@given(value=IDS, key=st.sampled_from(sorted(KEYS.all)))
@settings(max_examples=300, deadline=None)
def test_an_id_bills_whom_it_names_or_nobody(value: object, key: str) -> None:
    """Whatever stands under any key, no third person can appear."""
    answer = read_customer({key: value}, KEYS)

    if isinstance(answer, Customer):
        named = answer.customer_id or answer.external_customer_id
        assert named == (str(UUID(str(value))) if key in KEYS.internal else str(value))


def test_an_id_too_long_to_write_is_refused_like_any_other() -> None:
    """Python refuses to write it."""
    assert isinstance(read_customer({"user.id": 10**5_000}, KEYS), Unattributed)


def test_a_member_of_an_internal_customer_is_a_uuid() -> None:
    """Beside customer_id Polar takes only its own member ids, and refuses the whole batch for another."""
    with pytest.raises(InvalidIdError):
        build_customer(internal=POLAR_ID, member="ann")


@pytest.mark.parametrize(
    "value",
    ["f_7ac10b-58cc-4372-a567-0e02b2c3d479", "\u0664" + "47ac10b-58cc-4372-a567-0e02b2c3d479"],
    ids=["an underscore between digits", "an Arabic digit"],
)
def test_an_internal_id_is_never_read_as_another(value: str) -> None:
    """uuid.UUID reads both as a UUID, which is somebody else's."""
    with pytest.raises(InvalidIdError):
        check_internal_id(value)


@pytest.mark.parametrize("value", [" 491701234567", "ann "])
def test_a_lost_plus_at_an_end_is_refused_too(value: str) -> None:
    """A telephone number begins with one."""
    with pytest.raises(InvalidIdError):
        check_baggage_id(value)
