"""A new outbox file is there as a whole, or not at all: one without content has lost what was in it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.in_use import opening
from otel_polar.delivery.disk.statements import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED: Final = ".new"
"""Ends the name of what becomes another file when it is whole."""


def make_file(path: Path) -> None:
    """Make an outbox file with its tables, readable for its owner only.

    Raises:
        OSError: if the directory cannot be written, or has such a file.
        sqlite3.Error: if it cannot be filled.
    """
    unfinished = path.with_name(f"{path.name}{UNFINISHED}")
    # Made here, not by SQLite, for its mode; SQLite gives the same one to the files beside it.
    os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC, mode=0o600))
    with opening(), closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        for number, statements in enumerate(SCHEMA, start=1):
            connection.executescript(f"BEGIN; {statements}; PRAGMA user_version = {number}; COMMIT")
    unfinished.rename(path)


def remove_unfinished(path: Path) -> None:
    """Remove what is left of a file, or of a copy of it, whose process died while making it. For the lock's owner."""
    for name in (UNFINISHED, f"{UNFINISHED}-journal", f"-wal{UNFINISHED}"):
        path.with_name(f"{path.name}{name}").unlink(missing_ok=True)
