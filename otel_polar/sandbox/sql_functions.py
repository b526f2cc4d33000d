"""What SQLite does not have: Polar's ``like``, numbers as JSON writes them, and paths it cannot spell.

SQLite finds a value in JSON text by itself, except below a key that holds a quotation mark, a backslash or a character
that the text may have escaped. Such paths are rare and go through Python, a row at a time.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3

_PLAIN_KEY: Final = re.compile(r"[ !#-\[\]-~]+")
_WILDCARDS: Final = {"%": ".*", "_": "."}
_KINDS: Final = {bool: "", int: "integer", float: "real", str: "text", dict: "object", list: "array"}


def install(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    connection.create_function("is_like", 2, is_like, deterministic=True)
    connection.create_function("number_text", 1, json.dumps, deterministic=True)
    connection.create_function("lower_case", 1, _lower_case, deterministic=True)
    connection.create_function("odd_value", 2, _odd_value, deterministic=True)
    connection.create_function("odd_kind", 2, _odd_kind, deterministic=True)


def json_path(keys: tuple[str, ...]) -> str | None:
    """Return the path below the metadata as SQLite spells it, or None where it cannot."""
    if all(map(_PLAIN_KEY.fullmatch, keys)):
        return "$" + "".join(f'."{key}"' for key in keys)
    return None


def is_like(text: str | None, pattern: str) -> bool:
    """Say whether *pattern* stands somewhere in *text*: SQL's ``LIKE '%pattern%'``, in which case matters.

    A percent sign or an underscore inside the pattern is a wildcard too.
    """
    return text is not None and _expression(pattern).search(text) is not None


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_WILDCARDS.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)


def _lower_case(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _odd_value(metadata: str, keys: str) -> Any:
    value = _descend(metadata, keys)
    return value if isinstance(value, str | int | float) or value is None else json.dumps(value)


def _odd_kind(metadata: str, keys: str) -> str | None:
    value = _descend(metadata, keys)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else _KINDS[type(value)]


def _descend(metadata: str, keys: str) -> Any:
    value: Any = json.loads(metadata)
    for key in json.loads(keys):
        value = value.get(key) if isinstance(value, dict) else None
    # SQLite's integers end at 64 bits; what is larger it reads as a double, if need be an infinite one.
    is_large = isinstance(value, int) and abs(value) >= 2**63
    return float(str(value)) if is_large else value
