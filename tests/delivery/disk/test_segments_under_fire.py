"""Specifies that no segment goes, and none is forgotten, with a line in it that has not come into the database.

What a finalizer or a signal handler does in the middle of a step is done where the step asks the system for something.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from otel_polar.delivery.disk import taking_in as taking_in_module
from otel_polar.delivery.disk.journal import Journal, segments_of
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.transfer import copy_outbox
from tests.delivery.support import NOON, a_record

COUNTER = """
import os, pathlib, signal, sys
from otel_polar.delivery.disk import taking_in as module
from otel_polar.delivery.disk.outbox import Outbox
outbox = Outbox(pathlib.Path(sys.argv[1]))
outbox.record("{}", 1.0)
signal.signal(signal.SIGTERM, lambda *_: print(outbox.waiting()))
count_calls = module.count_calls
def interrupted(*arguments):
    module.count_calls = count_calls
    os.kill(os.getpid(), signal.SIGTERM)
    return count_calls(*arguments)
module.count_calls = interrupted
print(outbox.waiting())
"""


@pytest.fixture
def journal(outbox: Outbox) -> Journal:
    assert outbox.journal is not None
    return outbox.journal


def taken_in(outbox: Outbox) -> list[str]:
    return sorted(recorded.call for recorded in outbox.recorded(limit=10_000))


def test_a_call_that_a_finalizer_ends_while_a_segment_is_given_up_is_not_deleted_with_it(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A garbage collection on the delivery thread ends the span of an abandoned stream: the lock is its own."""
    monkeypatch.setattr(taking_in_module, "SEGMENT_BYTES", 1)
    outbox.record(a_record(1), NOON)
    stat = Path.stat

    def finalizing(path: Path, **options: Any) -> os.stat_result:
        answer = stat(path, **options)
        if sys._getframe(1).f_code.co_name == "_ends_at":
            monkeypatch.setattr(Path, "stat", stat)
            outbox.record(a_record(2), NOON)
        return answer

    monkeypatch.setattr(Path, "stat", finalizing)
    outbox.take_in()

    assert Path.stat is stat
    assert taken_in(outbox) == [a_record(1), a_record(2)]


def test_an_interrupted_append_is_read_before_its_segment_goes(
    outbox: Outbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that ends a span leaves the segment to the append it interrupts, which is not over."""
    monkeypatch.setattr(taking_in_module, "SEGMENT_BYTES", 1)
    outbox.record(a_record(1), NOON)
    write, give_up = os.write, journal.give_up
    is_appending, may_go_on = threading.Event(), threading.Event()

    def interrupted(descriptor: int, line: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        is_appending.set()
        assert may_go_on.wait(10)
        outbox.record(a_record(3), NOON)
        return write(descriptor, line)

    monkeypatch.setattr(os, "write", interrupted)
    appending = threading.Thread(target=outbox.record, args=(a_record(2), NOON))

    def given_up_meanwhile(segment: Path, consumed: int) -> bool:
        monkeypatch.setattr(journal, "give_up", give_up)
        appending.start()
        assert is_appending.wait(10)
        threading.Timer(0.1, may_go_on.set).start()
        return give_up(segment, consumed)

    monkeypatch.setattr(journal, "give_up", given_up_meanwhile)
    outbox.take_in()
    appending.join()

    assert taken_in(outbox) == [a_record(1), a_record(2), a_record(3)]


def test_nothing_is_appended_to_a_segment_that_was_put_aside(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk could not read it; the calls that end after that are none of those that were given up."""
    outbox.record(a_record(1), NOON)

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", broken)
        outbox.take_in()
    outbox.record(a_record(2), NOON)

    assert taken_in(outbox) == [a_record(2)]


def test_a_segment_that_cannot_be_looked_at_for_a_moment_is_not_deleted(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it has been read."""
    outbox.record(a_record(1), NOON)
    outbox.close()
    later = Outbox(path)

    def no_memory(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", no_memory)
        later.take_in()

    assert taken_in(later) == [a_record(1)]
    later.close()


def test_a_segment_that_a_signal_handler_begins_while_another_is_begun_is_read_too(
    path: Path, outbox: Outbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lie there until the process ends, and a flush would say that nothing is left."""
    open_file = os.open

    def interrupted(*arguments: Any, **options: Any) -> int:
        descriptor = open_file(*arguments, **options)
        monkeypatch.setattr(os, "open", open_file)
        outbox.record(a_record(2), NOON)
        return descriptor

    monkeypatch.setattr(os, "open", interrupted)
    outbox.record(a_record(1), NOON)

    assert sorted(journal.segments()) == segments_of(path)
    assert taken_in(outbox) == [a_record(1), a_record(2)]


def test_what_was_appended_after_a_truncation_is_copied(outbox: Outbox, path: Path, tmp_path: Path) -> None:
    """What rotates logs truncates them; then the process dies, and another one adopts what it left."""
    for number in range(10):
        outbox.record(a_record(number), NOON)
    outbox.take_in()
    (segment,) = segments_of(path)
    os.truncate(segment, 0)
    outbox.record(a_record(10), NOON)
    outbox.close()
    orphan, into = Outbox(path), Outbox(tmp_path / "outbox-11111111.db")

    copy_outbox(orphan, into)

    assert a_record(10) in taken_in(into)
    orphan.close()
    into.close()


def test_a_signal_handler_may_ask_what_waits_while_that_is_counted(path: Path) -> None:
    """A SIGTERM comes while a flush says what is left, and its handler shuts down: it is the same thread."""
    counted = subprocess.run(
        [sys.executable, "-c", COUNTER, str(path)], check=False, capture_output=True, text=True, timeout=30
    )

    assert counted.stdout.split() == ["1", "1"]
