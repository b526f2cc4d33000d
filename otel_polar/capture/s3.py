"""Uploads to and downloads from S3, billed by their bytes on the spans of botocore's own instrumentation.

::

    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
    from otel_polar.capture.s3 import s3_request_hook, s3_response_hook

    BotocoreInstrumentor().instrument(request_hook=s3_request_hook, response_hook=s3_response_hook)

Each ``PutObject`` and ``UploadPart`` is an event ``s3_upload``, each ``GetObject`` an event ``s3_download``, with
``bytes``, ``bucket`` and ``content_type``: what Polar's own S3 strategy sends, without the object's key, which may be
personal. A call that failed is held, and so is an upload of a length that nobody knows before it is read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from otel_polar.billing import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

UPLOAD_EVENT: Final = "s3_upload"
DOWNLOAD_EVENT: Final = "s3_download"

_EVENTS: Final = {"PutObject": UPLOAD_EVENT, "UploadPart": UPLOAD_EVENT, "GetObject": DOWNLOAD_EVENT}


def s3_request_hook(span: Span, service_name: str, operation_name: str, parameters: Mapping[str, Any]) -> None:
    """Say what the span is, and how much is uploaded."""
    event = _EVENTS.get(operation_name) if service_name == "s3" and span.is_recording() else None
    if event is None:
        return
    span.set_attribute(semconv.EVENT_NAME, event)
    _set(span, "bucket", parameters.get("Bucket"))
    if event == UPLOAD_EVENT:
        _set(span, "content_type", parameters.get("ContentType"))
        _set_bytes(span, _length(parameters))


def s3_response_hook(span: Span, service_name: str, operation_name: str, result: Mapping[str, Any] | None) -> None:
    """Say how much is downloaded."""
    if service_name != "s3" or _EVENTS.get(operation_name) != DOWNLOAD_EVENT or not span.is_recording():
        return
    told = result or {}
    _set(span, "content_type", told.get("ContentType"))
    _set_bytes(span, told.get("ContentLength"))


def _set_bytes(span: Span, count: object) -> None:
    if isinstance(count, int):
        span.set_attribute(f"{semconv.EVENT_METADATA_PREFIX}bytes", count)
    else:
        span.set_attribute(semconv.EVENT_WHY_HELD, "the number of bytes is not known")


def _set(span: Span, key: str, value: object) -> None:
    if isinstance(value, str) and value:
        span.set_attribute(semconv.EVENT_METADATA_PREFIX + key, value)


def _length(parameters: Mapping[str, Any]) -> int | None:
    """The length of an upload, without reading it."""
    told, body = parameters.get("ContentLength"), parameters.get("Body", b"")
    if isinstance(told, int):
        return told
    if isinstance(body, str):
        return len(body.encode())
    if isinstance(body, (bytes, bytearray, memoryview)):
        return memoryview(body).nbytes
    try:
        position = body.tell()
        end = body.seek(0, os.SEEK_END)
        body.seek(position)
        return int(end) - int(position)
    except (AttributeError, OSError, TypeError, ValueError):
        return None
