"""Which process owns which outbox file, and what becomes of files whose owner is gone.

::

    <outbox_dir>/<server>-<fingerprint of the token>/     0700
        outbox-3f9a1c2e.db             one process's outbox    0600
        outbox-3f9a1c2e-….journal      its calls that are not in the database yet
        outbox-3f9a1c2e.db.lock        held by that process; the operating system lets go of it when the process dies

No two processes share a file, so none ever waits for another. A process that starts takes over a file nobody holds, so
a restart goes on with the same ledger; further files without an owner are copied into its own and removed.

Servers and tokens have directories of their own because events must never reach another organization's Polar.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_polar.delivery.disk import beside
from otel_polar.delivery.disk.damage import (
    copy_log_aside,
    find_log_index,
    is_log_short,
    make_as_long_as_it_was,
    read_log_index,
)
from otel_polar.delivery.disk.filesystems import network_filesystem
from otel_polar.delivery.disk.journal import outbox_of, segments_of
from otel_polar.delivery.disk.locks import lock_path, try_lock
from otel_polar.delivery.disk.making import make_file, remove_unfinished
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.notices import logger
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

    from otel_polar.delivery.disk.database import Durability
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")
_FINGERPRINT_DIGITS: Final = 12
_SIDE_FILES: Final = ("-wal", "-shm")
NAMES_TRIED: Final = 100
"""For a new file; another name than the first is hardly ever needed."""


class OwnedOutbox:
    """An outbox file and the lock that makes it this process's."""

    def __init__(self, path: Path, outbox: Outbox, lock: BaseFileLock) -> None:
        self.path = path
        self.outbox = outbox
        self._lock = lock

    def release(self) -> None:
        """Close the file and let others have it."""
        self.outbox.close()
        self._lock.release()

    def remove(self) -> None:
        """Delete the file, whose calls have been copied elsewhere."""
        self._discard_journal()
        self.outbox.close()
        for side_file in _SIDE_FILES:
            self.path.with_name(self.path.name + side_file).unlink(missing_ok=True)
        # Before the lock is given back: without the file nobody adopts it, and whoever has opened the lock's file
        # already finds that out when they have the lock.
        self.path.unlink(missing_ok=True)
        lock_path(self.path).unlink(missing_ok=True)
        self._lock.release()

    def put_aside(self) -> str:
        """Rename the file, of which a part cannot be read, for a person to look at; how that went.

        Its journal has been copied elsewhere, as a whole.
        """
        self._discard_journal()
        with contextlib.suppress(OutboxError):
            self.outbox.close()
        said = _put_aside(self.path)
        self._lock.release()
        return said

    def _discard_journal(self) -> None:
        # A thread that was on its way to append something begins a segment that nobody has copied: it stays, and is
        # found like that of a process that died.
        if self.outbox.journal is not None:
            with contextlib.suppress(OutboxError):
                self.outbox.journal.discard()


class OutboxDirectory:
    """All outbox files for one Polar server and one access token."""

    def __init__(self, path: Path, notices: Notices, *, durability: Durability = "NORMAL") -> None:
        self.path = path
        self._notices = notices
        self._durability = durability

    @classmethod
    def of(cls, settings: Settings, notices: Notices, *, durability: Durability = "NORMAL") -> OutboxDirectory | None:
        """The one these settings name; ``None``, and said, if they name none."""
        if settings.outbox_dir is None or settings.access_token is None:
            logger.error(
                "no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set: calls are kept in memory only"
            )
            return None
        name = directory_name(settings.server, settings.base_url, settings.access_token)
        return cls(settings.outbox_dir / name, notices, durability=durability)

    def open_own(self) -> OwnedOutbox:
        """A file for this process: one without an owner if there is one, else a new one.

        Raises:
            OutboxError: if the directory or the file cannot be written.
        """
        try:
            self.make()
            self._warn_of_network()
            return next(self.orphans(), None) or self.create()
        except OutboxError:
            raise
        except Exception as error:
            # Of a file system without locks filelock tells in several ways, a warning that may be an error among them.
            raise OutboxError(f"outbox directory {self.path} cannot be used: {error}") from error

    def make(self) -> None:
        """Make the directory, if it is not there.

        Raises:
            OSError: if that cannot be.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _warn_of_network(self) -> None:
        if (kind := network_filesystem(self.path)) is not None:
            self._notices.warn(
                "network",
                "outbox_dir (OTEL_POLAR_OUTBOX_DIR) is %s, on a network file system (%s). Locks of files and SQLite's"
                " shared memory are not reliable there: two machines may take one file for theirs, and damage it. Set"
                " it to a directory on a disk of this machine",
                self.path.parent,
                kind,
            )

    def orphans(self) -> Iterator[OwnedOutbox]:
        """Files whose owner is gone, each now owned by this process.

        One that is damaged is put aside under another name, for a person to look at. That is said, and the search goes
        on with what its journal has, as it does when one cannot be opened.
        """
        paths = {*self.path.glob("outbox-*.db"), *map(outbox_of, self.path.glob("outbox-*-*.journal"))}
        # Of processes that were killed while they made or removed a file.
        paths |= {path.with_suffix("") for path in self.path.glob("outbox-*.db.lock")}
        for path in sorted(paths):
            try:
                lock = try_lock(path)
            except OSError as error:
                # Another user's, most likely; ours is beside it.
                self._notices.error(f"unusable:{path}", "outbox %s cannot be locked: %s", path, error)
                continue
            if lock is None:
                continue
            # Between the listing and the lock the last owner may have removed it, and the lock made its file anew.
            if not path.exists() and not segments_of(path):
                remove_unfinished(path)
                lock_path(path).unlink(missing_ok=True)
                lock.release()
                continue
            try:
                outbox = self._open_orphan(path)
            except (OutboxError, OSError) as error:
                self._notices.error(f"unusable:{path}", "%s", error)
                lock.release()
                continue
            if outbox is None:
                lock.release()
            else:
                yield OwnedOutbox(path, outbox, lock)

    def _open_orphan(self, path: Path) -> Outbox | None:
        try:
            return self._open_in_doubt(path)
        except OutboxDamagedError as error:
            self._notices.error(f"damaged:{path}", "%s; %s", error, _put_aside(path))
        # What its journal has is whole. Some of it may be on Polar already, which knows it again.
        return self._open(path) if segments_of(path) else None

    def _open_in_doubt(self, path: Path) -> Outbox:
        """Open the file of a process that may have died, and say what is missing."""
        remove_unfinished(path)
        log_before = read_log_index(path)
        if make_as_long_as_it_was(path):
            self._notices.error(f"short:{path}", "outbox %s has been truncated; what can be read of it goes on", path)
        outbox = self._open(path)
        if is_log_short(log_before, lambda: find_log_index(path, outbox.database)):
            self._notices.error(
                f"short log:{path}",
                "outbox %s is damaged: its write-ahead log lacks some of what was committed; %s, and the rest goes on",
                path,
                copy_log_aside(path),
            )
        return outbox

    def waiting_elsewhere(self) -> dict[Path, int]:
        """How many calls wait for another server or access token, by directory, in files without an owner.

        They cannot be sent from here: only a person knows whether they are meant for the same organization.
        """
        waiting: dict[Path, int] = {}
        for path in sorted(self.path.parent.glob("*-*/")):
            if path == self.path:
                continue
            for orphan in OutboxDirectory(path, self._notices, durability=self._durability).orphans():
                try:
                    waiting[path] = waiting.get(path, 0) + orphan.outbox.waiting()
                except OutboxError as error:
                    self._notices.error(f"unusable:{orphan.path}", "%s", error)
                finally:
                    orphan.release()
        return {path: count for path, count in waiting.items() if count}

    def doubted(self, settings: Settings, source: str) -> frozenset[str]:
        """The entries of the list of that *source* whose price a newer list has moved too far, and nobody accepted."""
        if not settings.catalog_update_hours:
            return frozenset()
        accepted = tuple(settings.catalog_accepted_moves)
        entries = beside.read_doubted(self.path, source)
        return frozenset(entry for entry in entries if not any(fnmatchcase(entry, pattern) for pattern in accepted))

    def is_used(self) -> bool:
        """Whether a process that lives has a file here."""
        for path in self.path.glob("outbox-*.db"):
            try:
                lock = try_lock(path)
            except OSError:
                continue
            if lock is None:
                return True
            lock.release()
        return False

    def create(self) -> OwnedOutbox:
        """A new file for this process.

        Raises:
            OSError: if the directory cannot be written.
            OutboxError: if the file cannot be used.
        """
        for _ in range(NAMES_TRIED):
            path = self.path / f"outbox-{secrets.token_hex(4)}.db"
            # Whoever tidies up may have a lock that was made just now for a moment, and takes it for one of nothing.
            lock = try_lock(path)
            if lock is None:
                continue
            if lock_path(path).exists():
                return OwnedOutbox(path, self._open(path), lock)
            lock.release()
        raise OutboxError(f"outbox directory {self.path} cannot be used: {NAMES_TRIED} new files were locked by others")

    def _open(self, path: Path) -> Outbox:
        if not path.exists():
            try:
                make_file(path)
            except sqlite3.Error as error:
                raise OutboxError(f"outbox {path} cannot be made: {error}") from error
        return Outbox(path, durability=self._durability)


def directory_name(server: str, base_url: str | None, access_token: str) -> str:
    """The name of the directory for one server and token, such as ``sandbox-5f2a…``; it keeps the token secret."""
    place = server if base_url is None else _UNSAFE.sub("-", urlsplit(base_url).netloc)
    identity = f"{base_url or server}\n{access_token}"
    return f"{place}-{sha256(identity.encode()).hexdigest()[:_FINGERPRINT_DIGITS]}"


def _put_aside(path: Path) -> str:
    aside = f"damaged-{secrets.token_hex(2)}-{path.name}"
    try:
        # The name no longer fits the pattern by which files are adopted.
        path.rename(path.with_name(aside))
        for side_file in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + side_file).rename(path.with_name(aside + side_file))
    except OSError as error:
        return f"it could not be put aside: {error}"
    return f"it was put aside as {aside}"
