"""``OutboxView``: every outbox file of a directory, read while the processes that own them go on.

Nothing is locked, written or waited for, and each call is told exactly once, though calls move while they are looked
at: from the journal to the intake, from there to the ledger, back when they are tried again, and from the file of a
process that died to that of another. What makes a miss impossible is the order::

    1. the segments of every journal are opened: what is deleted from now on can still be read
    2. each file at one moment: ledger, intake, and how far its journal had been read
    3. the journals, from there on

Who adopts a file copies before deleting. So if every file that was there in the beginning could be looked at, whatever
was in one of them has been seen; if one has gone in between, everything is looked at once more. What was seen twice has
the same external id.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from otel_polar.delivery.disk.glance import MovedError, glance
from otel_polar.delivery.disk.journal import outbox_of, segments_of
from otel_polar.delivery.disk.lines import calls_of, damage_in, read_open_lines
from otel_polar.delivery.disk.locks import is_locked
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.census import Census
from otel_polar.delivery.looking.finding import ALL, Wanted
from otel_polar.delivery.looking.ledger_rows import (
    consumed_of,
    intake_rows,
    is_narrow,
    known_rows,
    ledger_rows,
    recorded_row,
)
from otel_polar.delivery.looking.spool import Spool
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from otel_polar.delivery.looking.seen import SeenCall

_TRIES: Final = 8
"""Looks until nothing has gone in between. Each time a process has died, or begun: that ends."""

_SIDE_FILES: Final = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class SeenFile:
    """An outbox file, perhaps of a process that died before it made one: then there are only segments of its journal.

    ``is_owned``: a process that lives has it. ``trouble``: what cannot be read of it, in words, as far as is known.
    """

    path: Path
    is_owned: bool
    size_bytes: int
    trouble: str | None


class OutboxView:
    """For one thread, also in a process that has outbox files of its own: see ``glance``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.troubles: dict[str, str] = {}
        """What could not be read at the last look, in words, by file name."""

    def files(self) -> list[SeenFile]:
        """Every outbox file there is, by name."""
        files: list[SeenFile] = []
        for path in self._paths():
            trouble = self.troubles.get(path.name)
            if trouble is None and path.exists():
                try:
                    with glance(path):
                        pass
                except MovedError:
                    pass
                except OutboxError as error:
                    trouble = str(error)
            files.append(SeenFile(path, is_locked(path), _size(path), trouble))
        return files

    def put_aside(self) -> list[Path]:
        """Files that were damaged, and are kept under other names for a person to look at."""
        return sorted(self.directory.glob("damaged-*"))

    def calls(self, wanted: Wanted = ALL) -> Iterator[SeenCall]:
        """The calls that are *wanted*, oldest first within a file.

        All of them as they were when the first one was asked for; what could not be read is in ``troubles`` then.

        Raises:
            OutboxError: if there is no room for what was seen.
        """
        with self._seen(wanted, for_sums=False) as spool:
            yield from self._understood(spool, wanted)

    def counts(self, wanted: Wanted = ALL) -> Census:
        """The calls that are *wanted*, counted and summed up."""
        census = Census()
        with self._seen(wanted, for_sums=not wanted.needs_contents) as spool:
            for seen in self._understood(spool, wanted):
                census.add(seen)
        return census

    def _understood(self, spool: Spool, wanted: Wanted) -> Iterator[SeenCall]:
        for row in spool.rows():
            seen = row.understood()
            if wanted.fits(seen):
                yield seen

    def _paths(self) -> list[Path]:
        segments = self.directory.glob("outbox-*-*.journal")
        return sorted({*self.directory.glob("outbox-*.db"), *map(outbox_of, segments)})

    @contextmanager
    def _seen(self, wanted: Wanted, *, for_sums: bool) -> Iterator[Spool]:
        for left in reversed(range(_TRIES)):
            spool = Spool()
            try:
                self.troubles = {}
                if self._look(spool, wanted, for_sums=for_sums, is_last=left == 0):
                    yield spool
                    return
            finally:
                spool.close()

    def _look(self, spool: Spool, wanted: Wanted, *, for_sums: bool, is_last: bool) -> bool:
        """Whether everything has been seen."""
        with ExitStack() as open_files:
            paths = self._paths()
            made = {path for path in paths if path.exists()}
            journals = {path: [*_open_segments(path, open_files)] for path in paths}
            for path in paths:
                say = self._sayer(path)
                try:
                    self._look_at(path, journals[path], spool, wanted, is_made=path in made, for_sums=for_sums)
                except MovedError as error:
                    if not is_last:
                        return False
                    say(str(error))
                except OutboxError as error:
                    say(str(error))
            if is_narrow(wanted):
                self._look_again(paths, spool)
        return True

    def _look_at(
        self, path: Path, journal: Sequence[_Segment], spool: Spool, wanted: Wanted, *, is_made: bool, for_sums: bool
    ) -> None:
        say = self._sayer(path)
        consumed: dict[str, int] = {}
        is_recorded_wanted = not wanted.states or State.RECORDED in wanted.states
        try:
            if not is_made and journal:
                # Its process died before it had made the file.
                return
            with glance(path) as connection:
                for rows in ledger_rows(connection, path.name, wanted, for_sums=for_sums, say=say):
                    spool.put(rows)
                if is_recorded_wanted:
                    consumed = consumed_of(connection)
                    for rows in intake_rows(connection, path.name, say):
                        spool.put(rows)
        finally:
            # Also of a file that cannot be read: what its journal has is whole.
            if is_recorded_wanted:
                for segment in journal:
                    _spool_segment(path, segment, consumed.get(segment.name, 0), spool, say)

    def _look_again(self, paths: Sequence[Path], spool: Spool) -> None:
        """Only some rows were asked for: the same call may be further on its way in one that was not."""
        for path in paths:
            with suppress(OutboxError), glance(path) as connection:
                for external_ids in spool.unsettled():
                    spool.put(known_rows(connection, path.name, external_ids))

    def _sayer(self, path: Path) -> Callable[[str], None]:
        def say(trouble: str) -> None:
            self.troubles.setdefault(path.name, trouble)

        return say


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    file: BinaryIO


def _open_segments(path: Path, open_files: ExitStack) -> Iterator[_Segment]:
    for segment in segments_of(path):
        # If it has gone already, its calls are in the intake, or in the file of whoever adopted it.
        with suppress(OSError):
            yield _Segment(segment.name, open_files.enter_context(segment.open("rb")))


def _spool_segment(path: Path, segment: _Segment, consumed: int, spool: Spool, say: Callable[[str], None]) -> None:
    try:
        # It has become shorter: it is read again as a whole, and what is read twice is known again.
        begin = consumed if os.fstat(segment.file.fileno()).st_size >= consumed else 0
        while lines := read_open_lines(segment.file, begin):
            spool.put([recorded_row(path.name, recorded_at, call) for recorded_at, call in calls_of(lines)])
            begin = lines[-1].end
            is_being_written = lines[-1].is_cut and is_locked(path)
            if damage := damage_in(lines[:-1] if is_being_written else lines):
                say(f"{segment.name}: {damage}")
    except OSError as error:
        say(f"{segment.name} cannot be read: {error.strerror}")


def _size(path: Path) -> int:
    size = 0
    for file in (*(path.with_name(f"{path.name}{ending}") for ending in _SIDE_FILES), *segments_of(path)):
        with suppress(OSError):
            size += file.stat().st_size
    return size
