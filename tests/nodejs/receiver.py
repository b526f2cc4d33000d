"""Takes OTLP/HTTP and keeps it as it came: what the JavaScript exporters really send."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Received(NamedTuple):
    """The body of a request and its kind."""

    content_type: str
    content: bytes


class Receiver:
    """Listens at ``url``; ``received`` has every request, in their order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.received: list[Received] = []


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    """One that runs as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = b"".join(self._chunks())
            receiver.received.append(Received(self.headers["content-type"], content))
            self.send_response(200)
            self.send_header("content-type", self.headers["content-type"])
            self.send_header("content-length", "0")
            self.end_headers()

        def _chunks(self) -> Iterator[bytes]:
            # The JavaScript exporters do not say how long their bodies are.
            assert self.headers["transfer-encoding"] == "chunked"
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="otlp-receiver")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
