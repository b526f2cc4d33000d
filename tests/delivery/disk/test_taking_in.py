"""Specifies how calls come from the journal into the database: each once, whatever is interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk import taking_in as taking_in_module
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.journal import segments_of
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.notices import Notices
from otel_polar.errors import OutboxError
from tests.delivery.support import NOON, a_record

if TYPE_CHECKING:
    from pathlib import Path

# Dies in the middle of taking in: at the commit, or when the segment has been deleted and that is not noted yet.
TAKER = """
import os, pathlib, signal, sys
from otel_polar.delivery.disk import taking_in as module
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.database import Database
module.SEGMENT_BYTES = 1
outbox = Outbox(pathlib.Path(sys.argv[1]))
execute, left = Database._execute, int(sys.argv[2])
def dies(self, statement, parameters=()):
    global left
    left -= statement == "COMMIT"
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    execute(self, statement, parameters)
Database._execute = dies
outbox.take_in()
"""


def taken_in(outbox: Outbox) -> list[str]:
    return [recorded.call for recorded in outbox.recorded(limit=10_000)]


def test_calls_come_into_the_intake_once_and_in_their_order(outbox: Outbox) -> None:
    """However often it is looked."""
    outbox.record(a_record(1), NOON)
    outbox.take_in()
    outbox.record(a_record(2), NOON)
    outbox.take_in()
    outbox.take_in()

    assert taken_in(outbox) == [a_record(1), a_record(2)]
    assert outbox.waiting() == 2


def test_a_line_that_is_being_written_is_left_until_it_is_whole(outbox: Outbox) -> None:
    """The delivery thread reads while a caller's thread is in the middle of a write."""
    outbox.record(a_record(1), NOON)
    assert outbox.journal is not None
    (segment,) = outbox.journal.segments()
    line = f"{NOON!r} {a_record(2)}\n".encode()
    with segment.open("ab", buffering=0) as file:
        file.write(line[:40])
        assert taken_in(outbox) == [a_record(1)]
        file.write(line[40:])
    assert taken_in(outbox) == [a_record(1), a_record(2)]


def test_a_large_segment_that_has_been_read_is_deleted_and_forgotten(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal does not grow for ever; and no later one is taken for read."""
    monkeypatch.setattr(taking_in_module, "SEGMENT_BYTES", 1)
    names = set()
    for number in range(3):
        outbox.record(a_record(number), NOON)
        names |= {segment.name for segment in segments_of(path)}
        outbox.take_in()

    assert segments_of(path) == []
    assert len(names) == 3
    assert outbox.database.read("SELECT * FROM journal") == []
    assert taken_in(outbox) == [a_record(0), a_record(1), a_record(2)]


def test_a_segment_that_rests_is_deleted_when_it_has_been_read(outbox: Outbox, path: Path) -> None:
    """Who paid for what lies in one place, and is forgotten there in time."""
    outbox.record(a_record(1), NOON)
    outbox.take_in()
    (segment,) = segments_of(path)
    long_ago = time.time() - 2 * taking_in_module.REST_S
    os.utime(segment, (long_ago, long_ago))

    outbox.take_in()
    assert segments_of(path) == []
    outbox.record(a_record(2), NOON)

    assert taken_in(outbox) == [a_record(1), a_record(2)]


def test_a_small_segment_is_deleted_when_its_process_is_gone(outbox: Outbox, path: Path) -> None:
    """And not before: it is being appended to."""
    outbox.record(a_record(1), NOON)
    outbox.take_in()
    assert len(segments_of(path)) == 1
    outbox.close()

    later = Outbox(path)
    later.take_in()

    assert segments_of(path) == []
    assert taken_in(later) == [a_record(1)]
    later.close()


@pytest.mark.parametrize("commit", [1, 2])
def test_dying_in_the_middle_of_it_neither_loses_nor_doubles(path: Path, commit: int) -> None:
    """How far a segment was read is written together with its calls."""
    written = Outbox(path)
    for number in range(1_000):
        written.record(a_record(number), NOON)
    written.close()

    died = subprocess.run([sys.executable, "-c", TAKER, str(path), str(commit)], check=False)
    assert died.returncode == -9

    later = Outbox(path)
    assert taken_in(later) == [a_record(number) for number in range(1_000)]
    later.close()


def test_a_database_that_refuses_leaves_the_journal_as_it_was(outbox: Outbox) -> None:
    """On a full disk the calls wait where they are."""
    outbox.record(a_record(1), NOON)
    outbox.database.write("ALTER TABLE intake RENAME TO full", ())
    with pytest.raises(OutboxError):
        outbox.take_in()
    assert outbox.journal is not None
    assert len(outbox.journal.segments()) == 1

    outbox.database.write("ALTER TABLE full RENAME TO intake", ())

    assert taken_in(outbox) == [a_record(1)]


def test_damage_is_said_and_the_segment_put_aside_when_it_has_been_read(
    outbox: Outbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Never silently dropped: a person finds the file, and the text of the line among the held calls."""
    outbox.record(a_record(1), NOON)
    outbox.close()
    (segment,) = segments_of(path)
    with segment.open("ab") as file:
        file.write(b"\xffgarbage\n17")

    later = Outbox(path)
    assert taken_in(later) == [a_record(1), r"\xffgarbage"]

    assert f"{segment} is damaged: 1 lines are not what was written, and the last line is cut short" in caplog.text
    assert segments_of(path) == []
    assert len(list(path.parent.glob(f"damaged-*-{segment.name}"))) == 1
    later.close()


def test_a_directory_in_the_place_of_a_segment_does_not_stop_the_others(
    outbox: Outbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Or nothing would be billed from this outbox any more."""
    outbox.record(a_record(1), NOON)
    outbox.close()
    first = path.with_name(f"{path.stem}-{0:016x}.journal")
    first.mkdir()

    later = Outbox(path)

    assert taken_in(later) == [a_record(1)]
    assert f"{first} cannot be read" in caplog.text
    later.close()


def test_a_segment_that_is_truncated_while_it_grows_is_read_from_its_beginning(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """What is appended then lies before the place up to which it had been read."""
    for number in range(10):
        outbox.record(a_record(number), NOON)
    outbox.take_in()
    assert outbox.journal is not None
    (segment,) = outbox.journal.segments()
    os.truncate(segment, 0)
    outbox.record(a_record(10), NOON)

    assert taken_in(outbox) == [a_record(number) for number in range(11)]
    assert "had been read" in caplog.text


def test_a_segment_that_was_deleted_is_said_by_the_next_look(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """Every further call would go with it."""
    outbox.record(a_record(1), NOON)
    assert outbox.journal is not None
    outbox.journal.segments()[0].unlink()

    outbox.take_in()
    outbox.record(a_record(2), NOON)

    assert taken_in(outbox) == [a_record(2)]
    assert "CALLS IN IT ARE LOST" in caplog.text


def test_a_segment_without_its_database_is_found(path: Path) -> None:
    """The database was deleted or put aside; the journal by itself is whole."""
    written = Outbox(path)
    written.record(a_record(1), NOON)
    written.close()
    path.unlink()

    own = OutboxDirectory(path.parent, Notices()).open_own()

    assert (own.path, taken_in(own.outbox)) == (path, [a_record(1)])
    own.release()


def test_a_file_that_only_looks_like_a_segment_claims_no_others(path: Path) -> None:
    """The outbox it seems to belong to would have every journal of the directory for its own."""
    (path.parent / "outbox-copy.journal").write_text("of a person\n")
    directory = OutboxDirectory(path.parent, Notices())
    living = directory.open_own()
    living.outbox.record(a_record(1), NOON)

    assert list(directory.orphans()) == []
    assert taken_in(living.outbox) == [a_record(1)]
    living.release()


def test_what_is_copied_has_the_calls_of_the_journal(outbox: Outbox, tmp_path: Path) -> None:
    """Also those that are in no database yet, and none of the others twice."""
    outbox.record(a_record(1), NOON)
    outbox.take_in()
    outbox.record(a_record(2), NOON)
    into = Outbox(tmp_path / "outbox-11111111.db")

    assert copy_outbox(outbox, into) is None

    assert taken_in(into) == [a_record(1), a_record(2)]
    into.close()


def test_a_call_that_was_on_its_way_while_its_outbox_was_copied_is_found_later(path: Path) -> None:
    """A thread may have taken the old outbox in hand before it was replaced, and append to it after."""
    directory = OutboxDirectory(path.parent, Notices())
    old, new = directory.create(), directory.create()
    old.outbox.record(a_record(1), NOON)
    copy_outbox(old.outbox, new.outbox)
    old.outbox.record(a_record(2), NOON)

    old.remove()
    (late,) = directory.orphans()
    copy_outbox(late.outbox, new.outbox)
    late.remove()

    assert taken_in(new.outbox) == [a_record(1), a_record(2)]
    new.release()
