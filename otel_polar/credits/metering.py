"""What a meter counts of one event, worked out here as Polar does: its filter, and the amount it adds up.

::

    {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}
    {"func": "sum", "property": "cost_nanos"}

Comparisons are strict about types, and a property that is absent fits no operator, not even ``ne``: SQL's NULL is not
true. Only meters that add up can be guarded: what a largest value or an average will be cannot be reserved.

Sources: polarsource/polar, server/polar/meter/filter.py, aggregation.py and server/polar/kit/metadata.py.
"""

from __future__ import annotations

import json
import operator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.polar_api.meters import Meter

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
SUMMABLE: Final = ("sum", "count")

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ABSENT: Final = object()


class MeterRule:
    """What a meter adds up, of which events."""

    def __init__(self, meter: Meter) -> None:
        """Read the rule of *meter*.

        Raises:
            ConfigError: if it does not add up.
        """
        aggregation = json.loads(meter.counting.aggregation)
        function = aggregation.get("func")
        if function not in SUMMABLE:
            raise ConfigError(
                f"meter {meter.name!r} is of the kind {function!r}: credits can only be guarded by a meter that sums or"
                " counts"
            )
        self.id = meter.id
        self.name = meter.name
        self.summed: str | None = aggregation["property"] if function == "sum" else None
        """The metadata key whose numbers are added up; ``None`` for a meter that counts events."""
        self._filter = json.loads(meter.counting.filter)

    def amount(self, body: Mapping[str, Any]) -> Decimal:
        """What an event adds, in the meter's units; 0 if it is none of the meter's."""
        if not _fits(self._filter, body):
            return ZERO
        if self.summed is None:
            return ONE
        value = _property(self.summed, body)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ZERO
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _fits(condition: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    clauses = condition.get("clauses")
    if isinstance(clauses, list):
        # Without clauses everything passes.
        fits = any if condition.get("conjunction") == "or" and clauses else all
        return fits(_fits(clause, body) for clause in clauses)
    return _fits_clause(_property(str(condition.get("property")), body), str(condition.get("operator")), condition)


def _fits_clause(actual: object, operator_name: str, condition: Mapping[str, Any]) -> bool:
    expected = condition.get("value")
    if actual is _ABSENT:
        return False
    if operator_name in {"like", "not_like"}:
        is_in = _as_text(expected) in _as_text(actual)
        return is_in == (operator_name == "like")
    compare = _COMPARISONS.get(operator_name)
    if compare is None:
        # A newer word of Polar's: counted, because too little credit is mended by asking, too much by nobody.
        return True
    if isinstance(expected, bool) or isinstance(actual, bool):
        is_alike = isinstance(expected, bool) and isinstance(actual, bool)
    else:
        is_alike = isinstance(expected, str) == isinstance(actual, str) and isinstance(actual, str | int | float)
    return is_alike and compare(actual, expected)


def _property(path: str, body: Mapping[str, Any]) -> object:
    if path == "name":
        return body.get("name", _ABSENT)
    if path == "source":
        return "user"
    if path == "timestamp":
        return int(datetime.fromisoformat(str(body["timestamp"])).timestamp())
    found: object = body.get("metadata", {})
    for key in path.removeprefix("metadata.").split("."):
        if not isinstance(found, dict) or key not in found:
            return _ABSENT
        found = found[key]
    return found


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
