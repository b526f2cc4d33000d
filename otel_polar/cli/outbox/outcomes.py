"""What became of the calls that a command was about."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from otel_polar.cli.output import say
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import counted
from otel_polar.delivery.orders.answers import Outcome

if TYPE_CHECKING:
    from otel_polar.delivery.orders.giving import Given


def json_of(given: Given) -> dict[str, Any]:
    """For programs."""
    results = Counter(given.results.values())
    by_outcome = Counter(result.outcome for result in given.results.values())
    return {
        "done": by_outcome[Outcome.DONE],
        "held": by_outcome[Outcome.HELD],
        "changed_meanwhile": by_outcome[Outcome.CHANGED],
        "not_possible": by_outcome[Outcome.IMPOSSIBLE],
        "not_answered": len(given.left),
        "outcomes": [
            {"outcome": result.outcome.value, "state": result.state, "why": result.why, "calls": count}
            for result, count in results.most_common()
        ],
        "waits_for": given.waits_for(),
    }


def show_outcomes(given: Given) -> None:
    """A table of the outcomes, and for whom was waited in vain."""
    rows = [
        (f"{count:,}", result.outcome.value, result.state or "-", result.why or "")
        for result, count in Counter(given.results.values()).most_common()
    ]
    if rows:
        show_table("", ("calls", "outcome", "state now", "why"), rows, numbers=("calls",))
    for file, count in given.waits_for().items():
        say(
            f"{counted(count, 'call')}: the owner of {file} has not answered. The order is withdrawn: what it has not"
            " begun will not be done. Look with `otel-polar outbox list`, and try again"
        )


def is_done(given: Given) -> bool:
    """Whether every call is as it was ordered to be."""
    return not given.left and all(result.outcome is Outcome.DONE for result in given.results.values())
