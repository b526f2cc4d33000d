"""The text of a rate card, in TOML or JSON: read exactly, and where in it something is wrong."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NoReturn

from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PRICES: Final = "prices"
"""The field that holds the entries."""


@dataclass(frozen=True, slots=True)
class CardSource:
    """Where a card comes from: its name, and its text if there is one."""

    name: str
    text: str | None = None

    def read(self) -> Mapping[str, object]:
        """The text as a mapping, with exact numbers.

        Raises:
            ConfigError: if it is no TOML or JSON.
        """
        text = self.text or ""
        try:
            if not self.name.lower().endswith(".json"):
                return tomllib.loads(text, parse_float=_exact)
            parsed: object = json.loads(
                text,
                parse_float=_exact,
                parse_constant=_refuse_constant,
                object_pairs_hook=_without_duplicates,
            )
        except (ValueError, RecursionError) as error:
            # tomllib's message has line and column, so has json's.
            raise ConfigError(f"{self.label} cannot be read: {error}") from error
        if not isinstance(parsed, dict):
            raise ConfigError(f"{self.label} must be a JSON object, not {type(parsed).__name__}")
        return parsed

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return "rate card" if self.name == "rate card" else f"rate card {self.name}"

    def place(self, position: int, field: str = "") -> str:
        """Where an entry, or a field of it, stands."""
        line = None if self.text is None else _line(self.text, position, field)
        return f"{PRICES}[{position}]" if line is None else f"line {line}, {PRICES}[{position}]"

    def error(self, position: int, field: str, why: str) -> ConfigError:
        """What is wrong with a field of an entry."""
        return ConfigError(f"{self.label}, {self.place(position, field)}{field and f'.{field}'}: {why}")


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"the key {key!r} stands twice in one object")
        fields[key] = value
    return fields


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text} is no amount") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no amount")


_TOML_ENTRY: Final = re.compile(rf"^[ \t]*\[\[[ \t]*{PRICES}[ \t]*\]\]", re.MULTILINE)
_TOML_TIER: Final = re.compile(rf"^[ \t]*\[\[[ \t]*{PRICES}\.tiers[ \t]*\]\]", re.MULTILINE)
_TIER: Final = re.compile(r"tiers\[(\d+)\]")
_JSON_ENTRIES: Final = re.compile(rf'"{PRICES}"\s*:\s*\[')


def _line(text: str, position: int, field: str) -> int | None:
    """The line on which an entry stands, or a field of it (the last name of its path)."""
    spans = list(_entry_spans(text))
    if position >= len(spans):
        return None
    begin, end = spans[position]
    tier = _TIER.match(field)
    if tier is not None:
        headers = [found.start() for found in _TOML_TIER.finditer(text, begin, end)]
        begin = headers[int(tier[1])] if int(tier[1]) < len(headers) else begin
    name = field.rpartition(".")[2]
    # At the beginning of a line or behind a comma or a brace: not in a comment.
    pattern = rf"(?:^|[{{,])[ \t]*[\"']?({re.escape(name)})[\"']?[ \t]*[=:.]"
    found = re.compile(pattern, re.MULTILINE).search(text, begin, end) if name else None
    return text.count("\n", 0, begin if found is None else found.start(1)) + 1


def _entry_spans(text: str) -> Iterator[tuple[int, int]]:
    headers = [found.start() for found in _TOML_ENTRY.finditer(text)]
    if headers:
        yield from zip(headers, [*headers[1:], len(text)], strict=True)
        return
    array = _JSON_ENTRIES.search(text)
    if array is None:
        return
    place = array.end()
    decoder = json.JSONDecoder()
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            _, end = decoder.raw_decode(text, place)
        except ValueError:
            return
        yield place, end
        place = end
