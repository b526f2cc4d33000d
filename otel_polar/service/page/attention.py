"""What needs a person now, in a sentence each: the first thing that the page says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.rows import State
from otel_polar.service.page.shown import shown_text

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD_S: Final = 900.0
"""As long as the README says to wait before an alert."""

_MINUTE_S: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """What it depends on. ``sizes`` are calls by state; ``oldest_age_s`` is of what is still to be sent."""

    why_not_ready: str | None = None
    polar_trouble: str | None = None
    waiting: int | None = None
    oldest_age_s: float | None = None
    sizes: Mapping[str, int]
    in_memory: int = 0
    lost: int = 0


def what_needs_attention(facts: Attention) -> list[dict[str, str]]:
    """Each with a ``level``, the worst first."""
    found: list[tuple[str, str]] = []
    if facts.why_not_ready is not None:
        found.append(("error", f"Nothing can be recorded: {shown_text(facts.why_not_ready, limit=300)}"))
    if facts.lost:
        found.append(("error", f"{facts.lost:,} calls are lost: neither disk nor memory took them"))
    if facts.in_memory:
        found.append(
            ("error", f"{facts.in_memory:,} calls are in memory only: the disk does not take them, see the log below")
        )
    if facts.polar_trouble is not None:
        found.append(("error", f"Polar does not take events: {facts.polar_trouble}"))
    if facts.waiting and facts.oldest_age_s is not None and facts.oldest_age_s > OLD_S:
        minutes = int(facts.oldest_age_s // _MINUTE_S)
        found.append(("warning", f"{facts.waiting:,} calls wait for Polar, the oldest for {minutes:,} minutes"))
    if unpriced := facts.sizes.get(State.UNPRICED, 0):
        found.append(("warning", f"{unpriced:,} calls are held for want of a price"))
    if unbuildable := facts.sizes.get(State.UNBUILDABLE, 0):
        found.append(("warning", f"{unbuildable:,} calls are held because their event cannot be built"))
    if rejected := facts.sizes.get(State.REJECTED, 0):
        found.append(("warning", f"Polar has refused {rejected:,} events for good"))
    return [{"level": level, "text": text} for level, text in found]
