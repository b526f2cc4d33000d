"""A Polar that takes everything and does nothing else: the far end of the benchmarks, in a process of its own.

Run as ``python -m tests.benchmarks.polar_sink``: prints its port, and counts each request's events by their keys.
"""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY: Final = b'"external_id":'


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while line not in {b"\r\n", b""}:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = self.rfile.readline()
            count = self.rfile.read(length).count(_KEY)
            body = b'{"inserted": %d, "duplicates": 0}' % count
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.wfile.write(head + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def polar_sink() -> Iterator[str]:
    """Its address, for as long as the ``with`` block lasts."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Connection) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Until whoever started it is gone, however it ends.
        sys.stdin.read()
