"""Log lines of the service, for people or for programs, one line each whatever a sender put into a span.

Of an exception its kind and place are written, not its words, which may hold anything.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import describe

if TYPE_CHECKING:
    from otel_polar.settings.serve import ServeSettings

MAX_CHARACTERS: Final = 4_000


def set_up_logs(settings: ServeSettings) -> None:
    """Write what is logged to standard error, in the form that *settings* say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("otel_polar").setLevel(logging.INFO)
    # Its warnings are one for each time that a stranger says something else than HTTP.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class TextLines(logging.Formatter):
    """``2026-11-21T10:00:00.123Z WARNING otel_polar: …``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, in which nothing is left that a terminal or a log's reader would take for something else."""
        return f"{_time_of(record)} {record.levelname} {record.name}: {_escaped(_message_of(record))}"


class JsonLines(logging.Formatter):
    """One JSON object a line, with ``time``, ``level``, ``logger`` and ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, in ASCII."""
        return json.dumps(
            {
                "time": _time_of(record),
                "level": record.levelname,
                "logger": record.name,
                "message": _message_of(record),
            }
        )


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info and isinstance(record.exc_info[1], BaseException):
        message = f"{message} ({describe(record.exc_info[1])})"
    return message if len(message) <= MAX_CHARACTERS else f"{message[:MAX_CHARACTERS]}…"


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
