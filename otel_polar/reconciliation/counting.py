"""What a meter of Polar's makes of events: which of them it counts, and what they add up to. Pure.

A property is ``name``, ``source``, ``timestamp`` (whole seconds since 1970) or a path into the metadata, split at every
dot. Comparisons are strict about types, and what is absent fits no operator, not even ``ne``. Only numbers are summed.
What is not known for certain is not guessed: :class:`NotComparableError` says why.

Sources: polarsource/polar, server/polar/meter/{filter,aggregation}.py, server/polar/kit/metadata.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_polar.errors import OtelPolarError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.polar_api.meters import Counting
    from otel_polar.reconciliation.fact import Fact

_SOURCE: Final = "user"
_COST: Final = "_cost.amount"
_US_PER_S: Final = 1_000_000
_EXACT: Final = Context(prec=80)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda actual, wanted: actual == wanted,
    "ne": lambda actual, wanted: actual != wanted,
    "gt": lambda actual, wanted: actual > wanted,
    "gte": lambda actual, wanted: actual >= wanted,
    "lt": lambda actual, wanted: actual < wanted,
    "lte": lambda actual, wanted: actual <= wanted,
}
_EQUALITY: Final = frozenset({"eq", "ne"})
_PATTERNS: Final = frozenset({"like", "not_like"})
_WILDCARDS: Final = frozenset("%_\\")
_FUNCTIONS: Final = frozenset({"count", "sum", "min", "max", "avg", "unique"})
_TOLERANCE: Final = Decimal(2) ** -50


class NotComparableError(OtelPolarError):
    """A meter counts in a way that this version does not know, or that cannot be repeated here."""


class Rule:
    """How one meter counts."""

    def __init__(self, counting: Counting) -> None:
        """Read it.

        Raises:
            NotComparableError: if it counts in a way that is not known.
        """
        self._filter = json.loads(counting.filter)
        aggregation = json.loads(counting.aggregation)
        self.function = str(aggregation.get("func"))
        self._property = aggregation.get("property")
        if self.function not in _FUNCTIONS:
            raise NotComparableError(f"it aggregates by {self.function!r}, which is not known here")
        if (self._property is None) is not (self.function == "count"):
            raise NotComparableError("its aggregation is not in a known form")
        _check(self._filter)

    def counts(self, fact: Fact) -> bool:
        """Whether it counts an event.

        Raises:
            NotComparableError: if that cannot be told.
        """
        return _fits(fact, self._filter)

    def value(self, fact: Fact) -> Any:
        """What of the event it aggregates; ``None`` if there is nothing."""
        return None if self._property is None else _property(fact, self._property)


@dataclass(slots=True)
class Tally:
    """Some events as a meter aggregates them by its *function*."""

    function: str
    events: int = 0
    numbers: int = 0
    whole: int = 0
    rest: Decimal = Decimal(0)
    least: Decimal | int | None = None
    greatest: Decimal | int | None = None
    different: set[str] = field(default_factory=set)

    def add(self, value: Any) -> None:
        """Another event, and what of it is aggregated."""
        self.events += 1
        if self.function == "unique" and value is not None:
            self.different.add(json.dumps(value, sort_keys=True))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        self.numbers += 1
        number = value if isinstance(value, int) else Decimal(repr(value))
        if isinstance(number, int):
            self.whole += number
        else:
            self.rest = _EXACT.add(self.rest, number)
        self.least = number if self.least is None else min(self.least, number)
        self.greatest = number if self.greatest is None else max(self.greatest, number)

    @property
    def quantity(self) -> Decimal:
        """What they add up to; 0 where there is nothing."""
        sum_ = _EXACT.add(Decimal(self.whole), self.rest)
        found: dict[str, Decimal | int | None] = {
            "count": self.events,
            "unique": len(self.different),
            "sum": sum_,
            "avg": _EXACT.divide(sum_, Decimal(max(1, self.numbers))),
            "min": self.least,
            "max": self.greatest,
        }
        return Decimal(found[self.function] or 0)


def is_same_quantity(one: Decimal, other: Decimal) -> bool:
    """Whether two quantities are the same, as far as a double tells: Polar answers with one."""
    return abs(one - other) <= max(abs(one), abs(other)) * _TOLERANCE


def _check(node: Any) -> None:
    """Raise if a filter has something that is not known here."""
    if not isinstance(node, dict):
        raise NotComparableError("its filter is not in a known form")
    if "clauses" in node:
        if node.get("conjunction") not in {"and", "or"} or not isinstance(node["clauses"], list):
            raise NotComparableError("its filter is not in a known form")
        for clause in node["clauses"]:
            _check(clause)
        return
    operator, value = node.get("operator"), node.get("value")
    if not isinstance(node.get("property"), str) or operator not in {*_COMPARISONS, *_PATTERNS}:
        raise NotComparableError(f"its filter has the operator {operator!r}, which is not known here")
    if operator in _PATTERNS and (not isinstance(value, str) or _WILDCARDS & set(value)):
        raise NotComparableError("its filter has a pattern with wildcards")
    if operator not in _PATTERNS and isinstance(value, str | bool) and operator not in _EQUALITY:
        # The order of texts is that of Polar's database.
        raise NotComparableError("its filter asks for the order of texts")


def _fits(fact: Fact, node: Mapping[str, Any]) -> bool:
    if "clauses" not in node:
        return _fits_clause(_property(fact, node["property"]), node["operator"], node["value"])
    if not node["clauses"]:
        return True
    every = all if node["conjunction"] == "and" else any
    return every(_fits(fact, clause) for clause in node["clauses"])


def _fits_clause(actual: Any, operator: str, wanted: Any) -> bool:
    if actual is None:
        return False
    if operator in _PATTERNS:
        if not isinstance(actual, str):
            raise NotComparableError("its filter has a pattern, and not all values are text")
        return (wanted in actual) is (operator == "like")
    if _kind(actual) != _kind(wanted):
        return False
    return _COMPARISONS[operator](actual, wanted)


def _property(fact: Fact, path: str) -> Any:
    if path == "name":
        return fact.name
    if path == "source":
        return _SOURCE
    if path == "timestamp":
        return fact.at_unix_us // _US_PER_S
    value: Any = fact.metadata
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    # Sent and listed as text, so that it stays exact; what Polar keeps is a number.
    return _number(value) if path == _COST and isinstance(value, str) else value


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _kind(value: Any) -> str:
    # True is not 1, and "5" is not 5.
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
