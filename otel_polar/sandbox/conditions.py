"""Which events a question is about, as SQL: filters of meters, customers, times, names, metadata.

A property is ``name``, ``source``, ``timestamp`` (whole seconds since 1970) or a path into the metadata, split at every
dot: a metadata key that itself contains a dot can never be metered. Comparisons are strict about types: the number 5 is
not the string "5", and true is not 1. A property that is absent matches no operator, not even ``ne`` and ``not_like``,
because SQL's NULL is not true.

Sources: polarsource/polar, server/polar/meter/filter.py, server/polar/kit/metadata.py, server/polar/event/repository.py
and server/polar/integrations/tinybird/service.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox.sql_functions import json_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COMPARISONS: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
PATTERNS: Final = {"like": "", "not_like": "NOT "}
_US_PER_MS: Final = 1_000
_COLUMNS: Final = {
    "name": ("events.name", "'text'"),
    "source": ("events.source", "'text'"),
    # Rounded down also before 1970, where a division would round up.
    "timestamp": (
        "((events.timestamp_us - (events.timestamp_us % 1000000 + 1000000) % 1000000) / 1000000)",
        "'integer'",
    ),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL that is true or not of a row of ``events``, with the values of its question marks."""

    sql: str
    parameters: tuple[Any, ...] = ()


EVERY_EVENT: Final = Condition("1")
USER_EVENTS: Final = Condition("events.source = 'user'")
LISTED_EVENTS: Final = Condition("events.is_listed")


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Join conditions that must all hold."""
    return _joined(" AND ", list(conditions)) or EVERY_EVENT


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Join conditions of which one must hold."""
    return _joined(" OR ", list(conditions)) or EVERY_EVENT


def _joined(word: str, conditions: Sequence[Condition]) -> Condition | None:
    if not conditions:
        return None
    parameters = [value for condition in conditions for value in condition.parameters]
    return Condition("(" + word.join(condition.sql for condition in conditions) + ")", tuple(parameters))


@dataclass(frozen=True, slots=True)
class Property:
    """A value of an event as SQL: the value itself, the name of its JSON type, and what both need."""

    value: str
    kind: str
    parameters: tuple[Any, ...] = ()

    def as_text(self) -> Condition:
        """Return the value as PostgreSQL's ``->>`` shows it."""
        return Condition(
            f"CASE {self.kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
            f" WHEN 'real' THEN number_text({self.value}) ELSE CAST({self.value} AS TEXT) END",
            self.parameters * 3,
        )


def property_at(path: str) -> Property:
    """Return what *path* names in an event."""
    if path in _COLUMNS:
        return Property(*_COLUMNS[path])
    return metadata_at(tuple(path.split(".")))


def metadata_at(keys: tuple[str, ...]) -> Property:
    """Return the metadata below *keys*."""
    spelled = json_path(keys)
    if spelled is not None:
        return Property("json_extract(events.metadata, ?)", "json_type(events.metadata, ?)", (spelled,))
    return Property("odd_value(events.metadata, ?)", "odd_kind(events.metadata, ?)", (json.dumps(keys),))


def of_filter(node: Mapping[str, Any]) -> Condition:
    """Return a filter or a clause as SQL; a filter without clauses lets everything pass."""
    if "clauses" not in node:
        return _of_clause(property_at(node["property"]), node["operator"], node["value"])
    parts = [of_filter(clause) for clause in node["clauses"]]
    return all_of(parts) if node["conjunction"] == "and" else any_of(parts)


def _of_clause(actual: Property, operator: str, expected: Any) -> Condition:
    if operator in PATTERNS:
        text = actual.as_text()
        return Condition(
            f"({actual.value} IS NOT NULL AND {PATTERNS[operator]}is_like({text.sql}, ?))",
            (*actual.parameters, *text.parameters, _text_of(expected)),
        )
    kinds = "'text'"
    # bool is an int in Python; true is not the number 1.
    if isinstance(expected, bool):
        kinds = "'true', 'false'"
    elif isinstance(expected, int):
        kinds = "'integer', 'real'"
    return Condition(
        f"({actual.kind} IN ({kinds}) AND {actual.value} {COMPARISONS[operator]} ?)",
        (*actual.parameters, *actual.parameters, expected),
    )


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def of_metadata(wanted: Mapping[str, Iterable[str]]) -> Condition:
    """Return the condition of ``metadata[key]=value``: values of one key are alternatives, keys must all fit."""
    parts = []
    for key, values in wanted.items():
        text = metadata_at((key,)).as_text()
        parts.append(_is_one_of(text, list(values)))
    return all_of(parts)


def of_names(names: Sequence[str]) -> Condition:
    """Return the condition that an event has one of *names*; without any, all of them pass."""
    return _is_one_of(Condition("events.name"), names) if names else EVERY_EVENT


def of_sources(sources: Sequence[str]) -> Condition:
    """Return the condition that an event is of one of *sources*; without any, all of them pass."""
    return _is_one_of(Condition("events.source"), sources) if sources else EVERY_EVENT


def of_customers(ids: Sequence[str], external_ids: Sequence[str]) -> Condition:
    """Return the condition that an event names one of these customers, by either id; without any, all pass.

    An event by external id belongs to the customer even if the customer was created later.
    """
    if not ids and not external_ids:
        return EVERY_EVENT
    parts = []
    # What is not asked for must not be in the question: with an empty list SQLite would read the whole table.
    if ids:
        parts.append(Condition(f"events.customer_id IN ({_places(ids)})", tuple(ids)))
        known = f"SELECT external_id FROM customers WHERE id IN ({_places(ids)})"  # noqa: S608 - question marks
        parts.append(Condition(f"events.external_customer_id IN ({known})", tuple(ids)))
    if external_ids:
        parts.append(Condition(f"events.external_customer_id IN ({_places(external_ids)})", tuple(external_ids)))
        known = f"SELECT id FROM customers WHERE external_id IN ({_places(external_ids)})"  # noqa: S608 - question marks
        parts.append(Condition(f"events.customer_id IN ({known})", tuple(external_ids)))
    return any_of(parts)


def after(start_us: int | None) -> Condition:
    """Return the condition that an event is later than *start_us*; Polar compares whole milliseconds."""
    if start_us is None:
        return EVERY_EVENT
    return Condition("events.timestamp_us >= ?", ((start_us // _US_PER_MS + 1) * _US_PER_MS,))


def before(end_us: int | None) -> Condition:
    """Return the condition that an event is earlier than *end_us*; Polar compares whole milliseconds."""
    return EVERY_EVENT if end_us is None else Condition("events.timestamp_us < ?", (end_us // _US_PER_MS * _US_PER_MS,))


def between(first_us: int, last_us: int) -> Condition:
    """Return the condition that an event happened between two times, both included."""
    return Condition("events.timestamp_us BETWEEN ? AND ?", (first_us, last_us))


def _is_one_of(actual: Condition, values: Sequence[str]) -> Condition:
    return Condition(f"{actual.sql} IN ({_places(values)})", (*actual.parameters, *values))


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
