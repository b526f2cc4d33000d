"""What became of the calls of a replay, as the ledger has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.delivery.disk.outbox import Outbox

# What is held and tried again keeps the time at which it was recorded first.
_SINCE: Final = """
    SELECT state, CASE WHEN state IN ('ready', 'sent') THEN NULL ELSE reason END AS why, count(*)
    FROM events WHERE recorded_at >= ? AND state != 'duplicate' GROUP BY state, why ORDER BY count(*) DESC"""


@dataclass(slots=True)
class Recorded:
    """Calls recorded since some time. ``held`` is by state and reason, rejected ones among them."""

    sent: int = 0
    waiting: int = 0
    held: dict[tuple[str, str], int] = field(default_factory=dict)


def recorded_since(outboxes: Sequence[Outbox], since: float) -> Recorded:
    """What became of the calls recorded *since* that time (Unix seconds).

    Raises:
        OutboxError: if a file cannot be read.
    """
    found = Recorded()
    for outbox in outboxes:
        found.waiting += outbox.undecided()
        for state, reason, count in outbox.database.read(_SINCE, (since,)):
            if state == State.SENT:
                found.sent += count
            elif state == State.READY:
                found.waiting += count
            else:
                key = (str(state), str(reason or "no reason"))
                found.held[key] = found.held.get(key, 0) + count
    return found
