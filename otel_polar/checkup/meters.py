"""Whether any of Polar's meters counts our events, and counts what is on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from otel_polar.checkup.finding import Finding, counted, note, warning, well

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_polar.polar_api.meters import Meter

_SETUP: Final = ("otel-polar setup --dry-run    # then without --dry-run",)
_NESTED: Final = ("_cost.", "_llm.")

_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "eq": lambda name, value: name == value,
    "ne": lambda name, value: name != value,
    "like": lambda name, value: value in name,
    "not_like": lambda name, value: value not in name,
}


def meter_findings(meters: Sequence[Meter], event_name: object) -> Iterator[Finding]:
    """What counts the events of this name; a name that a function makes cannot be looked for."""
    if not isinstance(event_name, str):
        yield note(
            "polar.meters",
            f"{counted(len(meters), 'meter')} found; a function names the events, so which of them count is not known",
        )
        return
    counting = [meter for meter in meters if counts_name(meter, event_name)]
    if not counting:
        others = f", but {len(meters)} that count others" if meters else ""
        yield warning(
            "polar.meters",
            f"no meter counts events named {event_name!r}{others}",
            why="Usage arrives and can be seen, but nothing is charged for it. What came before a meter never is.",
            do=_SETUP,
        )
        return
    yield well("polar.meters", f"counted by {', '.join(repr(meter.name) for meter in counting)}")
    for meter in counting:
        summed = _property(meter)
        if summed is not None and "." in summed and not summed.startswith(_NESTED):
            yield warning(
                "polar.meter_key",
                f"the meter {meter.name!r} counts by {summed!r}, which has a dot in it",
                why="Polar looks for one key within another there, so this meter stays at 0.",
                do=_SETUP,
            )


def counts_name(meter: Meter, name: str) -> bool:
    """Whether an event of that name can be counted by it, whatever else is on the event."""
    return _may_match(json.loads(meter.counting.filter), name)


def _may_match(clause: Any, name: str) -> bool:
    if not isinstance(clause, dict):
        return True
    clauses = clause.get("clauses")
    if isinstance(clauses, list):
        if not clauses:
            return True
        which = any if clause.get("conjunction") == "or" else all
        return which(_may_match(each, name) for each in clauses)
    if clause.get("property") != "name":
        return True
    compare = _COMPARE.get(str(clause.get("operator")))
    return compare is None or compare(name, str(clause.get("value")))


def _property(meter: Meter) -> str | None:
    told = json.loads(meter.counting.aggregation).get("property")
    return told if isinstance(told, str) else None
