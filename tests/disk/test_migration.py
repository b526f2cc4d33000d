"""Specifies what happens to the files of other versions: an older one is migrated, a newer one left alone."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from otel_polar.delivery.disk.files import OutboxDirectory, directory_name
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.notices import Notices
from tests.delivery.children import make_calls
from tests.delivery.support import NOON, TOKEN, a_body, a_record
from tests.disk.support import flush, sent_once

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from otel_polar.sandbox import SandboxServer
    from tests.disk.conftest import Start

# As it was before there was a journal: calls came into the intake at once.
VERSION_1 = """
    CREATE TABLE intake (seq INTEGER PRIMARY KEY, recorded_at REAL NOT NULL, call TEXT NOT NULL);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        external_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        reason TEXT,
        recorded_at REAL NOT NULL,
        due_at REAL NOT NULL,
        call TEXT,
        body TEXT,
        settled_at REAL);
    CREATE INDEX ready ON events (due_at) WHERE state = 'ready';
    CREATE INDEX held ON events (state, seq) WHERE state NOT IN ('ready', 'sent', 'duplicate');
    CREATE INDEX recalled ON events (seq) WHERE state = 'sent' AND call IS NOT NULL;
    PRAGMA user_version = 1"""
IN_LEDGER = [state for state in State if state is not State.RECORDED]


def of_version_1(path: Path) -> None:
    """The file of a process that was killed: two calls not decided yet, and one in every state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        for number in range(2):
            connection.execute("INSERT INTO intake (recorded_at, call) VALUES (?, ?)", (NOON, a_record(number)))
        for number, state in enumerate(IN_LEDGER, start=10):
            connection.execute(
                "INSERT INTO events (external_id, state, reason, recorded_at, due_at, call, body, settled_at)"
                " VALUES (?, ?, 'a reason', ?, ?, ?, ?, ?)",
                (f"event-{number}", state.value, NOON, NOON, a_record(number), a_body(number), NOON),
            )


def test_a_file_of_version_1_is_migrated_with_all_that_is_in_it(tmp_path: Path) -> None:
    """An upgrade in the middle of an outage of Polar."""
    path = tmp_path / "outbox-00000000.db"
    of_version_1(path)

    own = OutboxDirectory(tmp_path, Notices()).open_own()
    own.outbox.record(a_record(2), NOON)

    assert own.path == path
    assert [recorded.call for recorded in own.outbox.recorded(limit=10)] == [a_record(number) for number in range(3)]
    expected: dict[State, int] = {State.RECORDED: 3} | dict.fromkeys(IN_LEDGER, 1)
    assert own.outbox.counts() == expected
    assert own.outbox.database.read("PRAGMA user_version") == [(3,)]
    # When it was rejected was written by a clock that nobody had confirmed: its age counts from now on.
    (settled_at,) = own.outbox.database.read("SELECT settled_at FROM events WHERE state = 'rejected'")[0]
    assert settled_at is None
    own.release()


def test_calls_of_version_1_are_delivered_once(tmp_path: Path, polar_sandbox: SandboxServer, start: Start) -> None:
    """What waited is sent, what was sent is not sent again, what is held is tried again or stays."""
    of_version_1(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN) / "outbox-00000000.db")

    provider, processor = start(polar_sandbox.url, tmp_path)
    make_calls(provider, 1)
    flush(processor)

    # Two of the intake, the one that was ready, the unpriced and the unbuildable one, and the new one.
    assert sent_once(polar_sandbox) == 6


def test_a_file_of_a_newer_version_is_left_alone_and_said_and_billing_goes_on_beside_it(
    tmp_path: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """After a release was rolled back: what it wrote is for it to read when it comes again."""
    path = tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN) / "outbox-00000000.db"
    path.parent.mkdir()
    newer = Outbox(path)
    newer.record(a_record(1), NOON)
    newer.database.write("PRAGMA user_version = 99", ())
    newer.close()
    files = sorted(path.parent.glob("outbox-00000000*"))
    before = [file.read_bytes() for file in files]

    provider, processor = start(polar_sandbox.url, tmp_path)
    make_calls(provider, 3)
    flush(processor)

    assert sent_once(polar_sandbox) == 3
    assert [file.read_bytes() for file in files] == before
    (error,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert f"{path} was written by a newer otel-polar (version 99; this one knows 3)" in error
