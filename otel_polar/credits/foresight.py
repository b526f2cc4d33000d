"""``Foresight``: which events recorded calls are going to be, before the delivery has decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.billing.call import ModelCall, external_id
from otel_polar.credits.items import Item
from otel_polar.delivery.deciding.decide import decide, decide_measurement
from otel_polar.delivery.disk.record import load_record
from otel_polar.delivery.disk.rows import Recorded
from otel_polar.delivery.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.credits.metering import MeterRule
    from otel_polar.settings import Settings


class Foresight:
    """Understands each call once, for as long as looks find it. For one thread at a time."""

    def __init__(self, rule: MeterRule, *, settings: Settings, price: Callable[[ModelCall], Price | Unpriced]) -> None:
        self._rule = rule
        self._settings = settings
        self._price = price
        self._known: dict[str, tuple[str, Item] | None] = {}
        self._before: dict[str, tuple[str, Item] | None] = {}

    def look_anew(self) -> None:
        """Another look begins: what it does not find is forgotten by the next."""
        self._before, self._known = self._known, {}

    def of(self, line: str, now: float) -> tuple[str, Item] | None:
        """The event of a recorded call by itself, with its id; ``None`` if it will be none for now."""
        known = self._before[line] if line in self._before else self._understand(line, now)
        self._known[line] = known
        return known

    def _understand(self, line: str, now: float) -> tuple[str, Item] | None:
        try:
            call = load_record(line)
        except ValueError:
            return None
        recorded, silent = Recorded(0, now, line), _SilentNotices()
        if isinstance(call, ModelCall):
            decided = decide(recorded, call, settings=self._settings, price=self._price, notices=silent, now=now)
            key = external_id(call)
        else:
            decided = decide_measurement(recorded, call, parent_id=None, notices=silent, now=now)
            key = call.external_id
        item = Item.of(decided.body, self._rule, sent_at=None)
        return None if item is None else (key, item)


class _SilentNotices(Notices):
    """What becomes of a call is said where it is decided, not where it is foreseen."""

    def warn(self, key: str, message: str, *arguments: object) -> None:
        pass

    def error(self, key: str, message: str, *arguments: object) -> None:
        pass
