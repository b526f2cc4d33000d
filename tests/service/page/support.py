"""What the tests of the page share: a ledger of events as they lie on disk, and the plain sum they must come to."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.disk.rows import Decided, State
from tests.delivery.support import NOON, a_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.service.page.ledger_count import LedgerCount
    from otel_polar.service.page.sums import Window

_ticks: Final = itertools.count()
NOON_HOUR: Final = int(NOON // 3_600)


def an_event(
    number: int, *, at: float = NOON, customer: Any = "user_42", model: Any = "gpt-4o", **metadata: Any
) -> str:
    """A frozen event; ``cost_nanos`` is one of its metadata."""
    told = {"model": model, "operation": "chat", **metadata}
    return json.dumps(
        {
            "name": "llm_usage",
            "external_customer_id": customer,
            "external_id": f"event-{number}",
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "metadata": {key: value for key, value in told.items() if value is not None},
        },
        separators=(",", ":"),
    )


def decide(outbox: Outbox, number: int, state: State, *, body: str | None = None, reason: str | None = None) -> None:
    """Put one call into the ledger as ``event-<number>``, by the way that calls take; each at a time of its own."""
    outbox.record(a_record(number), NOON + next(_ticks) / 1_000)
    *_, recorded = outbox.recorded(limit=10_000)
    outbox.decide([Decided(recorded, f"event-{number}", state, body=body, reason=reason)], now=NOON)


def count_all(count: LedgerCount) -> None:
    """Count to the end."""
    for _ in count.count():
        pass


def shown(count: LedgerCount, window: Window) -> dict[tuple[str, str, int, str], tuple[int, int, int]]:
    """Every sum that is kept and in the window: by what, scale, hour or day, and name."""
    sums = {}
    for by, dimension in (("customer", count.customers), ("model", count.models)):
        for scale, buckets, numbers in (
            ("hours", dimension.hours, window.hours),
            ("days", dimension.days, window.days),
        ):
            for number in numbers:
                for (_, name), each in buckets.get(number, {}).items():
                    sums[by, scale, number, name] = (each.nanos, each.events, each.unpriced)
    return sums


def plain_sums(bodies: Sequence[str], window: Window) -> dict[tuple[str, str, int, str], tuple[int, int, int]]:
    """The same, added up from the events one by one."""
    sums: defaultdict[tuple[str, str, int, str], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for body in bodies:
        event = json.loads(body)
        hour = int(datetime.fromisoformat(event["timestamp"]).timestamp() // 3_600)
        nanos = event["metadata"].get("cost_nanos")
        for scale, numbers, number in (("hours", window.hours, hour), ("days", window.days, hour // 24)):
            if number not in numbers:
                continue
            for by, name in (("customer", event["external_customer_id"]), ("model", event["metadata"]["model"])):
                old = sums[by, scale, number, name]
                sums[by, scale, number, name] = (old[0] + (nanos or 0), old[1] + 1, old[2] + (nanos is None))
    return dict(sums)


def bodies_of(outbox: Outbox) -> list[str]:
    """Every frozen event there is."""
    return [row[0] for row in outbox.database.read("SELECT body FROM events WHERE body IS NOT NULL")]
