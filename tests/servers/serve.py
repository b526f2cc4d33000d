"""``otel-polar serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

from tests.servers.child import HOST, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOKEN: Final = "polar_oat_behind_a_collector"
COMMAND: Final = [sys.executable, "-m", "otel_polar", "serve"]

_LISTENS: Final = re.compile(
    rf"otel-polar serve: OTLP/gRPC on {re.escape(HOST)}:(\d+), OTLP/HTTP on https?://{re.escape(HOST)}:(\d+) .*"
)


class Serve(Child):
    """One replica, on ports that it keeps, with its outbox in *directory*.

    Args:
        directory: where its outbox is.
        polar: the address of its Polar.
        environment: more of its settings.
        options: more of its command line.
    """

    def __init__(
        self,
        directory: Path,
        polar: str,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        name: str = "otel-polar serve",
    ) -> None:
        self.grpc_port, self.http_port = free_port(), free_port()
        ports = [f"--grpc-port={self.grpc_port}", f"--http-port={self.http_port}"]
        settings = {
            "POLAR_ACCESS_TOKEN": TOKEN,
            "POLAR_BASE_URL": polar,
            "OTEL_POLAR_OUTBOX_DIR": str(directory / "outbox"),
            "OTEL_POLAR_TAGS": "call",
            "OTEL_POLAR_SETTLE_S": "0.5",
            "OTEL_POLAR_LINGER_S": "0.05",
            "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000",
            "OTEL_POLAR_REQUEST_TIMEOUT_S": "2",
            "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "10",
        }
        # What a test does not kill tells what of it has run.
        measured = {key: value for key, value in os.environ.items() if key.startswith("COV")}
        super().__init__(name, [*COMMAND, *ports, *options], {**measured, **settings, **(environment or {})})

    def is_ready(self) -> bool:
        """It says so, with its ports."""
        lines = list(self.lines[self.first_of_life :])
        found = next((found for line in lines if (found := _LISTENS.fullmatch(line))), None)
        if found is None:
            return False
        assert (int(found[1]), int(found[2])) == (self.grpc_port, self.http_port)
        return True
