"""An event from the future: its time was written when the clock was ahead, and Polar refuses it until then.

That may be years. Polar stores nothing of what it refuses, so such an event may still get another time: the one at
which Polar refused it, because the call was certainly made before.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from otel_polar.billing.event import event_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.delivery.disk.rows import Entry

MAX_EARLY_S: Final = 60.0
"""An event that is further ahead of Polar's clock does not wait until it is due."""


def redated(entries: Sequence[Entry], polar_now: float) -> dict[int, str]:
    """New bodies, by seq, for those that are too far ahead of Polar's clock (Unix seconds)."""
    bodies = {}
    for entry in entries:
        try:
            event = json.loads(entry.body)
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
        except (ValueError, KeyError, TypeError):
            # It was damaged on disk: Polar says what it does not like about it.
            continue
        if at > polar_now + MAX_EARLY_S:
            event["timestamp"] = event_timestamp(int(at * 1_000_000_000), polar_now)
            bodies[entry.seq] = json.dumps(event, ensure_ascii=True, separators=(",", ":"))
    return bodies
