"""Which calls a command is about, for whoever has to agree: how many, whose, and what they cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_polar.billing.call import ModelCall
from otel_polar.billing.money import nanos
from otel_polar.billing.pricing import Price, Unpriced
from otel_polar.billing.usage import TokenUsage
from otel_polar.cli.outbox.shown import what
from otel_polar.cli.output import say
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import counted, usd, usd_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.delivery.looking.seen import SeenCall

MAX_LINES: Final = 25


def _no_price(_: ModelCall) -> Price | Unpriced:
    return Unpriced("nobody was asked")


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    cost_nanos: int = 0
    without_cost: int = 0


@dataclass(slots=True)
class Worth:
    """What some calls cost: as their events say it, else by the prices here."""

    price: Callable[[ModelCall], Price | Unpriced] = _no_price
    sums: defaultdict[tuple[str, str, str, str], _Sum] = field(default_factory=lambda: defaultdict(_Sum))

    def add(self, seen: SeenCall) -> None:
        """Count one call."""
        found = self.sums[seen.state.value, seen.customer or "-", what(seen), seen.reason or ""]
        cost_nanos = seen.cost_nanos
        if cost_nanos is None and isinstance(seen.call, ModelCall) and isinstance(seen.call.usage, TokenUsage):
            answer = self.price(seen.call)
            cost_nanos = nanos(answer.usd) if isinstance(answer, Price) else None
        found.calls += 1
        if cost_nanos is None:
            found.without_cost += 1
        else:
            found.cost_nanos += cost_nanos

    @property
    def cost_nanos(self) -> int:
        """What is known of it, in billionths of a dollar."""
        return sum(each.cost_nanos for each in self.sums.values())

    @property
    def without_cost(self) -> int:
        """Calls of which nobody knows what they cost."""
        return sum(each.without_cost for each in self.sums.values())

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "cost_nanos": self.cost_nanos,
            "cost_usd": usd_plain(self.cost_nanos),
            "calls_without_cost": self.without_cost,
        }


def show_which(worth: Worth) -> None:
    """A table of them, by state, customer, model and reason."""
    lines = sorted(worth.sums.items(), key=lambda line: (-line[1].calls, line[0]))
    rows = [
        (f"{found.calls:,}", *names[:3], "-" if found.without_cost == found.calls else usd(found.cost_nanos), names[3])
        for names, found in lines[:MAX_LINES]
    ]
    show_table("", ("calls", "state", "customer", "model", "cost", "reason"), rows, numbers=("calls", "cost"))
    if len(lines) > MAX_LINES:
        more = sum(found.calls for _, found in lines[MAX_LINES:])
        say(f"{counted(more, 'call')} of {counted(len(lines) - MAX_LINES, 'kind')} more; --dry-run --json adds them up")
    if worth.without_cost:
        say(f"Of {counted(worth.without_cost, 'call')} the cost is not known here")
