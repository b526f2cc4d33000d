"""Where the calls of this process lie: its file, and the memory that stands in for a file that cannot be written.

Recording happens on the application's threads, and a signal or a finalizer may end a span in the middle of it, on the
same thread. What would have to wait for itself is put aside, and recorded when the interrupted work is done.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.room import check_room
from otel_polar.delivery.disk.transfer import copy_outbox, move_outbox
from otel_polar.delivery.notices import logger
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from otel_polar.delivery.disk.files import OutboxDirectory, OwnedOutbox
    from otel_polar.delivery.notices import Notices


TRY_AGAIN_S: Final = 1.0
"""A directory that could not be used is tried again so often, at most, while somebody waits for it."""

REFUSING_S: Final = 10.0
"""A disk that refused is believed to go on with that for so long."""


class Storage:
    """Takes the calls of one process. Made anew in a forked child, which never touches what its parent opened."""

    def __init__(self, directory: OutboxDirectory | None, *, notices: Notices, counts: Counter[str]) -> None:
        self._directory = directory
        self._notices = notices
        self._counts = counts
        self.opening = threading.RLock()
        """Held while a file is opened. Whoever forks takes it first."""
        self._is_opening = False
        self._early: deque[tuple[str, float]] = deque()
        self._is_open = False
        self._is_refusing = False
        self._refused_at = self._try_again_at = 0.0
        self._is_looked_through = False
        self._why_not_open = "no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set"
        self._own: OwnedOutbox | None = None
        # Made when needed: in a forked child even opening SQLite could wait for a lock that a parent's thread held.
        self._memory: Outbox | None = None

    @property
    def outboxes(self) -> list[Outbox]:
        """The file, if there is one, and the memory, if it was needed."""
        outboxes = (None if self._own is None else self._own.outbox, self._memory)
        return [outbox for outbox in outboxes if outbox is not None]

    def open(self) -> None:
        """Open this process's file, unless that was tried: trying again is for :meth:`tend`, not for every call."""
        if not self._is_open:
            self._once(self._open_file)

    def record(self, line: str, now: float) -> None:
        """Keep a call. When this returns it is on disk, or in memory if that cannot be; never raises."""
        if not self._is_open and not self._once(self._open_file):
            self._early.append((line, now))
            return
        own = self._own
        if own is None:
            self._record_in_memory(line, now)
            return
        try:
            own.outbox.record(line, now)
        except OutboxError as error:
            self._is_refusing = True
            self._notices.error("disk", "%s. Calls are kept in memory, and are lost if the process dies", error)
            self._record_in_memory(line, now)
        else:
            if self._is_refusing:
                self._is_refusing = False
                self._notices.over("disk", "the outbox can be written again")
            if own is not self._own:
                # It was replaced in between: what came too late to be copied would wait to be found.
                self.record(line, now)

    def commit(self, lines: Sequence[str], now: float) -> None:
        """Keep calls that somebody else keeps, too, until this returns: on disk, all of them or none.

        Raises:
            OutboxError: if the disk does not take them, or there is no file to write to.
        """
        if self._own is None and time.monotonic() >= self._try_again_at:
            self._try_again_at = time.monotonic() + TRY_AGAIN_S
            self._once(self._open_file)
        own = self._own
        if own is None:
            raise OutboxError(f"there is no outbox: {self._why_not_open}")
        try:
            check_room(own.path)
            own.outbox.record_all(lines, now)
        except OutboxError as error:
            self._is_refusing = True
            self._refused_at = time.monotonic()
            self._notices.error("disk", "%s. Nothing is accepted until it can be written", error)
            raise
        if self._is_refusing:
            self._is_refusing = False
            self._notices.over("disk", "the outbox can be written again")
        if own is not self._own:
            # It was replaced in between: what came too late to be copied would wait to be found.
            self.commit(lines, now)

    @property
    def problem(self) -> str | None:
        """Why nothing can be kept on disk now, as far as is known."""
        if self._own is None:
            return f"there is no outbox: {self._why_not_open}"
        # Not for ever: who is not asked any more because of it would never find out that it is over.
        if self._is_refusing and time.monotonic() < self._refused_at + REFUSING_S:
            return "the outbox could not be written when it was last tried"
        return None

    def tend(self) -> None:
        """Look after the files: try a failed directory again, empty the memory, adopt files without an owner."""
        if self._own is None:
            self._once(self._open_file)
        own, directory = self._own, self._directory
        if own is None or directory is None:
            return
        try:
            if not own.path.exists():
                self._notices.error(
                    f"gone:{own.path}", "outbox %s has been deleted; it goes on in another one", own.path
                )
                directory.make()
                self.replace(own.outbox)
                return
            self._move_memory(own.outbox)
            if not self._is_looked_through:
                self._say_what_is_held(own.outbox)
                self._say_what_waits_elsewhere(directory)
                self._is_looked_through = True
            for orphan in directory.orphans():
                self._adopt(orphan, own)
        except OutboxDamagedError as error:
            self._notices.error(f"outbox:{own.path}", "%s", error)
            self.replace(own.outbox)
        except (OutboxError, OSError) as error:
            self._notices.error("tend", "the outbox files cannot be looked after: %s", error)

    def empty_memory(self) -> None:
        """Move what memory holds to the file, if that can be written."""
        own = self._own
        if own is not None:
            with suppress(OutboxError):
                self._move_memory(own.outbox)

    def _move_memory(self, into: Outbox) -> None:
        # It goes past the journal: whether that can be written again, the next call will tell.
        if self._memory is not None and (moved := move_outbox(self._memory, into)):
            logger.warning("%d calls moved from memory to the outbox", moved)

    def replace(self, outbox: Outbox) -> None:
        """Go on in a new file, with everything that can be read of a damaged one; that one is put aside."""
        own, directory = self._own, self._directory
        if own is None or directory is None or own.outbox is not outbox:
            return

        def record_in_new_file() -> None:
            self._own = directory.create()

        try:
            self._once(record_in_new_file)
            new = self._own or own
            # Not while the lock of opening is held: a fork would wait for it.
            damage = copy_outbox(own.outbox, new.outbox)
        except (OutboxError, OSError) as error:
            self._notices.error("replace", "outbox %s is damaged and cannot be replaced: %s", own.path, error)
            if self._own is not own:
                # For the next start.
                own.release()
            return
        self._notices.error(
            f"damaged:{own.path}",
            "outbox %s is damaged (%s); %s, and what can be read goes on in %s",
            own.path,
            damage,
            own.put_aside(),
            new.path,
        )

    def waiting_on_disk(self) -> int:
        """How many calls are still to be sent from the file."""
        return _waiting(None if self._own is None else self._own.outbox)

    def waiting_in_memory(self) -> int:
        """How many calls are still to be sent, and would be lost with the process."""
        return _waiting(self._memory) + len(self._early)

    def _once(self, work: Callable[[], None]) -> bool:
        """Do work that opens something; False if it is this very thread that is in the middle of such work."""
        with self.opening:
            if self._is_opening:
                return False
            self._is_opening = True
            try:
                work()
            finally:
                self._is_opening = False
        self._record_early()
        return True

    def _record_early(self) -> None:
        while True:
            try:
                line, now = self._early.popleft()
            except IndexError:
                # Asking first would not do: another thread may take it in between.
                return
            self.record(line, now)

    def _open_file(self) -> None:
        if self._own is None and self._directory is not None:
            try:
                self._own = self._directory.open_own()
            except OutboxError as error:
                self._why_not_open = str(error)
                self._notices.error(
                    "disk",
                    "%s. Set outbox_dir (OTEL_POLAR_OUTBOX_DIR) to a directory that can be written and outlives the"
                    " process. Until then calls are kept in memory, and are lost if the process dies",
                    error,
                )
            else:
                self._notices.over("disk", "the outbox directory can be written again")
        self._is_open = True

    def _make_memory(self) -> None:
        if self._memory is None:
            self._memory = Outbox(None)

    def _record_in_memory(self, line: str, now: float) -> None:
        try:
            if self._memory is None and not self._once(self._make_memory):
                self._early.append((line, now))
                return
            assert self._memory is not None  # noqa: S101 - made just now, and never given up
            self._memory.record(line, now)
        except OutboxError as error:
            self._counts["lost"] += 1
            self._notices.error("lost", "MODEL CALLS ARE LOST: neither disk nor memory takes them (%s)", error)
        else:
            self._notices.over("lost", "calls are kept again, in memory; %d were lost", self._counts["lost"])

    def _say_what_is_held(self, outbox: Outbox) -> None:
        if held := outbox.held_counts():
            counts = ", ".join(f"{count} {state.removeprefix('held: ')}" for state, count in held.items())
            self._notices.warn("held", "calls that are held or rejected since earlier: %s", counts)

    def _adopt(self, orphan: OwnedOutbox, own: OwnedOutbox) -> None:
        """Copy one file without an owner into our own. One that cannot be read does not stop the others."""
        try:
            damage = copy_outbox(orphan.outbox, own.outbox)
        except BaseException:
            # Ours cannot be written.
            orphan.release()
            raise
        if damage is None:
            orphan.remove()
        else:
            self._notices.error(
                f"damaged:{orphan.path}",
                "outbox %s is damaged (%s); what can be read was taken over, and %s",
                orphan.path,
                damage,
                orphan.put_aside(),
            )

    def _say_what_waits_elsewhere(self, directory: OutboxDirectory) -> None:
        for path, waiting in directory.waiting_elsewhere().items():
            self._notices.warn(
                f"elsewhere:{path}",
                "%d calls in %s were recorded for another server or with another access token, and are not sent from"
                " here: start once with those settings, or, if they were wrong, move its outbox-* files into %s",
                waiting,
                path,
                directory.path,
            )


def _waiting(outbox: Outbox | None) -> int:
    try:
        return 0 if outbox is None else outbox.waiting()
    except OutboxError:
        return 0
