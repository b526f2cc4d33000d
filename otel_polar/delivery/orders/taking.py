"""The owner's side of orders: looks for them, carries them out a portion at a time, and answers.

Runs on the delivery thread, between its steps. Every order is looked through once; and once more when calls have been
carried over from another outbox, whose owner may have died before it came to that. What has been done stays in the
ledger, so nothing has to be remembered about an order, and one that cannot be carried out now stays where it is.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import logger
from otel_polar.delivery.orders.answers import Answer
from otel_polar.delivery.orders.carrying_out import carry_out
from otel_polar.delivery.orders.files import OrderFiles
from otel_polar.delivery.orders.order import KEPT_S, Kind, Order
from otel_polar.errors import OrderError, OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_polar.delivery.deciding.intake import Intake
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.metrics.polar_answers import Trouble
    from otel_polar.delivery.notices import Notices

LOOK_S: Final = 1.0
"""How often orders are looked for."""

TRY_AGAIN_S: Final = 5.0
"""What could not be read or written is tried again so often."""

PORTION: Final = 500
"""Calls at once: new ones have their turn between two portions."""

MAX_HURRY_S: Final = 600.0
"""An order to send now is for a person who waits, and not for an outage of a day."""


@dataclass(slots=True)
class _UnderWay:
    """An order that is being carried out: ``at`` an outbox, after so many arrivals. ``begun`` is monotonic."""

    order: Order
    at: tuple[Path, int]
    begun: float
    place: int = 0
    answer: Answer = field(default_factory=Answer)
    told: str = ""

    @property
    def is_through(self) -> bool:
        return self.place >= len(self.order.rows)

    @property
    def outbox(self) -> str:
        return self.at[0].stem


class TakingOrders:
    """For the outbox files of one directory, and for one thread."""

    def __init__(
        self,
        directory: Path | None,
        *,
        notices: Notices,
        refresh: Callable[[], object] = lambda: None,
        trouble: Callable[[], Trouble | None] = lambda: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*refresh*: looks whether prices have changed, before calls are priced again."""
        self._files = None if directory is None else OrderFiles(directory)
        self._notices = notices
        self._refresh = refresh
        self._trouble = trouble
        self._clock = clock
        self._monotonic = monotonic
        self._look_at = self._not_before = 0.0
        self._listed: list[str] = []
        # By id: where each was looked through, and what had been carried over to there by then.
        self._done: dict[str, tuple[Path, int]] = {}
        self._under_way: _UnderWay | None = None
        self._hurry: _UnderWay | None = None

    @property
    def is_hurried(self) -> bool:
        """Whether a person waits for everything to be sent."""
        return self._hurry is not None

    def have_come(self) -> bool:
        """Whether there is something to do at once. Cheap enough for every second of an idle day."""
        if self._files is None or self._monotonic() < self._not_before:
            return False
        self._look(self._files)
        return self._under_way is not None or any(order_id not in self._done for order_id in self._listed)

    def take(self, outbox: Outbox, intake: Intake) -> bool:
        """Do some of what is ordered for the calls of this outbox; whether more is to be done at once.

        Raises:
            OutboxDamagedError: if its file is damaged. What else cannot be done is said, and tried again.
        """
        files = self._files
        if files is None or outbox.path is None or self._monotonic() < self._not_before:
            return False
        try:
            self._look(files)
            under_way = self._under_way = self._under_way or self._next(files, (outbox.path, outbox.arrivals))
            if under_way is None:
                return False
            self._go_on(files, under_way, outbox, intake)
        except OutboxDamagedError:
            raise
        except (OutboxError, OSError) as error:
            self._not_before = self._monotonic() + TRY_AGAIN_S
            self._notices.error("orders", "an order cannot be carried out now, and is tried again: %s", error)
            return False
        self._notices.over("orders", "orders can be carried out again")
        return True

    def tell_left(self, left: Callable[[], int], *, is_done: bool, is_held_up: bool) -> None:
        """A step was made for whoever waits for everything to be sent; *left* counts what is not."""
        hurry, files = self._hurry, self._files
        if hurry is None or files is None:
            return
        answer = hurry.answer
        is_over = self._monotonic() > hurry.begun + MAX_HURRY_S or not files.is_there(hurry.order.id)
        trouble = self._trouble() if is_held_up else None
        # A person need not wait for what does not mend itself: this process goes on with it at its own pace.
        answer.is_complete = is_done or is_over or (trouble is not None and trouble.is_lasting)
        if not answer.is_complete and not is_held_up:
            return
        try:
            answer.left = left()
            waits = "Polar has to be waited for" if trouble is None else trouble.text
            answer.why_left = waits if is_held_up else None
            if (told := answer.dump()) != hurry.told:
                files.answer(hurry.order.id, hurry.outbox, answer)
                hurry.told = told
        except (OutboxError, OSError) as error:
            self._notices.error("orders", "an order cannot be answered now: %s", error)
        if answer.is_complete:
            self._hurry = None

    def _look(self, files: OrderFiles) -> None:
        if self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_S
        try:
            self._listed = files.listed()
        except OSError as error:
            self._not_before = self._monotonic() + TRY_AGAIN_S
            self._notices.error("orders", "orders cannot be looked for: %s", error)
        if self._done:
            self._done = {order_id: self._done[order_id] for order_id in self._listed if order_id in self._done}

    def _next(self, files: OrderFiles, at: tuple[Path, int]) -> _UnderWay | None:
        """The first order that has not been looked through here.

        Raises:
            OSError: if there is none but such as cannot be read now.
        """
        unreadable: OSError | None = None
        for order_id in self._listed:
            if self._done.get(order_id) == at or (self._hurry is not None and self._hurry.order.id == order_id):
                continue
            try:
                order = files.read(order_id)
            except OrderError as error:
                aside = files.put_aside(order_id)
                self._notices.error(
                    f"order:{order_id}", "what lies in %s is no order: %s; %s", files.path, error, aside
                )
                order = None
            except OSError as error:
                # It must not stand in the way of those behind it.
                unreadable = error
                continue
            if order is not None and self._clock() - order.made_at < KEPT_S:
                return _UnderWay(order, at, self._monotonic())
            self._done[order_id] = at
        if unreadable is not None:
            raise unreadable
        return None

    def _go_on(self, files: OrderFiles, under_way: _UnderWay, outbox: Outbox, intake: Intake) -> None:
        order = under_way.order
        if order.kind is Kind.SEND and files.is_there(order.id):
            # Answered when it is done, and once only: what is carried over later is sent anyway.
            self._hurry = under_way
            self._finish(files, under_way)
            return
        if files.is_there(order.id) and not under_way.is_through:
            if not under_way.place:
                self._refresh()
            rows = dict(islice(enumerate(order.rows), under_way.place, under_way.place + PORTION))
            under_way.answer.results |= carry_out(order, rows, outbox, intake, now=self._clock())
            under_way.place += len(rows)
        if not files.is_there(order.id):
            # It has been withdrawn, and nobody reads an answer.
            self._finish(files, under_way)
        else:
            under_way.answer.is_complete = under_way.is_through
            files.answer(order.id, under_way.outbox, under_way.answer)
            if under_way.is_through:
                self._finish(files, under_way)

    def _finish(self, files: OrderFiles, under_way: _UnderWay) -> None:
        self._under_way = None
        self._done[under_way.order.id] = under_way.at
        files.tidy(self._clock())
        outcomes = Counter(result.outcome for result in under_way.answer.results.values())
        if outcomes:
            told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            logger.warning("by order of `otel-polar outbox %s`: %s", under_way.order.kind, told)
