"""``SlowParts``: what a pipeline makes when it is first needed, on its delivery thread: importing it is slow."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from otel_polar.delivery.disk import beside
from otel_polar.delivery.prices.catalog_update import CatalogUpdate
from otel_polar.polar_api.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.delivery.disk.files import OutboxDirectory
    from otel_polar.delivery.metrics.telemetry import Telemetry
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.sending.sender import Sender
    from otel_polar.settings import Settings


class SlowParts:
    """For one process. Made anew in a forked child."""

    def __init__(
        self,
        settings: Settings,
        directory: OutboxDirectory | None,
        *,
        notices: Notices,
        clock: Callable[[], float],
    ) -> None:
        """*directory* is where the outbox files are, if there is one; *clock* gives Unix seconds."""
        self.importing = threading.RLock()
        """Held while something is imported. Whoever forks takes it first."""
        self._settings = settings
        self._directory = directory
        self._notices = notices
        self._clock = clock

    def make_catalog(self) -> Catalog:
        """The list prices of the installed genai-prices."""
        with self.importing:
            from otel_polar.billing.catalog.catalog import SOURCE, Catalog  # noqa: PLC0415 - slow: by the delivery thread only

            return Catalog(options=self._settings.catalog_options, doubted=self._doubted(SOURCE))

    def make_update(self) -> CatalogUpdate | None:
        """What fetches newer ones, if that is asked for."""
        if not self._settings.catalog_update_hours:
            return None
        return CatalogUpdate(
            self._settings,
            notices=self._notices,
            monotonic=time.monotonic,
            clock=self._clock,
            importing=self.importing,
            remember=self._remember_doubted,
        )

    def make_sender(self, telemetry: Telemetry) -> Sender:
        """What sends events to Polar, watched by *telemetry*."""
        with self.importing:
            from otel_polar.delivery.sending.asking import admission_of  # noqa: PLC0415 - slow: by the delivery thread only
            from otel_polar.delivery.sending.polar import PolarClient  # noqa: PLC0415 - slow: by the delivery thread only
            from otel_polar.delivery.sending.sender import Sender  # noqa: PLC0415 - slow: by the delivery thread only

            client = PolarClient(self._settings)
        budget = Budget(self._settings.budget_per_minute)
        return Sender(
            telemetry.watched(client),
            budget=budget,
            notices=self._notices,
            jitter=random.random,
            place=f"Polar at {client.address}",
            close=client.close,
            tally=telemetry.tally,
            polar_clock=client.clock,
            admission=admission_of(self._settings, self._directory, budget=budget, notices=self._notices),
        )

    def _doubted(self, source: str) -> frozenset[str]:
        directory = self._directory
        return frozenset() if directory is None else directory.doubted(self._settings, source)

    def _remember_doubted(self, source: str, entries: frozenset[str]) -> None:
        if self._directory is not None:
            beside.write_doubted(self._directory.path, source, entries)
