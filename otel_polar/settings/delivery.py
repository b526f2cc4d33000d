"""Options about from disk to Polar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from otel_polar import converters
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DeliverySettings:
    """Options about from disk to Polar."""

    outbox_dir: Path | None = setting(
        None,
        variable="OTEL_POLAR_OUTBOX_DIR",
        unit="directory",
        about="Where calls wait on disk until Polar has them. Default: `$XDG_STATE_HOME/otel-polar`, else "
        "`~/.local/state/otel-polar`. Must outlive the process: in a container, a volume.",
        convert=converters.directory,
    )
    settle_s: float = setting(
        2.0,
        variable="OTEL_POLAR_SETTLE_S",
        unit="seconds, 0 to 3600",
        about="How long a call rests on disk before it may be sent.",
        convert=converters.number(0.0, 3_600.0),
    )
    linger_s: float = setting(
        1.0,
        variable="OTEL_POLAR_LINGER_S",
        unit="seconds, 0 to 3600",
        about="How long an incomplete batch waits for more calls.",
        convert=converters.number(0.0, 3_600.0),
    )
    request_timeout_s: float = setting(
        30.0,
        variable="OTEL_POLAR_REQUEST_TIMEOUT_S",
        unit="seconds, 0.1 to 600",
        about="How long one request to Polar may take.",
        convert=converters.number(0.1, 600.0),
    )
    requests_per_minute: float | None = setting(
        None,
        variable="OTEL_POLAR_REQUESTS_PER_MINUTE",
        unit="requests, 1 to 100000",
        about="Polar's budget of this process. Default: the organization's, 500 in production, 100 in the sandbox.",
        convert=converters.number(1.0, 100_000.0),
    )
    retention_days: float = setting(
        30.0,
        variable="OTEL_POLAR_RETENTION_DAYS",
        unit="days, 1 to 3650",
        about="How long sent, unattributed, unmetered and rejected calls stay in the ledger. Those that were never sent"
        " are only forgotten while Polar's clock confirms ours.",
        convert=converters.number(1.0, 3_650.0),
    )
    shutdown_timeout_s: float = setting(
        5.0,
        variable="OTEL_POLAR_SHUTDOWN_TIMEOUT_S",
        unit="seconds, 0 to 600",
        about="How long `shutdown` may spend on sending; what is left stays on disk.",
        convert=converters.number(0.0, 600.0),
    )
    ensure_customers: Literal["off", "hold"] = setting(
        "off",
        variable="OTEL_POLAR_ENSURE_CUSTOMERS",
        unit="`off` or `hold`",
        about="`hold`: events of your own ids of customers wait until Polar has a customer with that id, because those "
        "that come before are never billed. Needs the scope `customers:read`.",
        convert=converters.one_of("off", "hold"),
    )
