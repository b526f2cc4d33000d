"""The last warnings and errors of our own log, each line once, with how often and when it was said.

Our log holds no token, no id of a customer and no content (see ``delivery.notices``).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from otel_polar.service.page.shown import MAX_TEXT_CHARACTERS

MAX_LINES: Final = 50


@dataclass(slots=True)
class LogLine:
    """Times are Unix seconds."""

    level: str
    text: str
    first_at: float
    last_at: float
    count: int = 1


class LogLines(logging.Handler):
    """Remembers the last fifty different lines of level WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: OrderedDict[tuple[str, str], LogLine] = OrderedDict()
        # Not the handler's own, which logging takes for a whole `handle`: whoever reads must not wait for a formatter.
        self._reading = threading.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line. Never raises, whatever was logged."""
        try:
            text = record.getMessage()[: MAX_TEXT_CHARACTERS + 1]
        except Exception:  # noqa: BLE001 - a line that cannot be formatted is still one that was said
            text = str(record.msg)[: MAX_TEXT_CHARACTERS + 1]
        key = (record.levelname, text)
        with self._reading:
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = LogLine(record.levelname, text, record.created, record.created)
            else:
                line.count += 1
                line.last_at = record.created
                self._lines.move_to_end(key)
            if len(self._lines) > MAX_LINES:
                self._lines.popitem(last=False)

    def last(self) -> list[LogLine]:
        """What was said last comes first."""
        with self._reading:
            return [
                LogLine(line.level, line.text, line.first_at, line.last_at, line.count)
                for line in reversed(self._lines.values())
            ]
