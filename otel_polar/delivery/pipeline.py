"""Record → wake → deliver, for one process: the engine behind every way in.

A pipeline owns one outbox file and one delivery thread. After a fork the child opens a file of its own when it first
records, and never touches the parent's connection, sockets or lock. If the disk cannot be written, calls are kept in
memory, which is said loudly: they are delivered as well, but do not survive the process.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from otel_polar.billing.call import NotBilled, read_call
from otel_polar.billing.customer import Unattributed

# filelock, imported by this, takes a lock of its own before a fork, and must do so after ours: hooks run in the reverse
# order of their registration, so it has to register first.
from otel_polar.delivery.files import OutboxDirectory, OwnedOutbox, directory_name
from otel_polar.delivery.notices import Notices, logger
from otel_polar.delivery.outbox import Outbox
from otel_polar.delivery.record import dump_call
from otel_polar.delivery.step import Delivery
from otel_polar.delivery.worker import Worker
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.billing.call import ModelCall, TagValue
    from otel_polar.billing.customer import Customer
    from otel_polar.billing.pricing import PriceResolver
    from otel_polar.billing.span import SpanRecord
    from otel_polar.delivery.sender import Sender
    from otel_polar.settings import Settings


MAX_IMPORT_S: Final = 10.0
MAX_FORK_DELAY_S: Final = 0.2


class Pipeline:
    """Takes calls and delivers them. Nothing here raises into the application."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self.notices = Notices()
        self._directory = _directory(settings, self.notices)
        self.counts: Counter[str] = Counter()
        """What became of the calls of this process where they came in, by reason."""
        self._held_over_fork = ExitStack()
        self._begin()
        _pipelines.add(self)
        # At once and not at the first call: what an earlier process left behind is waiting, and a directory that cannot
        # be written is better heard of now.
        self._open_own()
        self._worker.start()

    @property
    def outboxes(self) -> list[Outbox]:
        """The file, if there is one, and the memory, if it was needed."""
        outboxes = (None if self._own is None else self._own.outbox, self._memory)
        return [outbox for outbox in outboxes if outbox is not None]

    def take(self, span: SpanRecord, customer: Customer | Unattributed, tags: Mapping[str, TagValue]) -> None:
        """Record the model call a span is, or count why it is none. When this returns a call is on disk."""
        call = read_call(span, customer, tags)
        if isinstance(call, NotBilled):
            self._not_billed(call, span)
        else:
            self._record(call)

    def _record(self, call: ModelCall) -> None:
        if self._settings.on_unattributed == "drop" and isinstance(call.customer, Unattributed):
            self.counts["dropped: unattributed"] += 1
            self.notices.warn("dropped", "a model call was dropped, and so will others be: %s", call.customer.reason)
            return
        line = dump_call(call)
        now = self._clock()
        own = self._own if self._is_open else self._open_own()
        if own is None:
            self._record_in_memory(line, now)
        else:
            try:
                own.outbox.record(line, now)
            except OutboxError as error:
                self.notices.error("disk", "%s. Calls are kept in memory, and are lost if the process dies", error)
                self._record_in_memory(line, now)
        self.counts["recorded"] += 1
        if self._worker.needs_waking:
            self._worker.wake()

    def _not_billed(self, decision: NotBilled, span: SpanRecord) -> None:
        self.counts[f"not billed: {decision.reason}"] += 1
        if decision.suspicious:
            self.notices.warn(
                f"not billed:{decision.reason}:{span.scope_name}",
                "a span of %s with token counts is not billed, and so will others be: %s",
                span.scope_name or "an unnamed scope",
                decision.reason,
            )

    def force_flush(self, timeout_s: float) -> bool:
        """Send everything now, for at most *timeout_s* seconds; whether nothing is left."""
        return self._worker.drain(timeout_s) or self._say_what_waits()

    def shutdown(self) -> None:
        """Send what can be sent within ``shutdown_timeout_s``. Calls that end later are still recorded."""
        if not self._worker.stop(self._settings.shutdown_timeout_s):
            self._say_what_waits()

    def _begin(self) -> None:
        self._opening = threading.Lock()
        self._importing = threading.Lock()
        self._is_open = False
        self._is_looked_through = False
        self._own: OwnedOutbox | None = None
        # Made when needed: in a forked child even opening SQLite could wait for a lock that a parent's thread held.
        self._memory: Outbox | None = None
        delivery = Delivery(
            outboxes=lambda: self.outboxes,
            settings=self._settings,
            make_resolver=self._make_catalog,
            make_sender=self._make_sender,
            notices=self.notices,
            counts=self.counts,
            clock=self._clock,
        )
        self._worker = Worker(delivery, self._tend)

    def _record_in_memory(self, line: str, now: float) -> None:
        try:
            with self._opening:
                memory = self._memory = self._memory or Outbox(None)
            memory.record(line, now)
        except OutboxError as error:
            self.counts["lost"] += 1
            self.notices.error("lost", "MODEL CALLS ARE LOST: neither disk nor memory takes them (%s)", error)

    def _open_own(self) -> OwnedOutbox | None:
        with self._opening:
            if self._own is not None or self._directory is None:
                self._is_open = True
                return self._own
            try:
                self._own = self._directory.open_own()
            except OutboxError as error:
                self.notices.error(
                    "disk",
                    "%s. Set outbox_dir (OTEL_POLAR_OUTBOX_DIR) to a directory that can be written and outlives the"
                    " process. Until then calls are kept in memory, and are lost if the process dies",
                    error,
                )
            else:
                self.notices.over("disk", "the outbox directory can be written again")
            # Even if it failed: trying again is for the delivery thread, not for every call.
            self._is_open = True
            return self._own

    def _tend(self) -> None:
        """Look after the files: try a failed directory again, adopt files without an owner."""
        own = self._own or self._open_own()
        if own is None or self._directory is None:
            return
        try:
            if not self._is_looked_through:
                own.outbox.reconsider()
                self._warn_of_other_tokens(self._directory)
                self._is_looked_through = True
            for orphan in self._directory.orphans():
                own.outbox.copy_from(orphan.outbox)
                orphan.remove()
        except (OutboxError, OSError) as error:
            self.notices.error("adoption", "an outbox file without an owner could not be taken over: %s", error)

    def _warn_of_other_tokens(self, directory: OutboxDirectory) -> None:
        if waiting := directory.waiting_elsewhere():
            self.notices.warn(
                "elsewhere",
                "%d calls in %s were recorded with another access token and are not sent with this one: run once with"
                " POLAR_ACCESS_TOKEN set to that token, if it is still valid",
                waiting,
                directory.path.parent,
            )

    def _make_catalog(self) -> PriceResolver:
        with self._importing:
            from otel_polar.billing.catalog import Catalog  # noqa: PLC0415 - slow: by the delivery thread only

            return Catalog()

    def _make_sender(self) -> Sender:
        with self._importing:
            from otel_polar.delivery.polar import PolarClient  # noqa: PLC0415 - slow: by the delivery thread only
            from otel_polar.delivery.sender import Budget, Sender  # noqa: PLC0415 - slow: by the delivery thread only

            client = PolarClient(self._settings)
        return Sender(
            client.ingest,
            budget=Budget(self._settings.budget_per_minute),
            notices=self.notices,
            jitter=random.random,
            close=client.close,
        )

    def _say_what_waits(self) -> bool:
        on_disk = _waiting(None if self._own is None else self._own.outbox)
        in_memory = _waiting(self._memory)
        if on_disk:
            logger.warning("%d calls wait on disk and are sent by the next process with this outbox directory", on_disk)
        if in_memory:
            logger.error("%d calls wait in memory only, and are lost if the process ends now", in_memory)
        return not on_disk and not in_memory

    def before_fork(self) -> None:
        """Hold every lock, so that the child does not inherit one in the middle of something.

        Most of all an import: a module that is half imported by a thread which does not exist in the child stays half
        imported there. A request to Polar is not waited for any longer than the application would notice.
        """
        self._held_over_fork = ExitStack()
        for lock, timeout_s in ((self._importing, MAX_IMPORT_S), (self._worker.stepping, MAX_FORK_DELAY_S)):
            if lock.acquire(timeout=timeout_s):
                self._held_over_fork.callback(lock.release)
        self._held_over_fork.enter_context(self._opening)
        for outbox in self.outboxes:
            self._held_over_fork.enter_context(outbox.database)

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""
        self._held_over_fork.close()

    def after_fork_in_child(self) -> None:
        """Begin anew: the parent's connection is neither used nor closed, and its calls stay the parent's."""
        _inherited.append((self._own, self._memory, self._worker, self._held_over_fork.pop_all()))
        self.counts.clear()
        self.notices.after_fork()
        self._begin()


def _directory(settings: Settings, notices: Notices) -> OutboxDirectory | None:
    if settings.outbox_dir is None or settings.access_token is None:
        logger.error(
            "no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set: calls are kept in memory only"
        )
        return None
    name = directory_name(settings.server, settings.base_url, settings.access_token)
    return OutboxDirectory(settings.outbox_dir / name, notices)


def _waiting(outbox: Outbox | None) -> int:
    try:
        return 0 if outbox is None else outbox.waiting()
    except OutboxError:
        return 0


_pipelines: Final[weakref.WeakSet[Pipeline]] = weakref.WeakSet()
# What a forked child inherited from its parent: kept for ever, because closing or collecting it would act on the
# parent's file and sockets.
_inherited: Final[list[object]] = []


def _before_fork() -> None:
    for pipeline in list(_pipelines):
        pipeline.before_fork()


def _after_fork_in_parent() -> None:
    for pipeline in list(_pipelines):
        pipeline.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for pipeline in list(_pipelines):
        pipeline.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
