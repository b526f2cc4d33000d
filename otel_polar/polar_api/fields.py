"""A field of an answer of Polar's, of the type it has to have.

What is missing or of another type is one error that names the field: a wrong guess about money is worse than none.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from otel_polar.errors import PolarUnreachableError


def text(item: Any, path: str) -> str:
    """The text at *path*, whose keys are separated by dots.

    Raises:
        PolarUnreachableError: if there is none.
    """
    value = optional(item, path)
    if not isinstance(value, str):
        raise _wrong(path, value, "text")
    return value


def text_or_none(item: Any, path: str) -> str | None:
    """The same; ``None`` where it is null or absent."""
    return None if optional(item, path) is None else text(item, path)


def whole(item: Any, path: str) -> int:
    """The whole number at *path*; 3.0 is one. Errors as for :func:`text`."""
    value = optional(item, path)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(path, value, "whole number")
    return value


def number(item: Any, path: str) -> float:
    """The number at *path*, as Polar's aggregations are. Errors as for :func:`text`."""
    value = optional(item, path)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(path, value, "number")
    return float(value)


def exact(item: Any, path: str) -> Decimal:
    """The number at *path*, which Polar may write as text, as it is written. Errors as for :func:`text`.

    Polar adds in doubles: beyond 2**53 its own last digits are not exact, and no reader can make them so.
    """
    value = optional(item, path)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            # A float is written with the fewest digits that say which one it is, as Polar has done.
            found = Decimal(repr(value) if isinstance(value, float) else value)
        except ArithmeticError:
            found = Decimal("NaN")
        if found.is_finite():
            return found
    raise _wrong(path, value, "number")


def flag(item: Any, path: str) -> bool:
    """The truth value at *path*. Errors as for :func:`text`."""
    value = optional(item, path)
    if not isinstance(value, bool):
        raise _wrong(path, value, "true or false")
    return value


def time_of(item: Any, path: str) -> datetime:
    """The time at *path*, with its offset. Errors as for :func:`text`."""
    value = text(item, path)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(path, value, "time") from None
    if at.tzinfo is None:
        raise _wrong(path, value, "time with an offset")
    return at


def mappings(item: Any, path: str) -> list[dict[str, Any]]:
    """The list of objects at *path*. Errors as for :func:`text`."""
    value = optional(item, path)
    if not isinstance(value, list):
        raise _wrong(path, value, "list")
    for each in value:
        if not isinstance(each, dict):
            raise _wrong(f"{path}[]", each, "object")
    return value


def mapping(item: Any, path: str) -> dict[str, Any]:
    """The object at *path*. Errors as for :func:`text`."""
    value = optional(item, path)
    if not isinstance(value, dict):
        raise _wrong(path, value, "object")
    return value


def optional(item: Any, path: str) -> Any:
    """Whatever is at *path*; ``None`` where a key on the way is missing."""
    for key in path.split("."):
        if not isinstance(item, dict):
            return None
        item = item.get(key)
    return item


def _wrong(path: str, value: object, wanted: str) -> PolarUnreachableError:
    # What it is instead may be anybody's: only its type is told.
    return PolarUnreachableError(
        f"Polar's answer has no {wanted} in {path!r} (but {type(value).__name__}): is this Polar's API, and is a newer"
        " otel-polar needed for it?"
    )
