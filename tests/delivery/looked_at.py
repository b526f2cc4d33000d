"""Processes whose files are looked at meanwhile. Run as ``python -m tests.delivery.looked_at <what> <directory>``.

Each records calls 0, 1, 2, … and writes how many there are to a file ``told`` after every few of them, when they are on
disk. It goes on until it is killed.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from otel_polar.billing.call import external_id
from otel_polar.delivery.disk import taking_in
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.record import load_call
from otel_polar.delivery.disk.rows import Decided, State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.notices import Notices
from tests.delivery.support import NOON, a_body, a_record

if TYPE_CHECKING:
    from otel_polar.delivery.disk.outbox import Outbox

AT_ONCE = 5
SMALL_BYTES = 2_000


def deliver(outbox: Outbox, round_number: int) -> None:
    """What the delivery thread does: in, decided, held or sent, tried again, and the log folded in."""
    outbox.take_in()
    states = (State.READY, State.UNPRICED, State.READY)
    outbox.decide(
        [
            Decided(
                recorded,
                external_id(load_call(recorded.call)),
                state := states[recorded.seq % 3],
                body=a_body(recorded.seq) if state is State.READY else None,
            )
            for recorded in outbox.recorded(limit=7)
        ],
        now=NOON,
    )
    if round_number % 3 == 0:
        outbox.settle([entry.seq for entry in outbox.due(NOON, limit=4, max_bytes=10**6)], now=NOON)
    if round_number % 2 == 0:
        # Back to the intake, the last row among them: its number is given to another one.
        outbox.reconsider(limit=3)
    outbox.database.read("PRAGMA wal_checkpoint(TRUNCATE)" if round_number % 10 == 0 else "PRAGMA wal_checkpoint")


def tell(directory: Path, recorded: int) -> None:
    """So many are on disk now."""
    (directory / "told.new").write_text(str(recorded))
    (directory / "told.new").rename(directory / "told")


def own(directory: Path) -> None:
    """One owner, all states, and a segment that is given up after every few calls."""
    owned = OutboxDirectory(directory, Notices()).open_own()
    with patch.object(taking_in, "SEGMENT_BYTES", SMALL_BYTES):
        for round_number in count():
            for number in range(AT_ONCE):
                owned.outbox.record(a_record(round_number * AT_ONCE + number), NOON)
            tell(directory, (round_number + 1) * AT_ONCE)
            deliver(owned.outbox, round_number)


def adopt(directory: Path) -> None:
    """Files come and go: each is left by an owner in the middle of its work, and copied by the next one."""
    own_directory = OutboxDirectory(directory, Notices())
    owned = own_directory.create()
    for round_number in count():
        left = own_directory.create()
        for number in range(AT_ONCE):
            left.outbox.record(a_record(round_number * AT_ONCE + number), NOON)
            if number == AT_ONCE // 2:
                deliver(left.outbox, round_number)
        tell(directory, (round_number + 1) * AT_ONCE)
        if round_number % 4 == 3:
            # It is the old one that is adopted.
            owned, left = left, owned
        copy_outbox(left.outbox, owned.outbox)
        left.remove()


if __name__ == "__main__":
    {"own": own, "adopt": adopt}[sys.argv[1]](Path(sys.argv[2]))
