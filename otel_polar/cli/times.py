"""Times as they are typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import typer

_AGO: Final = re.compile(r"(\d{1,9})\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_time(option: str, text: str, now: float) -> float:
    """What was given for *option*, in Unix seconds; without an offset it is UTC.

    Raises:
        typer.BadParameter: if it is no time.
    """
    stripped = text.strip()
    if (ago := _AGO.fullmatch(stripped)) is not None:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.fromisoformat(stripped)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no time such as 2026-11-21, 2026-11-21T10:00, 36h or 7d", param_hint=option
        ) from error
