"""What a replay would come to: the same calls, selected and priced by the same engine, and then only added up.

The engine needs a ledger to know a call again, so it gets one of its own, in a temporary folder that is gone at the
end. What is decided for good is added up and struck from it at once, but for its id. The outbox files of the directory
are looked at, and not touched.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.deciding.window import MAX_CONTEXT, PORTION
from otel_polar.delivery.disk.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.delivery.deciding.call_reader import CallReader
    from otel_polar.delivery.disk.elsewhere import Elsewhere
    from otel_polar.settings import Settings

MAX_LINES: Final = 10_000
"""Customers and models that are added up by themselves; the rest is one line."""

MAX_REASONS: Final = 200
OTHERS: Final = "(others)"

_READY: Final = "SELECT seq, body FROM events WHERE state = 'ready' ORDER BY due_at, seq LIMIT 1000"
_STRIKE: Final = "UPDATE events SET state = 'sent', call = NULL, body = NULL WHERE seq = ?"


@dataclass(slots=True)
class Sum:
    """Calls of one customer to one model. ``charge_nanos`` is 0 without a markup; both are billionths of a dollar."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    charge_nanos: int = 0
    without_cost: int = 0

    def add(self, metadata: dict[str, Any]) -> None:
        """Add one event."""
        self.calls += 1
        self.input_tokens += _whole(metadata.get("input_tokens"))
        self.output_tokens += _whole(metadata.get("output_tokens"))
        self.cost_nanos += _whole(metadata.get("cost_nanos"))
        self.charge_nanos += _whole(metadata.get("charge_nanos"))
        self.without_cost += "cost_nanos" not in metadata


class Preview:
    """Takes calls as a pipeline does. ``sums`` is by customer and model, once it has been finished."""

    def __init__(
        self,
        outbox: Outbox,
        intake: Intake,
    ) -> None:
        self._outbox = outbox
        self._intake = intake
        self._undecided = 0
        self.sums: dict[tuple[str, str], Sum] = {}
        self.held: Counter[tuple[str, str]] = Counter()
        """Calls that would be held, by state and reason."""

    @classmethod
    @contextmanager
    def of(
        cls,
        settings: Settings,
        price: Callable[[ModelCall], Price | Unpriced],
        reader: CallReader,
        elsewhere: Elsewhere | None = None,
    ) -> Iterator[Preview]:
        """One, as long as the block lasts, for the calls that *reader* reads.

        Raises:
            OutboxError: if there is no room for temporary files.
        """
        with tempfile.TemporaryDirectory(prefix="otel-polar-") as folder:
            outbox = Outbox(Path(folder) / "outbox-preview.db")
            try:
                intake = Intake(
                    outbox,
                    settings=settings,
                    price=price,
                    notices=reader.notices,
                    counts=reader.counts,
                    elsewhere=elsewhere,
                )
                yield cls(outbox, intake)
            finally:
                outbox.close()

    def commit(self, calls: Sequence[str]) -> None:
        """Take calls, and decide those that have enough others behind them."""
        self._outbox.record_all(calls, time.time())
        self._undecided += len(calls)
        while self._undecided >= PORTION + MAX_CONTEXT:
            self._decide()
            self._undecided = self._outbox.undecided()

    def finish(self) -> None:
        """Decide the rest."""
        while self._outbox.undecided():
            self._decide()
        self._add_up()
        rows = self._outbox.database.read(
            "SELECT state, coalesce(reason, 'no reason'), count(*) FROM events"
            " WHERE state NOT IN ('ready', 'sent', 'duplicate') GROUP BY state, reason ORDER BY count(*) DESC"
        )
        for state, reason, count in rows:
            self.held[state, reason if len(self.held) < MAX_REASONS else OTHERS] += count

    def _decide(self) -> None:
        self._intake.decide(settle_s=0.0, clock=time.time)
        self._add_up()
        self._outbox.database.checkpoint()

    def _add_up(self) -> None:
        database = self._outbox.database
        while rows := database.read(_READY):
            for _, body in rows:
                event = json.loads(body)
                metadata = event.get("metadata", {})
                who = event.get("customer_id") or event.get("external_customer_id") or ""
                self._sum(str(who), str(metadata.get("model") or event["name"])).add(metadata)
            with database.transaction() as transaction:
                transaction.run_many(_STRIKE, [(seq,) for seq, _ in rows])

    def _sum(self, customer: str, model: str) -> Sum:
        key = (customer, model)
        if key not in self.sums and len(self.sums) >= MAX_LINES:
            key = (OTHERS, OTHERS)
        return self.sums.setdefault(key, Sum())


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
