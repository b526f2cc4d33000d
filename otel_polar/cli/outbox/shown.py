"""A call of the outbox as a row of a table, and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_polar.cli.words import moment, usd, usd_plain

if TYPE_CHECKING:
    from otel_polar.delivery.looking.seen import SeenCall
    from otel_polar.delivery.looking.view import OutboxView

COLUMNS: Final = ("recorded", "state", "customer", "model", "tokens", "cost", "reason", "external id")
NUMBERS: Final = ("tokens", "cost")
JSON_KEYS: Final = (
    *("external_id", "state", "reason", "recorded_at", "started_at", "settled_at", "event_name"),
    *("external_customer_id", "customer_id", "member_id", "provider", "model", "input_tokens", "output_tokens"),
    *("cost_nanos", "cost_usd", "charge_nanos", "charge_usd", "trace_id", "span_id", "file"),
)
"""Of :func:`json_of`; the columns of a CSV file."""

_UNKNOWN: Final = "-"


def row_of(seen: SeenCall) -> tuple[str, ...]:
    """The cells of :data:`COLUMNS`."""
    tokens = [seen.input_tokens, seen.output_tokens]
    return (
        time_of(seen.recorded_at),
        seen.state.value,
        seen.customer or _UNKNOWN,
        what(seen),
        _UNKNOWN if None in tokens else " + ".join(f"{count:,}" for count in tokens),
        _UNKNOWN if seen.cost_nanos is None else usd(seen.cost_nanos),
        seen.reason or "",
        seen.external_id,
    )


def json_of(seen: SeenCall) -> dict[str, Any]:
    """Everything but the event: what is in the cells, and what has no room there."""
    told = {
        "state": seen.state.value,
        "recorded_at": iso(seen.recorded_at),
        "started_at": iso(seen.started_at),
        "settled_at": iso(seen.settled_at),
        "cost_usd": None if seen.cost_nanos is None else usd_plain(seen.cost_nanos),
        "charge_usd": None if seen.charge_nanos is None else usd_plain(seen.charge_nanos),
    }
    return {key: told[key] if key in told else getattr(seen, key) for key in JSON_KEYS}


def what(seen: SeenCall) -> str:
    """The provider and the model, or the name of the event."""
    names = [name for name in (seen.provider, seen.model) if name]
    return "/".join(names) or seen.event_name or _UNKNOWN


def time_of(unix_s: float) -> str:
    """A time for people; a damaged row may have any."""
    try:
        return moment(unix_s)
    except (ValueError, OverflowError, OSError):
        return f"{unix_s} s"


def iso(unix_s: float | None) -> str | None:
    """A time for programs, ISO 8601 in UTC; ``None`` of what is none."""
    if unix_s is None:
        return None
    try:
        return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def troubles_of(view: OutboxView) -> list[str]:
    """What could not be read at the last look, a line for each file."""
    return [f"{name}: {trouble}" for name, trouble in sorted(view.troubles.items())]
