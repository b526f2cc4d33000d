"""Collectors that run with the files of ``examples/collector``, and what stands where they send to."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_polar.service.otlp import read_protobuf
from tests.servers.child import HOST, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    from otel_polar.billing.span import SpanRecord

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "collector"
CONFIGS: Final = ("agent", "gateway", "before-tail-sampling", "without-content", "load-balancing", "to-kafka")
TOKEN: Final = "a-token-of-the-test"


class ExampleCollector(Child):
    """A Collector with one of the files, of which only addresses and places on disk are changed.

    Args:
        binary: see ``build``.
        directory: where its queue is.
        name: of the file, without its ending.
        changes: laid over the file, as a Collector lays one of its files over another.
    """

    def __init__(self, binary: Path, directory: Path, name: str, changes: Mapping[str, Any]) -> None:
        self.grpc_port, self.http_port = free_port(), free_port()
        directory.mkdir(parents=True, exist_ok=True)
        places = directory / "places.json"
        places.write_text(json.dumps(self._places(directory)))
        changed = directory / "changes.json"
        changed.write_text(json.dumps(changes))
        files = [EXAMPLES / f"{name}.yaml", places, changed]
        super().__init__(f"the Collector with {name}.yaml", [str(binary), *(f"--config={file}" for file in files)])

    def _places(self, directory: Path) -> dict[str, Any]:
        protocols = {
            "grpc": {"endpoint": f"{HOST}:{self.grpc_port}"},
            "http": {"endpoint": f"{HOST}:{self.http_port}"},
        }
        return {
            "extensions": {"file_storage/queue": {"directory": str(directory / "queue")}},
            "receivers": {"otlp": {"protocols": protocols}},
            "service": {"telemetry": {"metrics": {"level": "none"}}},
        }

    def is_ready(self) -> bool:
        """It listens, which it begins to do last."""
        try:
            with socket.create_connection((HOST, self.http_port), timeout=1):
                return True
        except OSError:
            return False

    def take(self, spans: TracesData) -> None:
        """Give it spans, as an application does.

        Raises:
            OSError: if it does not accept them.
        """
        request = urllib.request.Request(
            f"http://{HOST}:{self.http_port}/v1/traces",
            spans.SerializeToString(),
            {"Content-Type": "application/x-protobuf"},
        )
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - http
            pass


class Sink:
    """What a Collector has sent, and with which ``Authorization``."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.authorizations: set[str | None] = set()
        self.url = ""

    @property
    def spans(self) -> list[SpanRecord]:
        """All spans so far."""
        return [span for body in list(self.bodies) for span in read_protobuf(body).spans]


@contextmanager
def a_sink(port: int = 0) -> Iterator[Sink]:
    """It takes whatever is sent to it as OTLP/HTTP; 0 is a port that the system chooses."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            sink.authorizations.add(self.headers["Authorization"])
            sink.bodies.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer((HOST, port), Handler) as server:
        server.daemon_threads = True
        sink.url = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


def to_sink(sink: Sink, directory: Path) -> dict[str, Any]:
    """Changes by which what is for otel-polar goes to *sink*, without TLS."""
    directory.mkdir(parents=True, exist_ok=True)
    token = directory / "otel-polar.token"
    token.write_text(f"{TOKEN}\n")
    return {
        "extensions": {"bearertokenauth/otel-polar": {"filename": str(token)}},
        "exporters": {
            "otlp_http/otel-polar": {
                "endpoint": sink.url,
                "tls": {"ca_file": ""},
                "sending_queue": {"batch": {"flush_timeout": "20ms"}},
            },
        },
    }


def laid_over(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two changes as one."""
    both = dict(one)
    for key, value in other.items():
        both[key] = laid_over(both[key], value) if isinstance(both.get(key), dict) else value
    return both


def certificate(directory: Path) -> dict[str, str]:
    """A certificate for this machine, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    files = {"cert_file": str(directory / "tls.crt"), "key_file": str(directory / "tls.key")}
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=otel-polar.example.com"]
    command += ["-addext", f"subjectAltName=IP:{HOST},DNS:otel-polar.example.com"]
    command += ["-keyout", files["key_file"], "-out", files["cert_file"]]
    subprocess.run(command, capture_output=True, check=True)
    return files
