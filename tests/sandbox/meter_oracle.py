"""The rules of meters in plain Python: what the sandbox's SQL is compared with."""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any

from otel_polar.sandbox.records import to_unix_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_polar.sandbox.ingest import ParsedEvent

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
PATTERNS = {"like": True, "not_like": False}


def read_property(event: ParsedEvent, path: str) -> Any:
    if path == "name":
        return event.name
    if path == "timestamp":
        return to_unix_us(event.timestamp) // 1_000_000
    value: Any = event.metadata
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def matches(event: ParsedEvent, node: dict[str, Any]) -> bool:
    if "clauses" not in node:
        return clause_matches(read_property(event, node["property"]), node["operator"], node["value"])
    outcomes = [matches(event, clause) for clause in node["clauses"]]
    return not outcomes or (all(outcomes) if node["conjunction"] == "and" else any(outcomes))


def clause_matches(actual: Any, name: str, expected: Any) -> bool:
    if actual is None:
        return False
    if name in PATTERNS:
        return is_like(as_text(actual), as_text(expected)) is PATTERNS[name]
    if json_type(actual) != json_type(expected):
        return False
    return COMPARISONS[name](actual, expected)


def is_like(text: str, pattern: str) -> bool:
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(character) or re.escape(character) for character in pattern)
    return re.search(expression, text, re.DOTALL) is not None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object"


def aggregate(events: Iterable[ParsedEvent], aggregation: dict[str, Any]) -> float:
    function = aggregation["func"]
    if function == "count":
        return float(sum(1 for _ in events))
    values = [value for event in events if (value := read_property(event, aggregation["property"])) is not None]
    if function == "unique":
        return float(len({json.dumps(value, sort_keys=True) for value in values}))
    numbers = [float(value) for value in values if json_type(value) == "number"]
    if not numbers:
        return 0.0
    if function in {"max", "min"}:
        return max(numbers) if function == "max" else min(numbers)
    return sum(numbers) / (len(numbers) if function == "avg" else 1)
