"""One step of delivery: decide what has rested in the intake, send one batch, and say how long there is nothing to do.

Everything slow happens here, on the delivery thread: importing polar-sdk and genai-prices, pricing, HTTP, checkpoints.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.disk.outbox import TRIED_AGAIN
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.delivery.disk.elsewhere import Elsewhere
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.metrics.tally import Tally
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.orders.taking import TakingOrders
    from otel_polar.delivery.sending.sender import Sender
    from otel_polar.settings import Settings

AGAIN_PORTION: Final = 500
_NOT_COUNTED: Final = -1
PURGE_PORTION: Final = 1_000
PURGE_INTERVAL_S: Final = 3_600.0
IDLE_S: Final = 30.0
"""How long the thread sleeps when nothing waits; also how often it looks for files without an owner."""

AFTER_ERROR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rest:
    """How long a call rests before it may be sent, and an incomplete batch before it goes, in seconds."""

    settle_s: float
    linger_s: float


NO_REST: Final = Rest(settle_s=0.0, linger_s=0.0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step found. After ``wait_s`` seconds another makes sense.

    ``is_done`` says that nothing is left which could be sent now, ``is_held_up`` that something is, but Polar has to be
    waited for.
    """

    wait_s: float
    is_done: bool = False
    is_held_up: bool = False


class Delivery:
    """Decides and sends what lies in some outboxes. For one thread; slow parts are made when first needed."""

    def __init__(
        self,
        *,
        outboxes: Callable[[], Sequence[Outbox]],
        settings: Settings,
        price: Callable[[ModelCall], Price | Unpriced],
        make_sender: Callable[[], Sender],
        notices: Notices,
        counts: Counter[str],
        tally: Tally | None = None,
        on_damaged: Callable[[Outbox], None] = lambda _: None,
        gather: Callable[[], None] = lambda: None,
        elsewhere: Elsewhere | None = None,
        orders: TakingOrders | None = None,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outboxes = outboxes
        self._settings = settings
        self._price = price
        self._make_sender = make_sender
        self._sender: Sender | None = None
        self._notices = notices
        self._counts = counts
        self._tally = tally
        self._on_damaged = on_damaged
        self._gather = gather
        self._elsewhere = elsewhere
        self._orders = orders
        self._clock = clock
        self._monotonic = monotonic
        self._intakes: dict[Outbox, Intake] = {}
        self._tries_again = True
        self._left_to_try: dict[Outbox, int] = {}
        self._purge_at: dict[Outbox, float] = {}
        self._purged_seq: dict[Outbox, int] = {}

    @property
    def rest(self) -> Rest:
        """The rest that the settings ask for."""
        return Rest(settle_s=self._settings.settle_s, linger_s=self._settings.linger_s)

    def is_empty(self) -> bool:
        """Whether nothing is still to be sent, as far as the outboxes can tell."""
        try:
            return not any(outbox.waiting() for outbox in self._outboxes())
        except OutboxError:
            return False

    def close(self) -> None:
        """Close the connections to Polar."""
        if self._sender is not None:
            self._sender.close()

    def retry_now(self) -> None:
        """Let the next step make a request even if the last one failed a moment ago."""
        if self._sender is not None:
            self._sender.retry_now()

    def try_held_again(self) -> None:
        """Decide anew what is held for want of a price or a working user function; new calls go first.

        It is done at the start, too: that may have mended the cause.
        """
        self._tries_again = True

    def step(self, rest: Rest) -> Step:
        """Decide what has rested, and send one batch. An outbox that fails does not stop the others."""
        # Two spans of one call may have come to lie in two outboxes.
        self._gather()
        if self._tries_again:
            self._left_to_try = dict.fromkeys(self._outboxes(), _NOT_COUNTED)
            self._tries_again = False
        is_hurried = self._orders is not None and self._orders.is_hurried
        steps = [self._guarded(outbox, NO_REST if is_hurried else rest) for outbox in self._outboxes()]
        step = Step(
            wait_s=min((step.wait_s for step in steps), default=IDLE_S),
            is_done=all(step.is_done for step in steps),
            is_held_up=any(step.is_held_up for step in steps),
        )
        if self._orders is not None and self._orders.is_hurried:
            if is_hurried:
                self._orders.tell_left(self._left, is_done=step.is_done, is_held_up=step.is_held_up)
            else:
                # A person waits from now on.
                self.retry_now()
        return step

    def has_orders(self) -> bool:
        """Whether a person has left an order meanwhile. For a thread that sleeps: cheap, and it never raises."""
        return self._orders is not None and self._orders.have_come()

    def _left(self) -> int:
        return sum(outbox.waiting() for outbox in self._outboxes())

    def _guarded(self, outbox: Outbox, rest: Rest) -> Step:
        try:
            has_more_orders = self._orders is not None and self._orders.take(outbox, self._intake(outbox))
            step = self._step(outbox, rest)
            outbox.database.checkpoint()
            if has_more_orders:
                return replace(step, wait_s=0.0, is_done=False)
            if step.is_done:
                self._purge(outbox)
        except OutboxDamagedError as error:
            self._notices.error(f"outbox:{outbox.path}", "%s", error)
            self._on_damaged(outbox)
            return Step(wait_s=AFTER_ERROR_S, is_held_up=True)
        except OutboxError as error:
            self._notices.error(f"outbox:{outbox.path}", "%s. Delivery from it waits; nothing in it is lost", error)
            return Step(wait_s=AFTER_ERROR_S, is_held_up=True)
        self._notices.over(f"outbox:{outbox.path}", "the outbox can be used again")
        return step

    def _step(self, outbox: Outbox, rest: Rest) -> Step:
        if self._left_to_try.get(outbox) == _NOT_COUNTED:
            # Now: what is held from here on has been tried.
            held = outbox.held_counts()
            self._left_to_try[outbox] = sum(held.get(state, 0) for state in TRIED_AGAIN)
        resting_s = self._intake(outbox).decide(settle_s=rest.settle_s, clock=self._clock)
        is_intake_empty = resting_s is None
        if resting_s is None:
            resting_s = IDLE_S
        elif resting_s > 0:
            # Not for every call by itself: what has rested is decided in lots, as it is sent in batches.
            resting_s = max(resting_s, rest.linger_s)
        now = self._clock()
        next_due_at = outbox.next_due_at(now)
        if next_due_at is None or next_due_at > now:
            # A few at a time, and only when nothing else is to be done: many may be held, and for long.
            if is_intake_empty and self._put_back_held(outbox):
                return Step(wait_s=0.0)
            due_s = IDLE_S if next_due_at is None else next_due_at - now
            return Step(wait_s=min(resting_s, due_s, IDLE_S), is_done=resting_s > 0)
        sender = self._sender = self._sender or self._make_sender()
        monotonic = self._monotonic()
        entries = sender.due(outbox, now)
        lingering_s = entries[0].due_at + rest.linger_s - now
        if len(entries) < sender.batch_events and 0 < lingering_s <= rest.linger_s:
            return Step(wait_s=min(resting_s, lingering_s))
        if (wait_s := sender.wait_s(monotonic)) > 0:
            return Step(wait_s=min(wait_s, resting_s, IDLE_S), is_held_up=sender.held_up_s(monotonic) > 0)
        if entries := sender.admitted(outbox, entries, now=now, monotonic=monotonic):
            # Asking may have taken long.
            sender.send(outbox, entries, now=self._clock(), monotonic=self._monotonic())
        return Step(wait_s=0.0, is_held_up=sender.held_up_s(self._monotonic()) > 0)

    def _put_back_held(self, outbox: Outbox) -> bool:
        """Have some of what is held decided anew; whether there was any left to be."""
        left = self._left_to_try.get(outbox, 0)
        put_back = outbox.reconsider(limit=min(left, AGAIN_PORTION)) if left > 0 else 0
        self._left_to_try[outbox] = left - put_back if put_back else 0
        return put_back > 0

    def _intake(self, outbox: Outbox) -> Intake:
        intake = self._intakes.get(outbox)
        if intake is None:
            intake = self._intakes[outbox] = Intake(
                outbox,
                settings=self._settings,
                price=self._price,
                notices=self._notices,
                counts=self._counts,
                tally=self._tally,
                elsewhere=self._elsewhere,
                monotonic=self._monotonic,
            )
        return intake

    def _purge(self, outbox: Outbox) -> None:
        now, monotonic = self._clock(), self._monotonic()
        self._intake(outbox).forget_calls(now=now, limit=PURGE_PORTION)
        if self._sender is None or monotonic < self._purge_at.get(outbox, 0.0):
            # The ledger does not grow while nothing is sent, and Polar has not said yet what time it is.
            return
        polar_clock = self._sender.polar_clock
        if polar_clock.contradicts(now, monotonic):
            return
        last_seq = outbox.purge(
            before=now - self._settings.retention_s,
            after_seq=self._purged_seq.get(outbox, 0),
            limit=PURGE_PORTION,
        )
        if last_seq is not None:
            self._purged_seq[outbox] = last_seq
            return
        # What nobody was billed for is not forgotten on the word of one clock.
        if polar_clock.confirms(now, monotonic):
            self._forget_unsent(outbox, now)
        self._purge_at[outbox] = monotonic + PURGE_INTERVAL_S
        self._purged_seq.pop(outbox, None)

    def _forget_unsent(self, outbox: Outbox, now: float) -> None:
        forgotten = outbox.forget_unsent(now=now, retention_s=self._settings.retention_s)
        if forgotten:
            self._counts["forgotten unsent"] += forgotten
            self._notices.error(
                "forgotten",
                "held or rejected calls older than retention_days (OTEL_POLAR_RETENTION_DAYS, %g) are forgotten, and"
                " nobody was billed for them: %d now, and so will others be",
                self._settings.retention_days,
                forgotten,
            )
