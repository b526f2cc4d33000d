"""Record → wake → deliver, for one process: the engine behind every way in.

A pipeline owns one outbox file and one delivery thread. After a fork the child opens a file of its own when it first
records, and never touches the parent's connection, sockets or lock. If the disk cannot be written, calls are kept in
memory, which is said loudly: they are delivered as well, but do not survive the process.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.deciding.call_reader import CallReader
from otel_polar.delivery.disk import beside
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.record import dump_call, dump_measurement
from otel_polar.delivery.disk.storage import Storage
from otel_polar.delivery.forks import Holding, Lock, ask_before_fork
from otel_polar.delivery.metrics.telemetry import Telemetry, numbers
from otel_polar.delivery.notices import Notices, logger
from otel_polar.delivery.orders.taking import TakingOrders
from otel_polar.delivery.prices.book import PriceBook
from otel_polar.delivery.prices.card_file import CardFile
from otel_polar.delivery.slow_parts import SlowParts
from otel_polar.delivery.step import Delivery
from otel_polar.delivery.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.measurement import Measurement
    from otel_polar.billing.span import SpanRecord
    from otel_polar.delivery.disk.database import Durability
    from otel_polar.delivery.disk.elsewhere import Elsewhere
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.settings import Settings


MAX_IMPORT_S: Final = 10.0
MAX_FORK_DELAY_S: Final = 0.2


class Pipeline:
    """Takes calls and delivers them. Nothing here raises into the application."""

    def __init__(
        self,
        settings: Settings,
        *,
        durability: Durability = "NORMAL",
        clock: Callable[[], float] = time.time,
        elsewhere: Elsewhere | None = None,
        is_guest: bool = False,
    ) -> None:
        """Open a file and start the thread.

        Args:
            settings: all options.
            durability: ``NORMAL`` survives the death of the process, ``FULL`` a power failure, too.
            clock: Unix seconds.
            elsewhere: the files of other processes, where what is recorded may have been billed by one of them.
            is_guest: it is a command's, and not the application's whose directory this is: it leaves no word of its own
                options there.
        """
        self._settings = settings
        self._elsewhere = elsewhere
        self._is_guest = is_guest
        self._clock = clock
        self.notices = Notices()
        # A card that is wrong is refused now, where somebody looks.
        self._card = CardFile.of(settings)
        self._directory = OutboxDirectory.of(settings, self.notices, durability=durability)
        self.counts: Counter[str] = Counter()
        """What became of the calls of this process where they came in, by reason."""
        self._reader = CallReader(settings, self.notices, self.counts)
        self._held_over_forks = Holding()
        self._number = next(numbers)
        self._begin()
        ask_before_fork(self)
        # At once and not at the first call: what an earlier process left behind is waiting, and a directory that cannot
        # be written is better heard of now.
        self._storage.open()
        self._leave_word()
        self._worker.start()

    @property
    def settings(self) -> Settings:
        """The options it goes by."""
        return self._settings

    @property
    def outboxes(self) -> list[Outbox]:
        """The file, if there is one, and the memory, if it was needed."""
        return self._storage.outboxes

    def take(
        self,
        span: SpanRecord,
        customer: Customer | Unattributed,
        tags: Mapping[str, TagValue],
        parent_event_id: str | None = None,
    ) -> None:
        """Record the model call a span is, or count why it is none. When this returns a call is on disk.

        *parent_event_id* is the event of the run it is part of, recorded before.
        """
        call = self._reader.read_call(span, customer, tags)
        if call is None:
            return
        if parent_event_id is not None:
            call = call._replace(parent_event_id=parent_event_id)
        self._record(dump_call(call))

    def take_measurement(self, measurement: Measurement) -> None:
        """Record usage that is no call to a model. When this returns it is on disk."""
        self._record(dump_measurement(measurement))

    def read(self, span: SpanRecord, customer: Customer | Unattributed, tags: Mapping[str, TagValue]) -> str | None:
        """The model call a span is, as :meth:`commit` takes it; ``None``, and counted, if it is none."""
        return self._reader.read(span, customer, tags)

    def commit(self, calls: Sequence[str]) -> None:
        """Record what was read. When this returns all of it is on disk, as safe as this pipeline's durability says.

        Unlike :meth:`take` it never falls back to memory: whoever sent the spans still has them.

        Raises:
            OutboxError: if the disk does not take it; then none of it is recorded.
        """
        if calls:
            self._storage.commit(calls, self._clock())
            self._recorded(len(calls))

    @property
    def telemetry(self) -> Telemetry:
        """What it tells of itself."""
        return self._telemetry

    @property
    def problem(self) -> str | None:
        """Why :meth:`commit` would be refused now, as far as is known."""
        return self._storage.problem

    def _record(self, line: str) -> None:
        self._storage.record(line, self._clock())
        self._recorded(1)

    def _recorded(self, count: int) -> None:
        self.counts["recorded"] += count
        if self._worker.needs_waking:
            self._worker.wake()

    def force_flush(self, timeout_s: float, *, at_lasting_trouble: bool = False) -> bool:
        """Send everything now, for at most *timeout_s* seconds; whether nothing is left. See :meth:`Worker.drain`."""
        return self._worker.drain(timeout_s, at_lasting_trouble=at_lasting_trouble) or self._say_what_waits()

    def shutdown(self) -> None:
        """Send what can be sent within ``shutdown_timeout_s``. Calls that end later are still recorded."""
        if not self._worker.stop(self._settings.shutdown_timeout_s):
            self._say_what_waits()

    def _begin(self) -> None:
        self.process = secrets.token_hex(8)
        """Names this process on its calls: after a crash they may lie in one file with those of others."""
        self._slow_parts = slow_parts = SlowParts(
            self._settings, self._directory, notices=self.notices, clock=self._clock
        )
        self._storage = storage = Storage(self._directory, notices=self.notices, counts=self.counts)
        self._telemetry = Telemetry(
            self.counts,
            number=self._number,
            outboxes=lambda: storage.outboxes,
            importing=slow_parts.importing,
            clock=self._clock,
        )
        telemetry = self._telemetry
        self._prices = PriceBook(
            self._settings,
            notices=self.notices,
            card=self._card,
            make_catalog=slow_parts.make_catalog,
            update=slow_parts.make_update(),
            clock=self._clock,
        )
        self._delivery = Delivery(
            outboxes=lambda: self._storage.outboxes,
            settings=self._settings,
            price=self._prices.price,
            make_sender=lambda: slow_parts.make_sender(telemetry),
            notices=self.notices,
            counts=self.counts,
            tally=self._telemetry.tally,
            on_damaged=self._storage.replace,
            gather=self._storage.empty_memory,
            elsewhere=self._elsewhere,
            orders=TakingOrders(
                None if self._directory is None else self._directory.path,
                notices=self.notices,
                refresh=self._refresh_prices,
                trouble=lambda: self._telemetry.polar.trouble,
                clock=self._clock,
            ),
            clock=self._clock,
        )
        self._has_new_prices = False
        self._worker = Worker(self._delivery, self._tend, self.notices, self._telemetry)

    def _tend(self) -> None:
        self._storage.tend()
        self._refresh_prices()
        if self._has_new_prices:
            self._has_new_prices = False
            self._delivery.try_held_again()

    def _refresh_prices(self) -> None:
        # Calls that wait are not put back at once: those that an order names would be missed in the ledger.
        if self._prices.refresh():
            self._has_new_prices = True
            self._leave_word()

    def _leave_word(self) -> None:
        """Of the options by which events are made here, among them what is on the rate card."""
        if self._directory is not None and not self._is_guest:
            beside.write_options(self._directory.path, self._settings)

    def _say_what_waits(self) -> bool:
        on_disk = self._storage.waiting_on_disk()
        in_memory = self._storage.waiting_in_memory()
        if on_disk:
            goes_on = "the next process with this outbox directory" if self._worker.is_stopping else "this process"
            logger.warning("%d calls wait on disk; %s sends them", on_disk, goes_on)
        if in_memory:
            logger.error("%d calls wait in memory only, and are lost if the process ends now", in_memory)
        return not on_disk and not in_memory

    def before_fork(self) -> None:
        """Hold every lock, so that the child does not inherit one in the middle of something.

        Most of all an import: a module that is half imported by a thread which does not exist in the child stays half
        imported there. A request to Polar is not waited for any longer than the application would notice.
        """
        self._held_over_forks.begin(self._locks)

    def _locks(self) -> Iterator[tuple[Lock, float | None]]:
        """Every lock, in the order in which they are taken, and for how long one is waited for."""
        yield self._slow_parts.importing, MAX_IMPORT_S
        yield self._worker.stepping, MAX_FORK_DELAY_S
        yield self._storage.opening, None
        for outbox in self.outboxes:
            if outbox.journal is not None:
                yield outbox.journal.lock, None
            yield outbox.database.lock, None

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""
        self._held_over_forks.end()

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's connection is neither used nor closed, and its calls stay the parent's."""
        _inherited.append((self._storage, self._worker, self._held_over_forks))
        self._held_over_forks = Holding()
        self.counts.clear()
        self.notices.after_fork()
        self._begin()


# What a forked child inherited from its parent: kept for ever, because closing or collecting it would act on the
# parent's file and sockets.
_inherited: Final[list[object]] = []
