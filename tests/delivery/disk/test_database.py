"""Specifies the one SQLite connection that all threads share."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.database import Database
from otel_polar.errors import OutboxDamagedError, OutboxError
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = ("CREATE TABLE rows (value)",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox-1.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(path, durability="NORMAL", schema=SCHEMA)
    yield opened
    opened.close()


def values(database: Database) -> list[object]:
    return [row[0] for row in database.read("SELECT value FROM rows ORDER BY rowid")]


def test_a_write_is_committed_when_it_returns(database: Database, path: Path) -> None:
    """Another connection sees it, so the death of this process cannot take it back."""
    database.write("INSERT INTO rows VALUES (?)", (1,))

    with sqlite3.connect(path) as other:
        assert other.execute("SELECT value FROM rows").fetchall() == [(1,)]
    other.close()


def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    """Half a settlement would lose or double events."""
    with pytest.raises(RuntimeError, match="in the middle"), database.transaction() as transaction:
        transaction.run("INSERT INTO rows VALUES (1)")
        raise RuntimeError("in the middle")

    assert values(database) == []


def test_an_error_of_sqlite_names_the_file(database: Database, path: Path) -> None:
    """Whoever reads the log must know which disk to look at."""
    with pytest.raises(OutboxError, match=str(path)):
        database.write("INSERT INTO nowhere VALUES (?)", (1,))
    with pytest.raises(OutboxError, match=str(path)), database.transaction() as transaction:
        transaction.run("INSERT INTO nowhere VALUES (1)")


def test_the_lock_is_free_after_an_error(database: Database) -> None:
    """A full disk must not stop the application at its next call."""
    with pytest.raises(OutboxError):
        database.write("INSERT INTO nowhere VALUES (?)", (1,))

    database.write("INSERT INTO rows VALUES (?)", (2,))

    assert values(database) == [2]


def test_a_write_from_within_a_transaction_of_the_same_thread_is_done_after_it(database: Database) -> None:
    """A finalizer that ends a span while its thread holds the lock must neither wait for itself nor be lost."""
    with database.transaction() as transaction:
        transaction.run("INSERT INTO rows VALUES ('transaction')")
        database.write("INSERT INTO rows VALUES (?)", ("finalizer",))

    assert values(database) == ["transaction", "finalizer"]


def test_a_write_put_aside_survives_the_rollback_around_it(database: Database) -> None:
    """The finalizer's call has nothing to do with the transaction it interrupted."""
    with pytest.raises(RuntimeError), database.transaction() as transaction:
        transaction.run("INSERT INTO rows VALUES ('transaction')")
        database.write("INSERT INTO rows VALUES (?)", ("finalizer",))
        raise RuntimeError

    assert values(database) == ["finalizer"]


def test_threads_take_turns_and_lose_nothing(database: Database) -> None:
    """Every thread of an application ends spans through this one connection."""

    def write(name: int) -> None:
        for number in range(200):
            database.write("INSERT INTO rows VALUES (?)", (name * 1_000 + number,))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(values(database))) == 8 * 200


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    """After a rollback of the application, money recorded by the newer version must still be there."""
    Database(path, durability="NORMAL", schema=(*SCHEMA, "CREATE TABLE more (value)")).close()
    before = path.read_bytes()

    with pytest.raises(OutboxError, match="newer otel-polar") as raised:
        Database(path, durability="NORMAL", schema=SCHEMA)

    assert not isinstance(raised.value, OutboxDamagedError)
    assert path.read_bytes() == before


def test_a_file_of_an_older_version_is_brought_up_to_date(path: Path) -> None:
    """An upgrade must find what was recorded before it."""
    old = Database(path, durability="NORMAL", schema=SCHEMA)
    old.write("INSERT INTO rows VALUES (?)", ("kept",))
    old.close()

    new = Database(path, durability="NORMAL", schema=(*SCHEMA, "ALTER TABLE rows ADD COLUMN more"))

    assert new.read("SELECT value, more FROM rows") == [("kept", None)]
    new.close()


def test_a_file_that_is_no_database_is_damaged(path: Path) -> None:
    """It is put aside by whoever opens the directory, not retried for ever."""
    path.write_bytes(b"these are not the bytes of an outbox" * 100)

    with pytest.raises(OutboxDamagedError, match="not a database"):
        Database(path, durability="NORMAL", schema=SCHEMA)


def test_a_database_in_memory_is_bounded() -> None:
    """It stands in for a disk that failed; the application's memory is not ours to fill."""
    database = Database(None, durability="NORMAL", schema=SCHEMA)
    megabyte = "x" * 1_000_000

    with pytest.raises(OutboxError, match="full"):
        for _ in range(100):
            database.write("INSERT INTO rows VALUES (?)", (megabyte,))

    assert 60 <= len(values(database)) <= 67
    database.close()


def test_a_checkpoint_folds_a_grown_log_into_the_file(database: Database, path: Path) -> None:
    """Without automatic checkpoints the log would grow for ever; with them they would run in a caller's commit."""
    for _ in range(6):
        database.write("INSERT INTO rows VALUES (?)", ("x" * 1_000_000,))
    assert path.stat().st_size < 1_000_000

    database.checkpoint()

    assert path.stat().st_size > 6_000_000


def test_a_handler_that_raises_in_the_middle_leaves_the_database_usable(path: Path) -> None:
    """Time limits are raised by signal handlers, at any instruction; a lock left taken would stop every thread."""
    # In a process of its own, without a measurement of coverage: that one's lock does not survive this.
    done = subprocess.run(
        [sys.executable, "-m", "tests.delivery.interrupted", str(path)],
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    interrupted, last = done.stdout.split()
    assert int(interrupted) > 0
    assert last == "another-thread"


def test_a_write_put_aside_is_done_though_nobody_writes_again(database: Database) -> None:
    """The delivery thread reads every half minute."""
    database._put_aside.append(("INSERT INTO rows VALUES (?)", ("left",)))

    values(database)

    assert values(database) == ["left"]


def test_a_write_put_aside_that_the_disk_refuses_stays_put_aside(database: Database) -> None:
    """It is tried again after the next use, and does not spoil that one."""
    database._put_aside.append(("INSERT INTO nowhere VALUES (?)", ("left",)))

    database.write("INSERT INTO rows VALUES (?)", (1,))

    assert values(database) == [1]
    assert len(database._put_aside) == 1


def test_a_row_that_is_not_utf_8_does_not_hide_the_others(database: Database) -> None:
    """A damaged row is one call; the rest is everybody else's."""
    database.write("INSERT INTO rows VALUES (CAST(x'FF41' AS TEXT))", ())
    database.write("INSERT INTO rows VALUES (?)", ("good",))

    assert values(database) == ["\udcffA", "good"]


def test_a_file_that_another_program_holds_is_not_waited_for(database: Database, path: Path) -> None:
    """Somebody looks into the file with a tool that locks it: the application's thread must not stand still."""
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(OutboxError, match="locked"):
            database.write("INSERT INTO rows VALUES (?)", (1,))
        assert time.monotonic() - began < 2.0
        other.execute("ROLLBACK")
    other.close()
