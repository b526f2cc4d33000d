"""Specifies where the calls of a process lie: on disk, in memory meanwhile, and never twice in between."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk import room as disk_room
from otel_polar.delivery.disk import storage as storage_module
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.storage import Storage
from otel_polar.delivery.notices import Notices
from otel_polar.errors import OutboxDamagedError, OutboxError
from tests.delivery.support import NOON, a_record, damage_last_page, full_disk, ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    MakeStorage: TypeAlias = Callable[[OutboxDirectory | None], Storage]


@pytest.fixture
def directory(tmp_path: Path) -> OutboxDirectory:
    return OutboxDirectory(tmp_path / "sandbox-aaaaaaaaaaaa", Notices())


@pytest.fixture
def make_storage() -> Iterator[MakeStorage]:
    """Storages that are closed after the test."""
    made: list[Storage] = []

    def make(directory: OutboxDirectory | None) -> Storage:
        made.append(Storage(directory, notices=Notices(), counts=Counter()))
        return made[-1]

    yield make
    for storage in made:
        for outbox in storage.outboxes:
            outbox.close()


def problem_of(storage: Storage) -> str | None:
    """What it says now."""
    return storage.problem


def an_orphan(directory: OutboxDirectory, name: str, count: int) -> Path:
    """A file that a dead process left, with so many calls."""
    directory.path.mkdir(exist_ok=True)
    path = directory.path / f"outbox-{name}.db"
    outbox = Outbox(path)
    for number in range(count):
        outbox.record(a_record(number), NOON)
    outbox.take_in()
    outbox.close()
    return path


def test_calls_kept_in_memory_move_to_the_directory_when_it_can_be_written(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A volume is mounted late, and from then on nothing depends on the process any more."""
    directory.path.touch()
    storage = make_storage(directory)
    storage.record(a_record(1), NOON)
    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (0, 1)

    directory.path.unlink()
    storage.tend()

    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (1, 0)
    assert "can be written again" in caplog.text


def test_calls_kept_in_memory_while_the_file_refused_them_move_to_it(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
) -> None:
    """A full disk that has room again."""
    storage = make_storage(directory)
    storage.open()
    with full_disk(storage.outboxes[0]):
        storage.record(a_record(1), NOON)
        assert storage.waiting_in_memory() == 1

    storage.tend()

    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (1, 0)


def test_a_disk_that_is_full_again_is_said_again(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first time was mended; nobody would look a second time without a word."""
    storage = make_storage(directory)
    storage.open()
    file = storage.outboxes[0]

    for number in range(2):
        with full_disk(file):
            storage.record(a_record(2 * number), NOON)
        storage.record(a_record(2 * number + 1), NOON)

    assert caplog.text.count("Calls are kept in memory") == 2
    assert caplog.text.count("can be written again") == 2


def test_a_disk_that_stays_full_is_said_once_even_if_what_memory_holds_gets_past_the_journal(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Otherwise every call of a long outage would be an error and its end."""
    storage = make_storage(directory)
    storage.open()
    with full_disk(storage.outboxes[0]):
        for number in range(3):
            storage.record(a_record(number), NOON)
            storage.tend()

    assert storage.waiting_on_disk() == 3
    assert caplog.text.count("Calls are kept in memory") == 1
    assert "can be written again" not in caplog.text


def test_a_call_that_ends_while_this_thread_opens_the_file_is_recorded_after_it(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal or a finalizer may end a span anywhere; waiting for the lock would be waiting for itself."""
    storage = make_storage(directory)
    open_own = directory.open_own

    def interrupted() -> object:
        storage.record(a_record(1), NOON)
        assert storage.waiting_in_memory() == 1
        return open_own()

    monkeypatch.setattr(directory, "open_own", interrupted)

    storage.open()

    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (1, 0)


def test_an_opening_that_is_interrupted_is_tried_again(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A time limit that a signal handler raises must not leave the calls of the process without a file."""
    storage = make_storage(directory)
    with monkeypatch.context() as patched:
        patched.setattr(directory, "open_own", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            storage.open()

    storage.record(a_record(1), NOON)

    assert storage.waiting_on_disk() == 1


def test_without_a_directory_calls_are_kept_in_memory(make_storage: MakeStorage) -> None:
    """They are delivered from there."""
    storage = make_storage(None)

    storage.record(a_record(1), NOON)
    storage.tend()

    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (0, 1)


def test_a_damaged_file_does_not_keep_the_others_from_being_adopted(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It sorts first, and every start would stop at it."""
    storage = make_storage(directory)
    storage.open()
    damage_last_page(an_orphan(directory, "00000000", 100))
    an_orphan(directory, "00000001", 5)

    storage.tend()

    assert 5 < storage.waiting_on_disk() < 105
    assert len(list(directory.path.glob("damaged-*-outbox-00000000.db"))) == 1
    assert len(list(directory.path.glob("outbox-*.db"))) == 1
    assert "what can be read was taken over" in caplog.text


def test_a_file_that_turns_out_damaged_is_replaced_and_what_can_be_read_goes_on(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Otherwise every restart would choose the same file, and nothing would be billed any more."""
    damage_last_page(an_orphan(directory, "00000000", 100))
    storage = make_storage(directory)
    storage.open()

    storage.replace(storage.outboxes[0])
    storage.record(a_record(1_000), NOON)

    assert 1 < storage.waiting_on_disk() < 101
    assert [path.name for path in directory.path.glob("outbox-00000000.db")] == []
    assert "damaged" in caplog.text


def test_the_file_of_another_user_is_left_alone_and_said(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A command once run as root leaves a lock that nobody else may open; ours is beside it."""
    path = an_orphan(directory, "00000000", 1)

    def refused(_lock: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    storage = make_storage(directory)
    storage.open()
    with monkeypatch.context() as patched:
        patched.setattr("filelock.FileLock.acquire", refused)
        storage.tend()

    assert path.exists()
    assert "cannot be locked" in caplog.text


def test_a_file_system_without_locks_is_like_one_that_cannot_be_written(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two processes could share a file there; filelock says NotImplementedError, which is no OSError."""

    def unsupported(_lock: object, *_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", unsupported)
    storage = make_storage(directory)

    storage.record(a_record(1), NOON)

    assert storage.waiting_in_memory() == 1
    assert "support flock" in caplog.text


def test_what_waits_for_another_server_or_token_is_said_with_what_to_do(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A mistyped token leaves calls behind that nobody would ever look for."""
    other = OutboxDirectory(directory.path.with_name("sandbox-bbbbbbbbbbbb"), Notices())
    an_orphan(other, "00000000", 3)
    ended = OutboxDirectory(other.path, Notices()).create()
    ended.outbox.record(a_record(3), NOON)
    ended.release()

    make_storage(directory).tend()

    assert f"4 calls in {other.path}" in caplog.text
    assert f"move its outbox-* files into {directory.path}" in caplog.text
    for file in other.path.glob("outbox-*"):
        file.rename(directory.path / file.name)
    late = make_storage(directory)
    late.tend()
    assert sum(outbox.waiting() for outbox in late.outboxes) == 4


def test_what_is_held_is_counted_at_a_start(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was said once when it happened, which may be a month ago."""
    storage = make_storage(directory)
    storage.open()
    (outbox,) = storage.outboxes
    ready(outbox, range(5))
    for seq, state in enumerate((State.REJECTED, State.UNMETERED, State.UNMETERED, State.SENT), start=1):
        outbox.database.write("UPDATE events SET state = ? WHERE seq = ?", (state.value, seq))

    storage.tend()

    assert "held or rejected since earlier: 2 unmetered, 1 rejected" in caplog.text


def test_a_call_that_neither_disk_nor_memory_takes_is_counted(
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It must not vanish silently, and its end must be said, too."""
    storage = make_storage(None)

    def full(*_: object) -> None:
        raise OutboxError("full")

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "record", full)
        storage.record(a_record(1), NOON)
    storage.record(a_record(2), NOON)

    assert storage._counts["lost"] == 1
    assert "MODEL CALLS ARE LOST" in caplog.text
    assert "1 were lost" in caplog.text


def test_an_orphan_is_left_for_later_while_our_own_file_cannot_be_written(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is copied nowhere must not be removed."""
    storage = make_storage(directory)
    storage.open()
    (file,) = storage.outboxes
    path = an_orphan(directory, "00000000", 3)
    file.database.write("ALTER TABLE intake RENAME TO full", ())

    storage.tend()
    assert path.exists()
    assert "cannot be looked after" in caplog.text

    file.database.write("ALTER TABLE full RENAME TO intake", ())
    storage.tend()
    assert storage.waiting_on_disk() == 3
    assert not path.exists()


def test_our_own_file_is_replaced_when_it_turns_out_damaged_in_use(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
) -> None:
    """What is held is tried again while the process lives."""
    path = an_orphan(directory, "00000000", 0)
    outbox = Outbox(path)
    ready(outbox, range(200))
    outbox.database.write("UPDATE events SET state = ?", (State.UNPRICED.value,))
    outbox.close()
    damage_last_page(path)
    storage = make_storage(directory)
    storage.open()
    (own,) = storage.outboxes

    with pytest.raises(OutboxDamagedError):
        own.reconsider(limit=200)
    storage.replace(own)

    assert not path.exists()
    assert len(list(directory.path.glob("damaged-*.db"))) == 1
    (file,) = storage.outboxes
    assert 0 < sum(file.counts().values()) < 200


def test_a_damaged_file_that_cannot_be_replaced_stays(
    directory: OutboxDirectory,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A disk that breaks often takes no new file either."""
    path = an_orphan(directory, "00000000", 3)
    storage = make_storage(directory)
    storage.open()

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory, "create", full)
    storage.replace(storage.outboxes[0])

    assert path.exists()
    assert storage.waiting_on_disk() == 3
    assert "cannot be replaced" in caplog.text


def test_what_is_committed_is_on_disk_or_refused_and_never_in_memory(
    directory: OutboxDirectory, make_storage: MakeStorage
) -> None:
    """Whoever sent it keeps it, as long as it is refused."""
    storage = make_storage(directory)
    storage.commit([a_record(1), a_record(2)], NOON)
    assert storage.waiting_on_disk() == 2
    assert problem_of(storage) is None

    with full_disk(storage.outboxes[0]), pytest.raises(OutboxError):
        storage.commit([a_record(3)], NOON)

    assert (storage.waiting_on_disk(), storage.waiting_in_memory()) == (2, 0)
    assert problem_of(storage) is not None
    storage.commit([a_record(3)], NOON)
    assert storage.waiting_on_disk() == 3
    assert problem_of(storage) is None


def test_nothing_is_committed_without_a_directory_and_it_is_tried_again(
    directory: OutboxDirectory, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that is mounted late is used as soon as it is there."""
    monkeypatch.setattr(storage_module, "TRY_AGAIN_S", 0.0)
    directory.path.touch()
    storage = make_storage(directory)
    for _ in range(2):
        with pytest.raises(OutboxError, match="there is no outbox"):
            storage.commit([a_record(1)], NOON)
    assert "there is no outbox" in str(problem_of(storage))

    directory.path.unlink()
    storage.commit([a_record(1)], NOON)

    assert storage.waiting_on_disk() == 1


def test_some_of_a_disk_is_left_free_for_what_was_taken(
    directory: OutboxDirectory, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nothing could be sent any more until a person makes room."""
    storage = make_storage(directory)
    storage.commit([a_record(1)], NOON)
    monkeypatch.setattr(disk_room, "KEPT_FREE_BYTES", 2**62)

    with pytest.raises(OutboxError, match="bytes are free on its disk"):
        storage.commit([a_record(2)], NOON)


def test_a_directory_that_somebody_deletes_is_made_again_with_what_was_in_it(
    directory: OutboxDirectory, make_storage: MakeStorage
) -> None:
    """A clean-up that goes too far must not stop billing until somebody starts the process again."""
    storage = make_storage(directory)
    storage.commit([a_record(1)], NOON)
    storage.outboxes[0].take_in()
    shutil.rmtree(directory.path)

    storage.tend()
    storage.commit([a_record(2)], NOON)

    assert storage.waiting_on_disk() == 2
    assert problem_of(storage) is None
