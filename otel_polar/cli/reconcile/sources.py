"""Which ledgers: the outbox directory of the settings, and files that other machines exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.cli.directory import outbox_directory
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.reconciliation.ledger import rows_of_directory, rows_of_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_polar.reconciliation.ledger import LedgerRow
    from otel_polar.settings import Settings


class Ledgers:
    """All of them, read one after the other."""

    def __init__(self, settings: Settings, exports: Sequence[Path]) -> None:
        """Find them.

        Raises:
            ConfigError: if the settings name no directory, or none that is there, and there are no exports either.
        """
        directory = outbox_directory(settings, must_exist=not exports).path
        self._view = OutboxView(directory) if directory.exists() else None
        self._exports = exports
        self.names = [*([] if self._view is None else [str(directory)]), *map(str, exports)]
        """Where they are, in words."""

    def rows(self, since_unix_s: float) -> Iterator[LedgerRow]:
        """Every call that may have ended at that time or later.

        Raises:
            OtelPolarError: if an export is none.
            OSError: if it cannot be read.
        """
        if self._view is not None:
            yield from rows_of_directory(self._view, since_unix_s)
        for path in self._exports:
            yield from rows_of_export(path)

    @property
    def troubles(self) -> list[str]:
        """What could not be read, after all was."""
        if self._view is None:
            return []
        return [
            f"{name} could not be read as a whole: {trouble}" for name, trouble in sorted(self._view.troubles.items())
        ]
