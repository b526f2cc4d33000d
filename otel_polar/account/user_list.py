"""A list of users, row by row: CSV with a header, or JSON lines.

::

    external_id,email,name                      {"external_id": "user_42", "email": "alice@example.com"}
    user_42,alice@example.com,Alice             {"external_id": 43, "email": "bob@example.com", "name": "Bob"}

Other columns are left alone. A row that cannot be one is said with its line, and the others are read all the same.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from otel_polar.account.sign_up import checked_email, checked_id
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NAME_CHARACTERS: Final = 256
_COLUMNS: Final = ("external_id", "email", "name")
_SEPARATORS: Final = ",;\t"
_BYTE_ORDER_MARK: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class User:
    """A user of yours, and where they stand in the list."""

    line: int
    external_id: str
    email: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no user."""

    line: int
    reason: str


def read_users(lines: Iterable[str]) -> Iterator[User | BadRow]:
    """The users in *lines*, in their order.

    Raises:
        ConfigError: if it is neither CSV with a column ``external_id`` nor JSON lines.
    """
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if text.strip():
            rest = (each for _, each in numbered)
            if text.lstrip().startswith("{"):
                return _read_json(chain([text], rest), number)
            return _read_csv(text, rest, number)
    return iter(())


def _read_json(lines: Iterable[str], first: int) -> Iterator[User | BadRow]:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        yield _read_row(number, found) if isinstance(found, dict) else BadRow(number, "it is no JSON object")


def _read_csv(header: str, lines: Iterable[str], first: int) -> Iterator[User | BadRow]:
    separator = max(_SEPARATORS, key=header.count)
    columns = [each.strip().lower() for each in next(csv.reader([header], delimiter=separator))]
    if "external_id" not in columns:
        raise ConfigError(
            f"line {first} names no column external_id: the list must be CSV with a header such as"
            f" {','.join(_COLUMNS)}, or JSON lines"
        )
    rows = csv.reader(lines, delimiter=separator)
    # Where a cell has line breaks in it, the line is that of its end.
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(first + rows.line_num, f"it is no CSV: {error}")
            continue
        number = first + rows.line_num
        if len(cells) > len(columns):
            yield BadRow(number, f"it has {len(cells)} cells, the header {len(columns)}")
        elif any(cell.strip() for cell in cells):
            yield _read_row(number, dict(zip(columns, (cell.strip() or None for cell in cells), strict=False)))


def _read_row(line: int, row: dict[str, Any]) -> User | BadRow:
    email, name = row.get("email"), row.get("name")
    try:
        external_id = checked_id(row.get("external_id"))
        if email is not None:
            email = checked_email(email)
    except ConfigError as error:
        return BadRow(line, str(error))
    is_name = isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS and name.isprintable()
    if name is not None and not is_name:
        return BadRow(line, f"the name is no text of at most {MAX_NAME_CHARACTERS} characters")
    return User(line, external_id, email, name or None)
