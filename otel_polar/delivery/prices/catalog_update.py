"""Newer list prices, fetched in a thread of our own and looked at before they are believed.

genai-prices can fetch its lists itself, but then for the whole process and without a second look. Here the list that is
used belongs to this pipeline alone, and an entry that has moved further than ``catalog_max_factor`` from the installed
list is said in the log and has no price until ``catalog_accepted_moves`` names it: a slip of the unit in somebody's
list of an hour ago must not become a bill.

Source: genai-prices 0.2.3, ``UpdatePrices.fetch``, which does not touch the list of the process.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otel_polar.delivery.notices import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from genai_prices.types import Provider

    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.billing.catalog.changes import Move
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

_IMPORTED_BY_A_REQUEST: Final = ("ssl", "h11", "anyio", "httpcore2", "truststore", "httpx2._transports.default")
MAX_SHOWN: Final = 20
RETRY_S: Final = 600.0
HOUR_S: Final = 3_600.0
FIRST_FETCH_S: Final = 3.0
"""How long the first call that needs a list price waits for the newest list, at most half of ``shutdown_timeout_s``: a
job of a moment has to deliver it in that, too."""


class CatalogUpdate:
    """Fetches the lists every ``catalog_update_hours``, once one is needed. Made anew in a forked child."""

    def __init__(
        self,
        settings: Settings,
        *,
        notices: Notices,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        importing: AbstractContextManager[object],
        remember: Callable[[str, frozenset[str]], None] = lambda _source, _entries: None,
    ) -> None:
        """Fetch as *settings* say.

        Args:
            settings: how often, from where, and what to believe.
            notices: where to say what is wrong.
            monotonic: a clock for intervals.
            clock: the time in Unix seconds.
            importing: held while something is imported, so that a fork can wait for it.
            remember: told the entries whose price moved too far from the installed list, for the next process.
        """
        self._settings = settings
        self._notices = notices
        self._monotonic = monotonic
        self._clock = clock
        self._importing = importing
        self._remember = remember
        self._due_at = monotonic()
        self._thread: threading.Thread | None = None
        self._newer: SimpleQueue[Catalog] = SimpleQueue()

    def first(self, installed: Catalog) -> Catalog | None:
        """The newest lists, waited for; ``None`` if they cannot be had in time."""
        self._start_if_due(installed)
        if self._thread is not None:
            self._thread.join(min(FIRST_FETCH_S, self._settings.shutdown_timeout_s / 2))
        return self._taken()

    def look(self, installed: Catalog | None) -> Catalog | None:
        """Lists that have been fetched since; ``None`` if there are none. Starts fetching when it is time.

        Args:
            installed: the lists of this installation, ``None`` as long as nothing has needed a list price.
        """
        if installed is None:
            return None
        newer = self._taken()
        self._start_if_due(installed)
        return newer

    def _taken(self) -> Catalog | None:
        newer = None
        with suppress(Empty):
            while True:
                newer = self._newer.get_nowait()
        return newer

    def _start_if_due(self, installed: Catalog) -> None:
        is_running = self._thread is not None and self._thread.is_alive()
        if is_running or self._monotonic() < self._due_at:
            return
        self._due_at = self._monotonic() + max(1.0, self._settings.catalog_update_hours) * HOUR_S
        self._thread = threading.Thread(target=self._run, args=(installed,), name="otel-polar-catalog", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._notices.warn("catalog", "list prices cannot be fetched (%s)", error)

    def _run(self, installed: Catalog) -> None:
        # Our own requests must not become spans of the application.
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003 - OpenTelemetry's own key
        try:
            providers = self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever the network or the list does
            self._notices.warn("catalog", "list prices cannot be fetched (%s); those before go on", describe(error))
            self._due_at = min(self._due_at, self._monotonic() + RETRY_S)
            return
        self._notices.over("catalog", "list prices can be fetched again")
        try:
            self._newer.put(self._checked(installed, providers))
        except Exception as error:  # noqa: BLE001 - a list of whatever content
            from otel_polar.billing.catalog.changes import UnbelievableListError  # noqa: PLC0415 - imported by then

            words = _printable(str(error)) if isinstance(error, UnbelievableListError) else describe(error)
            self._notices.error("catalog list", "the list prices that were fetched are not used: %s", words)
        else:
            self._notices.over("catalog list", "the list prices that are fetched are used again")

    def _fetch(self) -> Sequence[Provider]:
        with self._importing:
            from genai_prices.types import _providers_from_raw  # noqa: PLC0415 - slow
            from genai_prices.update_prices import DEFAULT_UPDATE_URL, UpdatePrices  # noqa: PLC0415 - slow

            import_module("otel_polar.billing.catalog.changes")
            _providers_from_raw([])
            # The rest of what a request imports: a module that is half imported at a fork stays so in the child.
            for module in _IMPORTED_BY_A_REQUEST:
                with suppress(ImportError):
                    import_module(module)
        snapshot = UpdatePrices(url=self._settings.catalog_url or DEFAULT_UPDATE_URL).fetch()
        return [] if snapshot is None else snapshot.providers

    def _checked(self, installed: Catalog, providers: Sequence[Provider]) -> Catalog:
        from otel_polar.billing.catalog.changes import moves  # noqa: PLC0415 - with genai-prices, imported lazily

        now = datetime.fromtimestamp(self._clock(), tz=UTC)
        found = moves(installed.providers, providers, at=now, max_factor=self._settings.catalog_max_factor)
        doubted = self._not_accepted(found)
        self._say(found, doubted)
        self._remember(installed.source, doubted)
        source = f"{installed.source}, fetched {now:%Y-%m-%dT%H:%MZ}"
        return installed.with_lists(providers, source=source, doubted=doubted)

    def _not_accepted(self, moves: Sequence[Move]) -> frozenset[str]:
        accepted = tuple(self._settings.catalog_accepted_moves)
        entries = {move.entry for move in moves}
        return frozenset(entry for entry in entries if not any(fnmatchcase(entry, pattern) for pattern in accepted))

    def _say(self, moves: Sequence[Move], doubted: frozenset[str]) -> None:
        shown = [_printable(str(move)) for move in moves if move.entry in doubted]
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


def _printable(text: str) -> str:
    # Names in a list that was fetched are anybody's.
    return "".join(character if character.isprintable() else "?" for character in text)
