"""Specifies which process owns which outbox file."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.files import OutboxDirectory, directory_name
from otel_polar.delivery.disk.glance import glance
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.notices import Notices
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A process that takes a file for itself, records a call, says so, and waits to be killed.
OWNER = """
import sys, pathlib
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.notices import Notices
own = OutboxDirectory(pathlib.Path(sys.argv[1]), Notices()).open_own()
own.outbox.record("a call", 0.0)
print(own.outbox.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> OutboxDirectory:
    return OutboxDirectory(tmp_path / "sandbox-abc", Notices())


@pytest.fixture
def owner(directory: OutboxDirectory) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns a file of the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def test_a_file_and_its_directory_are_for_their_owner_only(directory: OutboxDirectory) -> None:
    """They hold customer ids."""
    own = directory.open_own()
    own.outbox.record("a call", 0.0)

    assert own.outbox.path is not None
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    for file in directory.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    own.release()


def test_two_that_run_at_once_have_a_file_each(directory: OutboxDirectory) -> None:
    """No process ever waits for another's commit."""
    first = directory.open_own()
    second = directory.open_own()

    assert first.outbox.path != second.outbox.path
    first.release()
    second.release()


def test_a_restart_goes_on_with_the_file_of_the_process_before(directory: OutboxDirectory) -> None:
    """Files do not pile up, and the ledger is continued."""
    first = directory.open_own()
    path = first.outbox.path
    first.release()

    second = directory.open_own()

    assert second.outbox.path == path
    second.release()


def test_the_file_of_a_living_process_is_left_alone(
    directory: OutboxDirectory,
    owner: subprocess.Popen[str],
) -> None:
    """Two processes with one file could both send it, and could corrupt it."""
    assert owner.poll() is None
    assert list(directory.orphans()) == []


def test_the_file_of_a_killed_process_is_adopted_with_what_it_recorded(
    directory: OutboxDirectory,
    owner: subprocess.Popen[str],
) -> None:
    """The operating system lets go of the lock; nobody has to clean up."""
    owner.kill()
    owner.wait()

    (orphan,) = directory.orphans()

    assert [recorded.call for recorded in orphan.outbox.recorded(limit=10)] == ["a call"]
    orphan.remove()
    assert list(directory.path.iterdir()) == []


def test_a_file_that_another_process_takes_over_first_leaves_no_lock_behind(directory: OutboxDirectory) -> None:
    """Processes that start together look through one directory: with every start a file would stay in it for ever."""
    owned = [directory.open_own(), directory.open_own()]
    for each in owned:
        each.release()
    looking = directory.orphans()
    first = next(looking)
    (other,) = OutboxDirectory(directory.path, Notices()).orphans()
    other.remove()

    assert list(looking) == []

    first.remove()
    assert list(directory.path.iterdir()) == []


@pytest.mark.parametrize("what", ["held", "removed"])
def test_a_new_lock_that_somebody_looks_at_just_then_costs_no_file(
    directory: OutboxDirectory, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Who tidies up takes it for the lock of nothing: a process that found it taken would keep its calls in memory."""
    directory.path.mkdir()
    names = iter(["aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(names))
    fresh = directory.path / "outbox-aaaaaaaa.db.lock"
    real_flock = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if fresh.exists() and os.fstat(descriptor).st_ino == fresh.stat().st_ino:
            if what == "held":
                raise BlockingIOError(errno.EWOULDBLOCK, "somebody has it")
            fresh.unlink()
        real_flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    owned = directory.create()

    assert owned.path.name == "outbox-bbbbbbbb.db"
    owned.remove()


def test_a_directory_in_which_every_new_file_is_locked_is_an_error(
    directory: OutboxDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system whose locks do not work: memory takes over, and no thread tries for ever."""
    directory.path.mkdir()
    monkeypatch.setattr("otel_polar.delivery.disk.files.try_lock", lambda _: None)

    with pytest.raises(OutboxError, match="100 new files were locked by others"):
        directory.create()


def test_a_damaged_file_is_put_aside_and_said(
    directory: OutboxDirectory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever is in it, a person can still look at it; and the application runs on with a new file."""
    directory.path.mkdir()
    damaged = directory.path / "outbox-00000000.db"
    damaged.write_bytes(b"garbage" * 1_000)

    own = directory.open_own()

    (aside,) = directory.path.glob("damaged-*")
    assert aside.read_bytes() == b"garbage" * 1_000
    assert aside.name in caplog.text
    assert own.outbox.path != damaged
    own.release()


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    """The reader must know which path to mend."""
    (tmp_path / "file").touch()
    directory = OutboxDirectory(tmp_path / "file" / "outbox", Notices())

    with pytest.raises(OutboxError, match="file/outbox cannot be used"):
        directory.open_own()


def test_a_file_that_its_owner_removed_meanwhile_is_not_made_again(directory: OutboxDirectory) -> None:
    """An empty file under an old name could be shared by two processes."""
    directory.path.mkdir()
    path = directory.path / "outbox-00000000.db"
    Outbox(path).close()
    listing = directory.orphans()
    orphan = next(listing)
    orphan.remove()

    assert list(listing) == []
    assert not path.exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(("sandbox", None, "a"), ("production", None, "a"), id="servers have separate data"),
        pytest.param(("sandbox", None, "a"), ("sandbox", None, "b"), id="tokens may be of two organizations"),
        pytest.param(
            ("sandbox", "http://127.0.0.1:1", "a"),
            ("sandbox", "http://127.0.0.1:2", "a"),
            id="addresses may be two Polars",
        ),
    ],
)
def test_events_for_different_polars_never_share_a_directory(
    first: tuple[str, str | None, str],
    second: tuple[str, str | None, str],
) -> None:
    """An event must not reach another organization."""
    assert directory_name(*first) != directory_name(*second)


def test_the_directory_does_not_give_the_token_away(caplog: pytest.LogCaptureFixture) -> None:
    """Paths appear in logs and in file listings."""
    caplog.set_level(logging.DEBUG)

    name = directory_name("sandbox", "http://127.0.0.1:8787", "polar_oat_secret")

    assert "secret" not in name
    assert name.startswith("127.0.0.1-8787-")


def test_calls_recorded_with_another_token_are_found(tmp_path: Path) -> None:
    """After a token was rotated, what still waited under the old one must not be forgotten."""
    old = OutboxDirectory(tmp_path / "sandbox-aaaaaaaaaaaa", Notices()).open_own()
    old.outbox.record("a call", 0.0)
    old.release()
    other_server = OutboxDirectory(tmp_path / "production-aaaaaaaaaaaa", Notices()).open_own()
    other_server.outbox.record("a call", 0.0)
    other_server.release()

    new = OutboxDirectory(tmp_path / "sandbox-bbbbbbbbbbbb", Notices())

    expected = {tmp_path / "production-aaaaaaaaaaaa": 1, tmp_path / "sandbox-aaaaaaaaaaaa": 1}
    assert new.waiting_elsewhere() == expected
    assert new.waiting_elsewhere() == expected


def test_a_file_that_nobody_holds_any_more_stays_this_process_s(directory: OutboxDirectory) -> None:
    """When an interpreter ends, locks may go before connections: two processes would have the file open."""
    owned = directory.create()
    del owned
    gc.collect()

    assert directory.is_used()


def test_what_a_process_left_that_was_killed_while_it_made_a_file_is_removed(directory: OutboxDirectory) -> None:
    """Nothing was in it; a file without content is another matter, for something may have been."""
    directory.path.mkdir()
    for name in ("outbox-1.db.lock", "outbox-1.db.new", "outbox-1.db.new-journal"):
        (directory.path / name).touch()

    assert list(directory.orphans()) == []
    assert list(directory.path.iterdir()) == []


def test_what_a_process_left_that_was_killed_while_it_copied_a_file_is_removed(directory: OutboxDirectory) -> None:
    """A forked child does not use the file its parent had open, but a copy; the file is whole until that is, too."""
    directory.path.mkdir()
    owned = directory.create()
    owned.release()
    for side_file in ("", "-wal"):
        owned.path.with_name(f"{owned.path.name}{side_file}.new").write_bytes(b"half of it")

    (orphan,) = directory.orphans()

    assert orphan.path == owned.path
    assert list(directory.path.glob("*.new")) == []
    orphan.release()


def test_a_file_that_cannot_be_made_is_an_error_that_names_it(
    directory: OutboxDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a disk that has no room for it: memory takes over, and says so."""

    def full(_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    directory.path.mkdir()

    with pytest.raises(OutboxError, match=r"outbox-.*\.db cannot be made: database or disk is full"):
        directory.create()


_DMS_BYTE = 128
"""Of the index of a write-ahead log: whoever has the file open holds it (SQLite, src/os_unix.c)."""


def locks_on(path: Path) -> set[int]:
    """The first bytes of the ranges that this process has locked of a file."""
    inode = path.stat().st_ino
    fields = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    return {
        int(each[6])
        for each in fields
        if each[1] == "POSIX" and int(each[4]) == os.getpid() and int(each[5].rpartition(":")[2]) == inode
    }


def leave_behind(path: Path) -> None:
    """A file whose process was killed, with something in its log."""
    script = "import os, pathlib, sys\nfrom otel_polar.delivery.disk.outbox import Outbox\n"
    script += "outbox = Outbox(pathlib.Path(sys.argv[1]))\n"
    script += "outbox.database.write('INSERT INTO intake (recorded_at, call) VALUES (1, 1)', ())\nos._exit(0)"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who has which lock")
def test_an_adopted_file_keeps_sqlites_locks(directory: OutboxDirectory) -> None:
    """Without them the next one to look takes the file for a dead process's, and empties the index under its owner."""
    leave_behind(directory.path / "outbox-00000000.db")
    own = directory.open_own()
    index = own.path.with_name(f"{own.path.name}-shm")

    assert _DMS_BYTE in locks_on(index)
    with glance(own.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() != (0,)
    assert _DMS_BYTE in locks_on(index)
    assert locks_on(own.path)
    own.release()


def test_a_file_of_whose_index_somebody_deprived_its_owner_is_not_looked_at_by_that_one(
    directory: OutboxDirectory,
) -> None:
    """It would be copied, and closing what was read would take the owner's locks."""
    own = directory.open_own()
    own.outbox.database.write("INSERT INTO intake (recorded_at, call) VALUES (1, 'x')", ())
    own.path.with_name(f"{own.path.name}-shm").unlink()

    with pytest.raises(OutboxError, match="removed"), glance(own.path):
        pass
    assert locks_on(own.path)
    own.release()


def test_a_file_that_is_looked_at_meanwhile_is_adopted_later(tmp_path: Path) -> None:
    """SQLite shares within a process what it has opened: it would be for reading only for ever."""
    path = tmp_path / "outbox-00000000.db"
    leave_behind(path)

    with glance(path), pytest.raises(OutboxError, match="readonly"):
        Outbox(path)
    Outbox(path).close()
