"""What the other outbox files of a directory have of some calls, looked at while their owners live.

An application has billed a call under the id by which a replay finds it again; Polar would take it once only, under
that id. But Polar knows nothing of a span that was only another one of a call, nor of a call for which a person decided
that nobody pays, nor yet of one that a person has given to somebody else than the span names: that is in the ledger of
the process that saw it. So it is looked at; nothing is locked or written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from otel_polar.billing.merging import CONTRADICTION
from otel_polar.delivery.disk.glance import MovedError, glance
from otel_polar.delivery.disk.statements import is_assigned
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

# What is ready may not be overtaken by an event for somebody else, or at another price; its file is adopted if its
# owner dies. What is held for want of something may: more may be known of it here, and both have the same id. But not
# where a person has decided who pays, or has to.
_KNOWN: Final = f"""
    SELECT external_id, state IN ('ready', 'sent', 'duplicate', 'discarded') OR reason IS ? OR {is_assigned("call")}
    FROM events WHERE external_id IN (SELECT value FROM json_each(?))"""  # noqa: S608 - our own names
_TRIES: Final = 8


class Elsewhere:
    """The files of *directory* except those that this process has itself, which *own* tells. For one thread."""

    def __init__(self, directory: Path, own: Callable[[], Collection[Path | None]] = tuple) -> None:
        self._directory = directory
        self._own = own
        self.unreadable: set[str] = set()
        """Files that could not be looked at."""

    def known(self, external_ids: Sequence[str]) -> dict[str, bool]:
        """Those of the ids that are in another file, and whether that settles what becomes of them.

        Never raises: what cannot be read is ``unreadable``.
        """
        found: dict[str, bool] = {}
        if not external_ids:
            return found
        asked = json.dumps(external_ids)
        for _ in range(_TRIES):
            # Where a file has gone meanwhile, its rows may have come to one that had been looked at already.
            has_seen_all = True
            for path in self._others():
                has_seen_all &= self._ask(path, asked, found)
            if has_seen_all:
                break
        return found

    def _others(self) -> list[Path]:
        return sorted(set(self._directory.glob("outbox-*.db")) - set(self._own()))

    def _ask(self, path: Path, asked: str, found: dict[str, bool]) -> bool:
        """Whether the file was there to the end."""
        try:
            with glance(path) as connection:
                rows = connection.execute(_KNOWN, (CONTRADICTION.reason, asked)).fetchall()
        except MovedError:
            return False
        except OutboxError:
            self.unreadable.add(path.name)
            return True
        for external_id, is_settled in rows:
            found[str(external_id)] = found.get(str(external_id), False) or bool(is_settled)
        return True
