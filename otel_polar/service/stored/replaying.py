"""From stored files to recorded calls: what is recorded is on disk before the position moves behind it.

So whatever happens in between, what is read twice was recorded once already, and the ledger knows it again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.stored.marking import Mark
from otel_polar.service.stored.messages import Damage, Rest, form_of, messages, place_of
from otel_polar.service.stored.outcome import FileRead, Place
from otel_polar.service.stored.plain import StoredFileError
from otel_polar.service.stored.positions import Position, Positions, before_of, goes_on, head_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_polar.service.stored.files import StoredFile
    from otel_polar.service.stored.messages import Form, Message, Part
    from otel_polar.service.stored.plain import Plain
    from otel_polar.service.stored.spans import Filters, StoredSpans

_OTHER_SIGNALS = (b'{"resourceLogs"', b'{"resourceMetrics"', b'{"resourceProfiles"')


class Replaying:
    """Takes one file after the other."""

    def __init__(
        self,
        spans: StoredSpans,
        commit: Callable[[Sequence[str]], None],
        *,
        filters: Filters,
        positions: Positions | None = None,
        is_again: bool = False,
        advance: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            spans: reads them.
            commit: records calls durably, or raises.
            filters: which spans are read.
            positions: where to go on, and where that is written down; ``None`` reads everything, and writes nothing.
            is_again: what has been replayed is read again.
            advance: told how many more bytes of a file, as it is on disk, have been read.
            clock: Unix seconds.
        """
        self._spans = spans
        self._commit = commit
        self._positions = positions
        self._filters = str(filters)
        self._is_again = is_again
        self._advance = advance
        self._clock = clock

    def replay(self, file: StoredFile) -> FileRead:
        """Record the calls of one file from where it was left.

        Raises:
            StoredFileError: if it has no known form.
            OutboxError: if calls cannot be recorded now.
            OSError: if it cannot be read.
        """
        read = FileRead(file.name)
        plain = file.open()
        try:
            plain.check()
            form = form_of(plain)
            if form is None:
                if plain.damage is not None:
                    read.left = Place("byte 0", plain.damage)
                return read
            begin = self._begin(plain, file.name)
            for candidate in self._candidates(plain):
                has_more = goes_on(plain, candidate)
                if has_more is None:
                    plain = _open_again(file, plain)
                    continue
                if not has_more and plain.damage is None:
                    read.replayed_at = candidate.read_at
                    self._advance(plain.raw_bytes)
                    return read
                # By more of its head, if it was short.
                begin = replace(candidate, head_bytes=begin.head_bytes, head=begin.head, name=file.name)
                read.resumed_at = candidate.resume_at
                break
            self._read(plain, form, read, begin)
        finally:
            plain.close()
        return read

    def _begin(self, plain: Plain, name: str) -> Position:
        head_bytes, head = head_of(plain)
        return Position(None, self._filters, head_bytes, head, 0, before_of(b""), 0, 1, name, self._clock())

    def _candidates(self, plain: Plain) -> list[Position]:
        if self._positions is None or self._is_again:
            return []
        return self._positions.candidates(plain, self._filters)

    def _read(self, plain: Plain, form: Form, read: FileRead, begin: Position) -> None:
        mark = Mark(begin, self._commit, self._save)
        told_bytes = 0
        for part in messages(plain, form, begin.line):
            calls = self._calls_of(part, read)
            if calls is None:
                read.left = Place(place_of(part), plain.damage or "it is not written to its end")
                break
            mark.pass_by(part, calls, plain)
            self._advance(plain.raw_bytes - told_bytes)
            told_bytes = plain.raw_bytes
        else:
            if plain.damage is not None:
                read.left = Place(f"byte {plain.position}", plain.damage)
        mark.write()
        self._advance(plain.raw_bytes - told_bytes)

    def _calls_of(self, part: Part, read: FileRead) -> list[str] | None:
        """What is to be recorded of it; ``None`` if it is left, because it is not written to its end."""
        if isinstance(part, Rest):
            return None
        if isinstance(part, Damage):
            read.found_damage(place_of(part), part.reason)
            return []
        try:
            return self._spans.read(part, read)
        except SpansFormatError as error:
            return self._judge(part, error, read)

    def _judge(self, message: Message, error: SpansFormatError, read: FileRead) -> list[str] | None:
        if message.content.startswith(_OTHER_SIGNALS):
            read.other_signals += 1
        elif message.is_open:
            return None
        else:
            # Its words count lines from the beginning of the message.
            read.found_damage(place_of(message), str(error).partition(";")[0].removeprefix("line 1 "))
        return []

    def _save(self, position: Position) -> Position:
        if self._positions is None:
            return position
        return self._positions.save(replace(position, read_at=self._clock()))


def _open_again(file: StoredFile, plain: Plain) -> Plain:
    if file.path is None:
        raise StoredFileError(
            "what comes on standard input begins like something that has been replayed, but is something else, and"
            " cannot be read from its beginning again: give --again"
        )
    plain.close()
    plain = file.open()
    plain.check()
    return plain
