"""What the other outbox files of a directory have settled, looked at while their owners live.

An application has billed a call under the id by which a replay finds it again; Polar would take it once only, under
that id. But Polar knows nothing of a span that was only another one of a call, nor of a call for which a person decided
that nobody pays: that is in the ledger of the process that saw it. So it is looked at; nothing is locked or written.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

# Not what is ready: its owner may die before it is sent, and then somebody has to. Nor what is held: more may be known
# of it here. Both have the same id here as there, so Polar takes one of them.
_SETTLED: Final = """
    SELECT external_id FROM events WHERE external_id IN (SELECT value FROM json_each(?))
    AND state IN ('sent', 'duplicate', 'discarded')"""
_BUSY_TIMEOUT_S: Final = 1.0


class Elsewhere:
    """The files of *directory* except those that this process has itself, which *own* tells. For one thread."""

    def __init__(self, directory: Path, own: Callable[[], Collection[Path | None]] = tuple) -> None:
        self._directory = directory
        self._own = own
        self._connections: dict[Path, sqlite3.Connection] = {}
        self.unreadable: set[str] = set()
        """Files that could not be looked at."""

    def settled(self, external_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are settled in another file. Never raises: what cannot be read is ``unreadable``."""
        if not external_ids:
            return set()
        asked = json.dumps(external_ids)
        return {external_id for path in self._others() for external_id in self._ask(path, asked)}

    def close(self) -> None:
        """Close the files."""
        while self._connections:
            self._connections.popitem()[1].close()

    def _others(self) -> list[Path]:
        paths = set(self._directory.glob("outbox-*.db")) - set(self._own())
        for gone in self._connections.keys() - paths:
            self._connections.pop(gone).close()
        return sorted(paths)

    def _ask(self, path: Path, asked: str) -> Iterator[str]:
        try:
            rows = self._connection(path).execute(_SETTLED, (asked,)).fetchall()
        except sqlite3.Error:
            self._connections.pop(path, None)
            # Or its rows have come over to another file a moment ago.
            with suppress(OSError):
                if path.exists():
                    self.unreadable.add(path.name)
            return
        yield from (str(row[0]) for row in rows)

    def _connection(self, path: Path) -> sqlite3.Connection:
        if path not in self._connections:
            self._connections[path] = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro",
                uri=True,
                isolation_level=None,
                cached_statements=0,
                check_same_thread=False,
                timeout=_BUSY_TIMEOUT_S,
            )
        return self._connections[path]
