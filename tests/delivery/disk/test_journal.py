"""Specifies the file that a finished call is written to first."""

from __future__ import annotations

import os
import signal
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk import lines as lines_module
from otel_polar.delivery.disk.journal import Journal, outbox_of, segments_of
from otel_polar.delivery.disk.lines import calls_of, count_calls, damage_in, read_lines
from otel_polar.errors import OutboxDamagedError, OutboxError
from tests.delivery.support import NOON, a_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of an outbox file, which need not be there."""
    return tmp_path / "outbox-00000000.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path, is_synchronous=False)
    yield opened
    opened.close()


def calls_in(path: Path) -> list[str]:
    """Every call in the segments of an outbox file."""
    calls: list[str] = []
    for segment in segments_of(path):
        end = 0
        while lines := read_lines(segment, end):
            calls += [call for _, call in calls_of(lines)]
            end = lines[-1].end
    return calls


def test_what_was_appended_is_read_with_the_time_it_was_recorded(journal: Journal) -> None:
    """The call rests from then on."""
    journal.append(a_record(1), NOON)
    journal.append(a_record(2), NOON + 0.25)

    (segment,) = journal.segments()
    lines = read_lines(segment, 0)

    assert calls_of(lines) == [(NOON, a_record(1)), (NOON + 0.25, a_record(2))]
    assert lines[-1].end == segment.stat().st_size
    assert damage_in(lines) is None
    assert calls_of(read_lines(segment, lines[0].end)) == [(NOON + 0.25, a_record(2))]


def test_a_segment_is_for_its_owner_only(journal: Journal) -> None:
    """It holds customer ids."""
    journal.append(a_record(), NOON)

    (segment,) = journal.segments()
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600


def test_nothing_is_created_before_the_first_call(path: Path, journal: Journal) -> None:
    """A process that makes no call leaves no file."""
    assert (journal.segments(), segments_of(path)) == ([], [])


def test_a_large_segment_is_read_in_portions_of_whole_lines(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded however long Polar was down."""
    monkeypatch.setattr(lines_module, "PORTION_BYTES", 100)
    for number in range(50):
        journal.append(f"call-{number}", NOON)
    (segment,) = journal.segments()

    read: list[str] = []
    end = 0
    while lines := read_lines(segment, end):
        assert not any(line.is_cut for line in lines)
        read += [line.call for line in lines]
        end = lines[-1].end

    assert read == [f"call-{number}" for number in range(50)]
    assert count_calls(segment, 0) == 50
    assert count_calls(segment, end) == 0


@pytest.mark.parametrize("missing", [1, 20, 300])
def test_a_line_cut_short_at_the_end_is_no_call_and_is_said(journal: Journal, missing: int) -> None:
    """The process died in the middle of on_end, or the file was truncated: nobody can tell."""
    journal.append(a_record(1), NOON)
    journal.append(a_record(2), NOON)
    (segment,) = journal.segments()
    os.truncate(segment, segment.stat().st_size - 1 - missing)

    lines = read_lines(segment, 0)

    assert calls_of(lines) == [(NOON, a_record(1))]
    assert "cut short" in str(damage_in(lines))


def test_a_whole_line_that_lacks_only_its_end_is_a_call(journal: Journal) -> None:
    """The process died after the last character of it."""
    journal.append(a_record(), NOON)
    (segment,) = journal.segments()
    os.truncate(segment, segment.stat().st_size - 1)

    lines = read_lines(segment, 0)

    assert calls_of(lines) == [(NOON, a_record())]
    assert damage_in(lines) is None
    assert count_calls(segment, 0) == 1


@pytest.mark.parametrize(
    ("damage", "read_as"),
    [
        pytest.param(b"\x80\xff\x00garbage\n", r"\x80\xff" + "\0garbage", id="garbage"),
        pytest.param(b"\xc3\xa9 {}\n", "é {}", id="not ASCII, as everything is that was written"),
        pytest.param(b'{"no":"time"}\n', '{"no":"time"}', id="no time"),
        pytest.param(b"nan {}\n", "nan {}", id="a time that no row can hold"),
        pytest.param(b"1e999 {}\n", "1e999 {}", id="a time without end"),
    ],
)
def test_a_damaged_line_is_kept_as_it_is_and_stops_no_other(journal: Journal, damage: bytes, read_as: str) -> None:
    """Whoever decides it reports that it is no call, with its text for a person to look at."""
    journal.append(a_record(1), NOON)
    (segment,) = journal.segments()
    with segment.open("ab") as file:
        file.write(damage)
    journal.append(a_record(2), NOON)

    lines = read_lines(segment, 0)

    assert [call for _, call in calls_of(lines)] == [a_record(1), read_as, a_record(2)]
    assert damage_in(lines) == "1 lines are not what was written"
    # Not 1970: it would be taken for old, and be forgotten.
    assert lines[1].recorded_at == segment.stat().st_mtime


def test_zeros_hide_nothing_behind_them_and_are_said(journal: Journal) -> None:
    """A power failure leaves them where something was to be written."""
    journal.append(a_record(1), NOON)
    (segment,) = journal.segments()
    with segment.open("ab") as file:
        file.write(b"\0" * 5_000)
    journal.append(a_record(2), NOON)

    lines = read_lines(segment, 0)

    assert calls_of(lines) == [(NOON, a_record(1)), (NOON, a_record(2))]
    assert damage_in(lines) == "1 lines are not what was written"


def test_a_line_begins_a_new_segment_after_the_journal_was_closed(path: Path, journal: Journal) -> None:
    """What was noted about the first one cannot be taken for the second one's."""
    journal.append(a_record(1), NOON)
    journal.close()
    journal.append(a_record(2), NOON)

    first, second = journal.segments()
    assert [journal.is_current(segment) for segment in (first, second)] == [False, True]
    assert calls_in(path) == [a_record(1), a_record(2)]


def test_a_segment_is_given_up_only_when_nothing_is_behind_what_was_read(journal: Journal) -> None:
    """A call that came meanwhile is still to be read."""
    journal.append(a_record(1), NOON)
    (segment,) = journal.segments()
    consumed = segment.stat().st_size
    journal.append(a_record(2), NOON)

    assert not journal.give_up(segment, consumed)
    assert journal.give_up(segment, segment.stat().st_size)
    assert (journal.segments(), segment.exists()) == ([], False)
    journal.append(a_record(3), NOON)
    assert journal.segments() != [segment]


def test_a_damaged_segment_is_kept_under_another_name(path: Path, journal: Journal) -> None:
    """A person can look at what could not be read; and it is not read again."""
    journal.append(a_record(), NOON)
    (segment,) = journal.segments()
    journal.report(segment, "of a test")

    assert journal.give_up(segment, segment.stat().st_size)

    assert segments_of(path) == []
    (aside,) = path.parent.glob("damaged-*")
    assert aside.name.endswith(segment.name)


def test_what_cannot_be_read_at_all_is_put_aside(
    path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory under the name of a segment, or a file of somebody else."""
    segment = path.with_name(f"{path.stem}-0000000000000001.journal")
    segment.mkdir()

    with pytest.raises(OutboxDamagedError, match="Is a directory") as error:
        read_lines(segment, 0)
    journal.put_aside(segment, error.value)

    (aside,) = path.parent.glob("damaged-*")
    assert aside.name in caplog.text


def test_a_file_that_cannot_be_read_for_a_moment_is_not_damaged(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files say nothing about this one."""
    journal.append(a_record(), NOON)
    (segment,) = journal.segments()

    def too_many(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(type(segment), "open", too_many)
        with pytest.raises(OutboxError, match="Too many open files") as error:
            read_lines(segment, 0)

    assert not isinstance(error.value, OutboxDamagedError)


def test_full_durability_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service acknowledges what a power failure cannot take back; an application does not wait."""
    waited: list[int] = []
    monkeypatch.setattr(os, "fdatasync", waited.append)
    for is_synchronous in (False, True):
        journal = Journal(path, is_synchronous=is_synchronous)
        journal.append(a_record(), NOON)
        journal.close()

    assert len(waited) == 1


def test_what_a_full_disk_took_in_part_is_taken_back(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller keeps the call in memory; the next line must not be glued to a part of this one."""
    journal.append(a_record(1), NOON)
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:40]))
        with pytest.raises(OutboxError, match="only 40 of"):
            journal.append(a_record(2), NOON)
    journal.append(a_record(3), NOON)

    assert calls_in(path) == [a_record(1), a_record(3)]
    assert len(segments_of(path)) == 1


def test_a_part_that_cannot_be_taken_back_is_left_behind_in_a_segment_of_its_own(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next call, which was acknowledged, could not be read."""
    write = os.write

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:40]))
        patched.setattr(os, "ftruncate", broken)
        with pytest.raises(OutboxError, match="Input/output error"):
            journal.append(a_record(1), NOON)
    journal.append(a_record(2), NOON)

    assert len(segments_of(path)) == 2
    assert calls_in(path) == [a_record(2)]


def test_a_disk_that_refuses_leaves_no_heap_of_empty_segments(path: Path, journal: Journal) -> None:
    """It may be full for hours, with a call every millisecond."""
    journal._descriptor, journal._current = os.open("/dev/full", os.O_WRONLY), path
    for _ in range(10):
        with pytest.raises(OutboxError, match="No space left on device"):
            journal.append(a_record(), NOON)

    assert segments_of(path) == []


def test_threads_append_whole_lines(path: Path, journal: Journal) -> None:
    """An application ends spans on all of them at once."""

    def work(name: int) -> None:
        for number in range(200):
            journal.append(a_record(1_000 * name + number), NOON)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(calls_in(path)) == sorted(
        a_record(1_000 * name + number) for name in range(4) for number in range(200)
    )


@pytest.mark.parametrize("bytes_taken", [0, 40, 10_000])
def test_a_call_that_ends_in_a_signal_handler_in_the_middle_of_an_append_is_whole(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, bytes_taken: int
) -> None:
    """It is the same thread: it cannot wait for itself, and a full disk must not let one tear the other."""
    write = os.write

    def interrupted(descriptor: int, line: bytes) -> int:
        written = write(descriptor, line[:bytes_taken]) if bytes_taken else 0
        monkeypatch.setattr(os, "write", write)
        os.kill(os.getpid(), signal.SIGUSR1)
        return written or write(descriptor, line)

    before = signal.signal(signal.SIGUSR1, lambda *_: journal.append(a_record(2), NOON))
    try:
        monkeypatch.setattr(os, "write", interrupted)
        if bytes_taken == 40:
            with pytest.raises(OutboxError):
                journal.append(a_record(1), NOON)
        else:
            journal.append(a_record(1), NOON)
    finally:
        signal.signal(signal.SIGUSR1, before)
    journal.append(a_record(3), NOON)

    expected = [a_record(2), a_record(3)] + ([] if bytes_taken == 40 else [a_record(1)])
    assert sorted(calls_in(path)) == sorted(expected)


def test_an_append_that_a_signal_handler_tore_out_of_the_middle_spoils_no_other(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time limit of a task queue raises anywhere."""
    write = os.write

    def torn_out(descriptor: int, line: bytes) -> int:
        write(descriptor, line[:40])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", torn_out)
        with pytest.raises(KeyboardInterrupt):
            journal.append(a_record(1), NOON)
    journal.append(a_record(2), NOON)

    assert calls_in(path) == [a_record(2)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_calls_that_are_recorded_together_are_read_one_by_one(journal: Journal, count: int) -> None:
    """With others before and behind them, as of one process."""
    together = [a_record(number) for number in range(count)]
    journal.append(a_record(8), NOON)
    journal.append_all(together, NOON + 1)
    journal.append(a_record(9), NOON + 2)

    (segment,) = journal.segments()

    assert calls_in(outbox_of(segment)) == [a_record(8), *together, a_record(9)]
    assert count_calls(segment, 0) == count + 2


def test_of_calls_that_are_recorded_together_a_part_is_never_read(journal: Journal) -> None:
    """Whoever is killed in the middle has acknowledged none of them; they come again, perhaps to another process."""
    together = [a_record(number) for number in range(3)]
    journal.append_all(together, NOON)
    (segment,) = journal.segments()
    whole = segment.read_bytes()

    for size in range(len(whole)):
        segment.write_bytes(whole[:size])
        assert calls_in(outbox_of(segment)) == [], size
    segment.write_bytes(whole)
    assert calls_in(outbox_of(segment)) == together


def test_a_segment_that_somebody_deletes_is_said_and_another_one_begun(
    path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """What cleans up old files would otherwise swallow every further call of the process."""
    journal.append(a_record(1), NOON)
    (segment,) = journal.segments()
    assert not journal.is_lost()
    segment.unlink()

    assert journal.is_lost()
    journal.report_lost()
    journal.append(a_record(2), NOON)

    assert calls_in(path) == [a_record(2)]
    assert f"{segment} has been deleted" in caplog.text
