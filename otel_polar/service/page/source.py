"""``Source``: everything the page is told of, and all of it that a service has to wire in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.metrics.telemetry import Telemetry
    from otel_polar.settings import Settings


def _nothing() -> Mapping[str, int]:
    return {}


def _is_ready() -> str | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What one pipeline tells, and the receivers in front of it.

    The functions are called from the page's own thread, every few seconds, and must not wait for anything long.
    """

    settings: Settings
    outboxes: Callable[[], Sequence[Outbox]]
    telemetry: Telemetry
    counters: Callable[[], Mapping[str, int]] = _nothing
    """Running totals of the receivers, by a name to be read by people, such as ``"requests over gRPC"``."""
    why_not_ready: Callable[[], str | None] = _is_ready
    """Why nothing can be recorded at the moment, in words; ``None`` if it can."""
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
