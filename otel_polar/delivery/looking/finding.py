"""``Wanted``: which calls of the outbox somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.looking.seen import SeenCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Calls that fit everything that is given; what is ``None`` or empty asks for nothing.

    Args:
        states: any of these.
        customer: who pays, by your id or Polar's, exactly.
        model: the model that answered, else the one that was asked for; ``*`` stands for any text.
        reason: a part of the reason, whatever its case.
        external_ids: any of these.
        since: recorded at this time (Unix seconds) or later.
        until: recorded before this time (Unix seconds).
    """

    states: frozenset[State] = frozenset()
    customer: str | None = None
    model: str | None = None
    reason: str | None = None
    external_ids: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None

    @property
    def needs_contents(self) -> bool:
        """Whether it takes more of a call than its row says to know if it fits."""
        return self.customer is not None or self.model is not None

    def fits(self, seen: SeenCall) -> bool:
        """Whether *seen* is one of those."""
        return (
            (not self.states or seen.state in self.states)
            and (not self.external_ids or seen.external_id in self.external_ids)
            and (self.since is None or seen.recorded_at >= self.since)
            and (self.until is None or seen.recorded_at < self.until)
            and (self.reason is None or self.reason.casefold() in (seen.reason or "").casefold())
            and (self.customer is None or self.customer in {seen.customer_id, seen.external_customer_id})
            and (self.model is None or fnmatchcase(seen.model or "", self.model))
        )


ALL: Final = Wanted()
"""Every call there is."""
