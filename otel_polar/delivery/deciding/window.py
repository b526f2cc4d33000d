"""The head of the intake: the oldest calls that are not decided yet, each read once.

Those that have rested are decided together with what was recorded in the moments after them, so a row is looked at
several times before it goes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.call import external_id
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.relatives import Relatives
from otel_polar.delivery.disk.record import load_record
from otel_polar.delivery.giving_way import give_way

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.delivery.deciding.recent import KnownCall, Recent
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import Recorded

PORTION: Final = 500
"""Calls decided at once."""

MAX_CONTEXT: Final = 2_000
"""Calls behind a portion that are looked at together with it."""


class Read(NamedTuple):
    """A recorded span of a call to a model."""

    recorded: Recorded
    call: ModelCall
    external_id: str


class Family(NamedTuple):
    """Everything that may be about one call: spans in the order they were recorded, and what is known from earlier."""

    reads: list[Read]
    known: list[KnownCall]


class Window:
    """Rows of one outbox's intake, in order."""

    def __init__(self) -> None:
        self._rows: dict[int, Read | Measurement | Exception] = {}
        self._recorded: dict[int, Recorded] = {}
        self._relatives: Relatives[int] = Relatives()

    def read_on(self, outbox: Outbox) -> list[Read]:
        """Read what has been recorded meanwhile, as far as there is room; the spans among it.

        Raises:
            OutboxError: if the outbox cannot be read.
        """
        # Not after the last one that was ever read: SQLite gives the numbers of rows away again.
        last_seq = max(self._recorded, default=0)
        rows = outbox.recorded(limit=PORTION + MAX_CONTEXT - len(self._recorded), after_seq=last_seq)
        for recorded in rows:
            self._recorded[recorded.seq] = recorded
            row = self._rows[recorded.seq] = _read(recorded)
            if isinstance(row, Read):
                self._relatives.add(recorded.seq, row.call)
            give_way()
        return [row for recorded in rows if isinstance(row := self._rows[recorded.seq], Read)]

    def portion(self) -> list[Recorded]:
        """The oldest rows."""
        return list(islice(self._recorded.values(), PORTION))

    def row(self, recorded: Recorded) -> Read | Measurement | Exception:
        """What a row says, or why it cannot be read."""
        return self._rows[recorded.seq]

    def reads(self) -> list[Read]:
        """Every span that has been read."""
        return [row for row in self._rows.values() if isinstance(row, Read)]

    def families(self, reads: Iterable[Read], recent: Recent) -> list[Family]:
        """Everything that may be about the same calls as these spans; each span is in one family only."""
        families: dict[int, Family] = {}
        for read in reads:
            if read.recorded.seq not in families:
                family = self.family(read, recent)
                seqs = [member.recorded.seq for member in family.reads]
                # What is remembered is not found from everywhere (see ``MAX_ALIKE``), but it leads everywhere.
                others = {id(other): other for seq in seqs if (other := families.get(seq)) is not None}
                if others:
                    family = _united([*others.values(), family])
                    seqs = [member.recorded.seq for member in family.reads]
                families |= dict.fromkeys(seqs, family)
            give_way()
        return list({id(family): family for family in families.values()}.values())

    def family(self, read: Read, recent: Recent) -> Family:
        """Everything that may be about the same call as this span."""
        looked_through: set[Hashable] = set()
        members = {read.recorded.seq: read}
        known: dict[KnownCall, None] = {}
        calls = [read.call]
        # It grows meanwhile.
        for call in calls:
            for seq in self._relatives.of(call, looked_through):
                if seq not in members:
                    row = self._rows[seq]
                    assert isinstance(row, Read)  # noqa: S101 - nothing else was added
                    members[seq] = row
                    calls.append(row.call)
            for other in recent.related([call]):
                if other not in known:
                    known[other] = None
                    calls += other.calls
        return Family([members[seq] for seq in sorted(members)], list(known))

    def remove(self, seqs: Iterable[int]) -> None:
        """These are not in the intake any more."""
        for seq in seqs:
            if self._recorded.pop(seq, None) is not None:
                row = self._rows.pop(seq)
                if isinstance(row, Read):
                    self._relatives.remove(seq, row.call)


def _united(families: Sequence[Family]) -> Family:
    members = {read.recorded.seq: read for family in families for read in family.reads}
    known = dict.fromkeys(known for family in families for known in family.known)
    return Family([members[seq] for seq in sorted(members)], list(known))


def _read(recorded: Recorded) -> Read | Measurement | Exception:
    try:
        call = load_record(recorded.call)
        if isinstance(call, Measurement):
            return call
        key = external_id(call)
        key.encode()
    except Exception as error:  # noqa: BLE001 - one damaged row must not stop the rest
        return error
    return Read(recorded, call, key)
