"""A person's side of orders: given to whoever has the calls, until something is known of every one of them.

Files without an owner are taken, changed and given back at once. For those of processes that live an order is left;
each of them looks for one every second, between two of its requests to Polar. An owner may die meanwhile, and its file
be taken over by another one or by nobody: so both is tried until every call is accounted for, or time is up. Then the
orders are withdrawn, and what was not begun will not be done.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.orders.answers import Outcome, Result
from otel_polar.delivery.orders.carrying_out import carry_out
from otel_polar.delivery.orders.files import OrderFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_polar.delivery.deciding.intake import Intake
    from otel_polar.delivery.disk.files import OutboxDirectory
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.orders.answers import Answer
    from otel_polar.delivery.orders.order import Order

POLL_S: Final = 0.05
ORPHANS_S: Final = 1.0
"""How often files without an owner are looked for while others are waited for."""

PORTION: Final = 500

GONE: Final = Result(Outcome.CHANGED, None, "it is not there any more")


@dataclass(slots=True)
class Given:
    """Orders that are being carried out. ``files`` has the name of the file in which each call was seen."""

    directory: OutboxDirectory
    orders: Sequence[Order]
    files: Mapping[str, str]
    make_intake: Callable[[Outbox], Intake]
    results: dict[str, Result] = field(default_factory=dict)
    """What became of each call, by external id, as far as it is known."""

    changed_here: int = 0
    """How many of them were changed by this process, and are sent by nobody unless somebody sees to that."""

    @property
    def left(self) -> list[str]:
        """The calls of which nothing is known, by external id."""
        return [row.external_id for order in self.orders for row in order.rows if row.external_id not in self.results]

    def waits_for(self) -> dict[str, int]:
        """The files whose owners have not answered for all of their calls, and for how many."""
        return dict(Counter(self.files.get(external_id, "") for external_id in self.left))

    def take_files_without_owner(self, *, clock: Callable[[], float] = time.time) -> None:
        """Carry out what is ordered for calls in files that nobody has.

        Raises:
            OutboxError: if one of them cannot be written.
        """
        for owned in self.directory.orphans():
            try:
                self._carry_out(owned.outbox, clock)
                for external_id in self.left:
                    if self.files.get(external_id) == owned.path.name:
                        self.results[external_id] = GONE
            finally:
                owned.release()

    def read_answers(self) -> None:
        """Look what owners have answered.

        Raises:
            OSError: if that cannot be read.
        """
        files = OrderFiles(self.directory.path)
        for order in self.orders:
            answers = files.answers(order.id)
            for answer in answers.values():
                for place, result in answer.results.items():
                    if place < len(order.rows):
                        self._know(order.rows[place].external_id, result)
            complete = {f"{name}.db" for name, answer in answers.items() if answer.is_complete}
            for row in order.rows:
                if self.files.get(row.external_id) in complete:
                    # Whoever takes over a file answers for it once more: that may still be told of.
                    self.results.setdefault(row.external_id, GONE)

    def _know(self, external_id: str, result: Result) -> None:
        known = self.results.get(external_id)
        # Where a call is in two files, what could not be done in one of them is what a person has to know.
        if known is None or known == GONE or known.outcome is not Outcome.CHANGED:
            self.results[external_id] = result

    def _carry_out(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        intake = self.make_intake(outbox)
        for order in self.orders:
            # Also what was found in another file: what is discarded in one of two must not be sent from the other.
            rows = list(enumerate(order.rows))
            for begin in range(0, len(rows), PORTION):
                results = carry_out(order, dict(rows[begin : begin + PORTION]), outbox, intake, now=clock())
                outbox.database.checkpoint()
                for place, result in results.items():
                    self._know(order.rows[place].external_id, result)
                self.changed_here += sum(result.outcome in {Outcome.DONE, Outcome.HELD} for result in results.values())


@contextmanager
def left_orders(directory: OutboxDirectory, orders: Sequence[Order]) -> Iterator[None]:
    """Orders that lie there for the owners of files while the block runs, and are withdrawn after it.

    Raises:
        OSError: if they cannot be written.
    """
    files = OrderFiles(directory.path)
    try:
        for order in orders:
            files.leave(order)
        yield
    finally:
        for order in orders:
            files.withdraw(order.id)


def carry_out_everywhere(
    given: Given,
    *,
    timeout_s: float,
    tell: Callable[[Given], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Have orders carried out by whoever has the calls, for at most *timeout_s* seconds.

    Args:
        given: the orders; what is known of each call afterwards is in its ``results``.
        timeout_s: how long the owners of files are waited for.
        tell: is called now and then, for whoever looks on.
        sleep: for tests.

    Raises:
        OutboxError: if a file without an owner cannot be written.
        OSError: if the orders cannot be written, or the answers not be read.
    """
    given.take_files_without_owner()
    tell(given)
    if not given.left:
        return
    deadline = time.monotonic() + timeout_s
    look_at = time.monotonic() + ORPHANS_S
    with left_orders(given.directory, given.orders):
        while True:
            given.read_answers()
            tell(given)
            if not given.left or time.monotonic() >= deadline:
                return
            if time.monotonic() >= look_at:
                # Its owner may have died.
                given.take_files_without_owner()
                look_at = time.monotonic() + ORPHANS_S
            sleep(POLL_S)


def wait_until_sent(
    directory: OutboxDirectory,
    order: Order,
    owners: Sequence[str],
    *,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Answer]:
    """What the owners of these files (by name) have left to send, asked for at most *timeout_s* seconds.

    Who has not answered is not in it.

    Raises:
        OSError: if the answers cannot be read.
    """
    files = OrderFiles(directory.path)
    deadline = time.monotonic() + timeout_s
    while True:
        answers = {f"{name}.db": answer for name, answer in files.answers(order.id).items()}
        asked = [name for name in owners if (directory.path / name).exists()]
        if all(name in answers and answers[name].is_complete for name in asked) or time.monotonic() >= deadline:
            return {name: answers[name] for name in owners if name in answers}
        sleep(POLL_S)
