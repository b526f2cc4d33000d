"""A real Collector, with OTLP in front, a queue on disk, and whatever exporter a test is about."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from tests.servers.child import HOST, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.collector.application import Protocol
    from tests.servers.serve import Serve

_STORAGE: Final = "file_storage"

WILL_RETRY: Final = "Exporting failed. Will retry the request"
"""In its log, after an answer that can change."""

DROPPED: Final = "Exporting failed. Dropping data"
"""In its log, after one that cannot."""

NOTHING_IS_LOST: Final[Mapping[str, Any]] = {
    "retry_on_failure": {"enabled": True, "initial_interval": "50ms", "max_interval": "500ms", "max_elapsed_time": 0},
    "sending_queue": {"enabled": True, "storage": _STORAGE, "block_on_overflow": True, "queue_size": 10_000},
}
"""What an exporter needs so that every span is delivered at last: it never gives up, and its queue is on disk.

Intervals are for tests. There is no ``batch`` processor, which acknowledges what it has in memory only.
"""


def over_grpc(port: int, **more: Any) -> dict[str, Any]:
    """An exporter to a port without TLS."""
    settings = {"endpoint": f"{HOST}:{port}", "tls": {"insecure": True}, "compression": "gzip", "timeout": "3s"}
    return {"otlp_grpc": {**settings, **NOTHING_IS_LOST, **more}}


def over_http(port: int, **more: Any) -> dict[str, Any]:
    """An exporter to a port without TLS."""
    settings = {"endpoint": f"http://{HOST}:{port}", "compression": "gzip", "timeout": "3s"}
    return {"otlp_http": {**settings, **NOTHING_IS_LOST, **more}}


def exporters(serve: Serve, protocol: Protocol, **more: Any) -> dict[str, Any]:
    """One exporter of this protocol."""
    return over_grpc(serve.grpc_port, **more) if protocol == "grpc" else over_http(serve.http_port, **more)


def balanced(ports: list[int]) -> dict[str, Any]:
    """An exporter that gives all spans of a trace to the same one of several.

    Each of them has a queue of its own by default, in memory: a batch in there counts as delivered and dies with the
    Collector. So there is none, and what fails comes back to the queue on disk, all of it, and is sent again.
    """
    inner = {
        "tls": {"insecure": True},
        "timeout": "3s",
        "retry_on_failure": {"enabled": False},
        "sending_queue": {"enabled": False},
    }
    settings = {
        "routing_key": "traceID",
        "protocol": {"otlp": inner},
        "resolver": {"static": {"hostnames": [f"{HOST}:{port}" for port in ports]}},
    }
    return {"load_balancing": {**settings, **NOTHING_IS_LOST}}


class Collector(Child):
    """One Collector; what it has not delivered is in *directory*, where the next one finds it.

    Args:
        binary: see ``build``.
        directory: where its configuration and its queue are.
        exporters: by name, as in a Collector's configuration. All of them get all spans.
        extensions: as there.
        feature_gates: what is switched on besides.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        exporters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None = None,
        *,
        feature_gates: Sequence[str] = (),
    ) -> None:
        self.grpc_port, self.http_port, self._health_port = free_port(), free_port(), free_port()
        config = directory / "collector.json"
        # JSON is YAML.
        config.write_text(json.dumps(self._config(directory, exporters, extensions or {}), indent=1))
        super().__init__(
            "the Collector", [str(binary), f"--config={config}", *(f"--feature-gates={gate}" for gate in feature_gates)]
        )

    def _config(
        self, directory: Path, exporters: Mapping[str, Any], extensions: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        extensions = {
            "health_check": {"endpoint": f"{HOST}:{self._health_port}"},
            _STORAGE: {"directory": str(directory / "queue"), "create_directory": True, "fsync": True},
            **extensions,
        }
        protocols = {
            "grpc": {"endpoint": f"{HOST}:{self.grpc_port}"},
            "http": {"endpoint": f"{HOST}:{self.http_port}"},
        }
        return {
            "extensions": extensions,
            "receivers": {"otlp": {"protocols": protocols}},
            "exporters": exporters,
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "extensions": list(extensions),
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": list(exporters)}},
            },
        }

    def is_ready(self) -> bool:
        """Its health check says so once all its parts run."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._health_port}/", timeout=1):
                return True
        except OSError:
            return False
