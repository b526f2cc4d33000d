"""Specifies how a list of users is read, and that a bad row is said and the rest goes on."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.account.user_list import BadRow, User, read_users
from otel_polar.errors import ConfigError


def read(text: str) -> list[User | BadRow]:
    return list(read_users(io.StringIO(text)))


ALICE = User(2, "user_42", "alice@example.com", "Alice")


@pytest.mark.parametrize(
    "text",
    [
        "external_id,email,name\nuser_42,alice@example.com,Alice\n",
        "\ufeffexternal_id,email,name\r\nuser_42,alice@example.com,Alice\r\n",  # as Excel writes it
        "Name;External_ID;Email\nAlice;user_42;alice@example.com",  # with semicolons, in another order
        'external_id\tplan\temail\tname\nuser_42\tpro\t" alice@example.com "\tAlice\n\n',  # with another column
        '\n{"external_id": "user_42", "email": "alice@example.com", "name": "Alice", "plan": 1}\n\n',
    ],
)
def test_a_row_is_a_user(text: str) -> None:
    """Whatever a database or a spreadsheet writes."""
    assert read(text) == [ALICE]


def test_numbers_are_ids_and_email_and_name_may_be_missing() -> None:
    """Databases hand out numbers."""
    assert read('{"external_id": 7}\n{"external_id": 8, "email": null, "name": ""}') == [
        User(1, "7", None, None),
        User(2, "8", None, None),
    ]
    assert read("external_id\n7\n") == [User(2, "7", None, None)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("external_id,email\n,a@example.com\nu,u@example.com", 2),
        ("external_id,email\nu,not an email\nu,u@example.com", 2),
        ("external_id,email\nu,u@example.com,x,y\nu,u@example.com", 2),
        ('external_id,email\n"a\nb",x@example.com\nu,u@example.com', 3),  # the line where it ends
        ("external_id,email\n\udcff,x@example.com\nu,u@example.com", 2),  # not UTF-8
        ('{"external_id": 1.5}\n{"external_id": "u", "email": "u@example.com"}', 1),
        ('{"external_id": "x"\n{"external_id": "u", "email": "u@example.com"}', 1),
        ('{"external_id": "x", "name": 5}\n{"external_id": "u", "email": "u@example.com"}', 1),
        ('{"external_id": "x", "email": 5}\n{"external_id": "u", "email": "u@example.com"}', 1),
    ],
)
def test_a_bad_row_is_said_with_its_line_and_the_rest_is_read(text: str, line: int) -> None:
    """One of ten thousand must not stop the others."""
    bad, good = read(text)

    assert isinstance(bad, BadRow)
    assert bad.line == line
    assert isinstance(good, User)
    assert (good.external_id, good.email) == ("u", "u@example.com")


@pytest.mark.parametrize("text", ["id,email\n1,a@example.com\n", "[{}]", "PK\x03\x04"])
def test_what_is_no_list_is_refused_as_a_whole(text: str) -> None:
    """Every row would be bad."""
    with pytest.raises(ConfigError, match="external_id"):
        read(text)


@pytest.mark.parametrize("text", ["", "\n\n", "external_id,email\n"])
def test_an_empty_list_is_one_of_nobody(text: str) -> None:
    """A new application has no users."""
    assert read(text) == []


@settings(max_examples=40)
@given(st.text())
def test_no_row_makes_it_crash(text: str) -> None:
    """The list may be anything."""
    for found in read(f"external_id,email,name\n{text}"):
        assert isinstance(found, User | BadRow)
    for found in read(f"{{}}\n{text}"):
        assert isinstance(found, User | BadRow)
