"""Newer list prices, fetched in a thread of our own and looked at before they are believed.

genai-prices can fetch its lists itself, but then for the whole process and without a second look. Here the list that is
used belongs to this pipeline alone, and an entry that has moved further than ``catalog_max_factor`` from the installed
list is said in the log and has no price until ``catalog_accepted_moves`` names it: a slip of the unit in somebody's
list of an hour ago must not become a bill.

Source: genai-prices 0.2.3, ``UpdatePrices.fetch``, which does not touch the list of the process.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genai_prices.types import Provider

    from otel_polar.billing.catalog import changes
    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

HOUR_S: Final = 3_600.0
FIRST_FETCH_S: Final = 15.0
"""How long the first call that needs a list price waits for the newest list."""


class CatalogUpdate:
    """Fetches the lists every ``catalog_update_hours``. Made anew in a forked child."""

    def __init__(
        self,
        settings: Settings,
        *,
        notices: Notices,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._notices = notices
        self._monotonic = monotonic
        self._clock = clock
        self._due_at = monotonic()
        self._thread: threading.Thread | None = None
        self._fetched: tuple[Sequence[Provider], float] | None = None
        self._installed: Catalog | None = None

    def first(self, installed: Catalog) -> Catalog | None:
        """The newest lists, waited for; ``None`` if they cannot be had in time."""
        self._installed = installed
        self._start_if_due()
        if self._thread is not None:
            self._thread.join(FIRST_FETCH_S)
        return self._checked()

    def look(self, catalog: Catalog | None) -> Catalog | None:
        """Lists that have been fetched since; ``None`` if there are none. Starts fetching when it is time."""
        if catalog is None:
            # Nothing has needed a list price yet.
            return None
        newer = self._checked()
        self._start_if_due()
        return newer

    def _start_if_due(self) -> None:
        is_running = self._thread is not None and self._thread.is_alive()
        if is_running or self._monotonic() < self._due_at:
            return
        self._due_at = self._monotonic() + self._settings.catalog_update_hours * HOUR_S
        self._thread = threading.Thread(target=self._fetch, name="otel-polar-catalog", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._notices.warn("catalog", "list prices cannot be fetched (%s)", error)

    def _fetch(self) -> None:
        try:
            # Imported here: it is slow, and needed by those who ask for it only.
            from genai_prices.update_prices import DEFAULT_UPDATE_URL, UpdatePrices  # noqa: PLC0415 - see above
            from opentelemetry import context  # noqa: PLC0415 - see above
            from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # noqa: PLC0415 - see above

            # Our own requests must not become spans of the application.
            context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003 - its own key
            snapshot = UpdatePrices(url=self._settings.catalog_url or DEFAULT_UPDATE_URL).fetch()
            self._fetched = None if snapshot is None else (snapshot.providers, self._clock())
        except Exception as error:  # noqa: BLE001 - whatever the network or the list does
            self._notices.warn("catalog", "list prices cannot be fetched (%s); those before go on", describe(error))
        else:
            self._notices.over("catalog", "list prices can be fetched again")

    def _checked(self) -> Catalog | None:
        installed, fetched = self._installed, self._fetched
        if installed is None or fetched is None:
            return None
        self._fetched = None
        from otel_polar.billing.catalog import changes  # noqa: PLC0415 - with genai-prices, which is imported lazily

        providers, at = fetched
        moment = datetime.fromtimestamp(at, tz=UTC)
        factor = self._settings.catalog_max_factor
        try:
            moves = changes.moves(installed.providers, providers, at=moment, max_factor=factor)
            newer = installed.with_lists(
                providers,
                source=f"{installed.source}, fetched {moment:%Y-%m-%dT%H:%MZ}",
                doubted=self._not_accepted(moves),
            )
        except Exception as error:  # noqa: BLE001 - a list of whatever content
            words = str(error) if isinstance(error, changes.UnbelievableListError) else describe(error)
            self._notices.error("catalog list", "the list prices that were fetched are not used: %s", words)
            return None
        self._notices.over("catalog list", "the list prices that are fetched are used again")
        self._say(moves)
        return newer

    def _not_accepted(self, moves: Sequence[changes.Move]) -> frozenset[str]:
        accepted = tuple(self._settings.catalog_accepted_moves)
        entries = {move.entry for move in moves}
        return frozenset(entry for entry in entries if not any(fnmatchcase(entry, pattern) for pattern in accepted))

    def _say(self, moves: Sequence[changes.Move]) -> None:
        doubted = self._not_accepted(moves)
        shown = [str(move) for move in moves if move.entry in doubted]
        if not shown:
            return
        listed = "; ".join(shown[:MAX_SHOWN]) + ("; …" if len(shown) > MAX_SHOWN else "")
        self._notices.error(
            f"catalog moves:{listed}",
            "%d list prices moved by more than a factor of %s, and calls to these models are held as unpriced: %s."
            " Put them on a rate card, or accept them (catalog_accepted_moves, OTEL_POLAR_CATALOG_ACCEPTED_MOVES)",
            len(doubted),
            self._settings.catalog_max_factor,
            listed,
        )


MAX_SHOWN: Final = 20
