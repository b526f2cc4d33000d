"""Specifies what a forked child does with its parent's files after the parent's death."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.database import Database
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = ("CREATE TABLE rows (value)",)

PRELUDE = """
import os, pathlib, signal, subprocess, sys, time
from otel_polar.delivery.disk.database import Database
path = pathlib.Path(sys.argv[1])
def opened():
    return Database(path, durability="NORMAL", schema=("CREATE TABLE rows (value)",))
def write(database, name):
    for number in range(100):
        database.write("INSERT INTO rows VALUES (?)", (f"{name} {number}",))
def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)
"""

# Writes, forks, and is killed; its child outlives it.
PARENT = (
    PRELUDE
    + """
database = opened()
write(database, "parent")
parent = os.getpid()
if os.fork():
    be_killed()
while os.getppid() == parent:
    time.sleep(0.01)
"""
)

# Goes on with the file after the parent's death: once it ends in good order, and once not.
NEXT = (
    PRELUDE
    + """
database = opened()
write(database, sys.argv[2])
if sys.argv[2] == "killed":
    be_killed()
database.close()
"""
)

# The child goes on with it after these.
CHILD = (
    PARENT
    + """
for how in ("ended", "killed"):
    subprocess.run([sys.executable, "-c", sys.argv[2], str(path), how])
write(opened(), "child")
"""
)


def run(program: str, *arguments: str) -> None:
    """Run it, and return when its child has ended, too, which has the same output."""
    command = [sys.executable, "-c", program, *arguments]
    subprocess.run(command, check=False, stdout=subprocess.PIPE, env=unmeasured_environment())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox-1.db"


def test_a_child_that_ends_does_not_close_its_parents_file(path: Path) -> None:
    """Whoever goes on with the file would have it folded and deleted under their eyes."""
    run(PARENT, str(path))

    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def test_a_child_that_goes_on_with_its_parents_file_sees_what_others_have_written_since(path: Path) -> None:
    """SQLite would use the index that the parent had, and write over theirs."""
    run(CHILD, str(path), NEXT)

    database = Database(path, durability="NORMAL", schema=SCHEMA)
    rows = database.read("SELECT value FROM rows ORDER BY rowid")
    assert [value for (value,) in rows] == [
        f"{name} {number}" for name in ("parent", "ended", "killed", "child") for number in range(100)
    ]
    assert database.read("PRAGMA integrity_check") == [("ok",)]
    database.close()
