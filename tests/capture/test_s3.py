"""Specifies uploads to and downloads from S3, through botocore and its own instrumentation, to a local S3."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

from otel_polar import bill_to
from otel_polar.capture.s3 import s3_request_hook, s3_response_hook
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.capture.support import App


class LocalS3(BaseHTTPRequestHandler):
    """Takes what it is given, and has one object."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(500 if self.path.endswith("broken") else 200, b"")

    def do_GET(self) -> None:
        self._answer(404 if self.path.endswith("missing") else 200, b"x" * 1_234)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing."""


@pytest.fixture
def s3(app: App) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), LocalS3)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    instrumentor = BotocoreInstrumentor()
    instrumentor.instrument(tracer_provider=app.provider, request_hook=s3_request_hook, response_hook=s3_response_hook)
    client = botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )
    with bill_to("user_42"):
        yield client
    client.close()
    instrumentor.uninstrument()
    server.shutdown()
    server.server_close()
    thread.join()


def told(app: App) -> list[tuple[str, dict[str, Any]]]:
    keys = ("bytes", "bucket", "content_type", "key")
    return [
        (body["name"], {key: body["metadata"][key] for key in keys if key in body["metadata"]}) for body in app.bodies()
    ]


def test_uploads_and_downloads_are_billed_by_their_bytes(app: App, s3: Any) -> None:
    """Whatever the body is; the object's name stays with the application."""
    for body in (b"x" * 100, bytearray(50), io.BytesIO(b"x" * 30), "é"):
        s3.put_object(Bucket="b", Key="private name", Body=body, ContentType="image/png")
    started = io.BytesIO(b"x" * 30)
    started.seek(10)
    s3.upload_part(Bucket="b", Key="k", PartNumber=1, UploadId="u", Body=started)
    s3.get_object(Bucket="b", Key="k")["Body"].read()

    upload = {"bucket": "b", "content_type": "image/png"}
    assert told(app) == [
        *(("s3_upload", {"bytes": count, **upload}) for count in (100, 50, 30, 2)),
        ("s3_upload", {"bytes": 20, "bucket": "b"}),
        ("s3_download", {"bytes": 1_234, "bucket": "b", "content_type": "text/plain"}),
    ]


def test_what_failed_is_held(app: App, s3: Any) -> None:
    """Nobody pays for an object that did not come."""
    with pytest.raises(ClientError):
        s3.get_object(Bucket="b", Key="missing")
    with pytest.raises(ClientError):
        s3.put_object(Bucket="b", Key="broken", Body=b"x")

    assert [(row.state, row.reason) for row in app.ledger()] == [(State.UNMETERED, "the metered block failed")] * 2
