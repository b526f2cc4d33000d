"""What Polar accepts as a string, a number, a time or an id: the leaves of its schema.

Polar validates with pydantic in its lax mode, so ``"12"`` is an integer, ``1.0`` is one too, and a timestamp may be a
number of seconds. A rule takes one JSON value and returns the parsed one, or raises `RefusedError` with the ``type``
and ``msg`` that pydantic writes into the 422. Messages that quote a parser's position are shortened; types are exact.

Two things are no refusal but a crash in Polar, answered with status 500: a lone surrogate, which no UTF-8 response can
echo, and NaN or Infinity, which PostgreSQL's JSONB cannot hold. They raise `ServerFaultError`.

Sources: polarsource/polar, server/polar/event/schemas.py, server/polar/kit/schemas.py, server/polar/kit/metadata.py.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from math import isfinite, isnan
from typing import Any, Final, TypeAlias

Location: TypeAlias = tuple[str | int, ...]
Rule: TypeAlias = Callable[[Any], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_EPOCH_S: Final = 253_402_300_799
# Above this, pydantic takes a bare number for milliseconds (speedate's watershed).
_MILLISECOND_WATERSHED: Final = 20_000_000_000
_NUMERIC = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+(?:_\d+)*(?:\.0*)?", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt _](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(Z|z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of a 422's ``detail``."""

    type: str
    msg: str
    input: Any
    loc: Location = ()
    context: dict[str, Any] | None = None

    def below(self, *prefix: str | int) -> Problem:
        """Return the same problem, seen from further up in the body."""
        return replace(self, loc=(*prefix, *self.loc))

    def as_json(self) -> dict[str, Any]:
        """Return the entry as FastAPI writes it."""
        entry = {"type": self.type, "loc": list(self.loc), "msg": self.msg, "input": self.input}
        return entry if self.context is None else {**entry, "ctx": self.context}


class RefusedError(Exception):
    """A value breaks the schema: the request is answered with 422."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.loc}: {problem.msg}" for problem in problems))


class ServerFaultError(Exception):
    """Polar's server breaks over this value: the request is answered with 500."""


def refused(kind: str, message: str, value: Any, **context: Any) -> RefusedError:
    """Build the refusal of one value."""
    return RefusedError(Problem(kind, message, value, context=context or None))


def text(value: Any) -> str:
    """Accept any string without NUL, also an empty one."""
    if not isinstance(value, str):
        raise refused("string_type", "Input should be a valid string", value)
    if _LONE_SURROGATE.search(value):
        raise ServerFaultError("a lone surrogate cannot be written as UTF-8")
    if "\x00" in value:
        # FastAPI's encoder writes the exception object as an empty one.
        raise refused("value_error", "Value error, This value contains invalid characters", value, error={})
    return value


def text_between(minimum: int, maximum: int) -> Rule:
    """Build the rule for a string of *minimum* to *maximum* code points."""

    def rule(value: Any) -> str:
        checked = text(value)
        if len(checked) < minimum:
            plural = "" if minimum == 1 else "s"
            message = f"String should have at least {minimum} character{plural}"
            raise refused("string_too_short", message, value, min_length=minimum)
        if len(checked) > maximum:
            message = f"String should have at most {maximum} characters"
            raise refused("string_too_long", message, value, max_length=maximum)
        return checked

    return rule


def optional(rule: Rule) -> Rule:
    """Let null pass where *rule* would refuse it."""
    return lambda value: None if value is None else rule(value)


def currency(value: Any) -> str:
    """Accept a string that contains ``usd``: Polar's pattern is searched for, not matched in full."""
    checked = text(value)
    if "usd" not in checked:
        raise refused("string_pattern_mismatch", "String should match pattern 'usd'", value, pattern="usd")
    return checked


def uuid4(value: Any) -> str:
    """Accept a version 4 UUID in any of its spellings; return the canonical one."""
    if not isinstance(value, str):
        raise refused("uuid_type", "UUID input should be a string, bytes or UUID object", value)
    if _LONE_SURROGATE.search(value):
        raise ServerFaultError("a lone surrogate cannot be written as UTF-8")
    try:
        parsed = uuid.UUID(value)
    except ValueError:
        raise refused("uuid_parsing", "Input should be a valid UUID", value, error="invalid UUID") from None
    if parsed.version != 4:  # noqa: PLR2004 - the 4 of UUID4
        raise refused("uuid_version", "UUID version 4 expected", value, expected_version=4)
    return str(parsed)


def integer(value: Any) -> int:
    """Accept 1, 1.0, "1" and true, but neither 1.5 nor null."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _integer_of_float(value)
    if isinstance(value, str):
        return _integer_of_text(value)
    raise refused("int_type", "Input should be a valid integer", value)


def _integer_of_float(value: float) -> int:
    if not isfinite(value):
        raise refused("finite_number", "Input should be a finite number", value)
    if not value.is_integer():
        message = "Input should be a valid integer, got a number with a fractional part"
        raise refused("int_from_float", message, value)
    return int(value)


def _integer_of_text(value: str) -> int:
    stripped = value.strip()
    if not _INTEGER.fullmatch(stripped):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise refused("int_parsing", message, value)
    try:
        return int(stripped.partition(".")[0])
    except ValueError:
        message = "Unable to parse input string as an integer, exceeded maximum size"
        raise refused("int_parsing_size", message, value) from None


def decimal(*, max_digits: int, decimal_places: int) -> Rule:
    """Build the rule for an exact number; trailing zeros do not count, the checks come in pydantic's order."""
    whole_digits = max_digits - decimal_places

    def rule(value: Any) -> Decimal:
        parsed = _parse_decimal(value)
        digits, decimals = _count_digits(parsed)
        if digits > max_digits:
            message = f"Decimal input should have no more than {max_digits} digits in total"
            raise refused("decimal_max_digits", message, value, max_digits=max_digits)
        if decimals > decimal_places:
            message = f"Decimal input should have no more than {decimal_places} decimal places"
            raise refused("decimal_max_places", message, value, decimal_places=decimal_places)
        if digits - decimals > whole_digits:
            message = f"Decimal input should have no more than {whole_digits} digits before the decimal point"
            raise refused("decimal_whole_digits", message, value, whole_digits=whole_digits)
        return parsed

    return rule


def _parse_decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        message = "Decimal input should be an integer, float, string or Decimal object"
        raise refused("decimal_type", message, value)
    try:
        parsed = Decimal(value if isinstance(value, int) else str(value))
    except InvalidOperation:
        raise refused("decimal_parsing", "Input should be a valid decimal", value) from None
    if not parsed.is_finite():
        raise refused("finite_number", "Input should be a finite number", value)
    return parsed


def _count_digits(value: Decimal) -> tuple[int, int]:
    _, digit_tuple, exponent = value.as_tuple()
    digits = "".join(map(str, digit_tuple)).lstrip("0")
    significant = digits.rstrip("0")
    if not significant or not isinstance(exponent, int):
        return 1, 0
    exponent += len(digits) - len(significant)
    if exponent >= 0:
        return len(significant) + exponent, 0
    return max(-exponent, len(significant)), -exponent


def timestamp_before(now: datetime) -> Rule:
    """Build the rule for an aware time no later than *now*: Polar tolerates no clock skew at all."""

    def rule(value: Any) -> datetime:
        parsed = _parse_timestamp(value)
        if parsed.tzinfo is None:
            raise refused("timezone_aware", "Input should have timezone info", value)
        try:
            in_utc = parsed.astimezone(UTC)
        except OverflowError:
            raise ServerFaultError("a time before the year 1 in UTC") from None
        if in_utc > now:
            raise refused("value_error", "Value error, Timestamp must be in the past.", value, error={})
        return in_utc

    return rule


def _parse_timestamp(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise refused("datetime_type", "Input should be a valid datetime", value)
    if not isinstance(value, str):
        return _from_epoch(value, value)
    if _LONE_SURROGATE.search(value):
        raise ServerFaultError("a lone surrogate cannot be written as UTF-8")
    if _NUMERIC.fullmatch(value):
        return _from_epoch(Decimal(value), value)
    if match := _ISO.fullmatch(value):
        return _from_iso(match, value)
    raise _unreadable_time(value, "input is too short" if len(value) < len("2024-01-01") else "invalid character")


def _from_epoch(number: float | Decimal, value: Any) -> datetime:
    if isinstance(number, float) and isnan(number):
        raise _no_epoch_time(value, "NaN values not permitted")
    if isinstance(number, float) and not isfinite(number):
        raise _no_epoch_time(value, "dates after 9999 are not supported as unix timestamps")
    seconds = Decimal(str(number)) if isinstance(number, float) else Decimal(number)
    if abs(seconds) > _MILLISECOND_WATERSHED:
        seconds /= 1_000
    if seconds > _LAST_EPOCH_S:
        raise _no_epoch_time(value, "dates after 9999 are not supported as unix timestamps")
    try:
        return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
    except OverflowError:
        raise _no_epoch_time(value, "dates before 0000 are not supported as unix timestamps") from None


def _from_iso(match: re.Match[str], value: str) -> datetime:
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    # Nanoseconds are cut to microseconds, not rounded.
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        offset = _offset(match[8])
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=offset)
    except ValueError as error:
        raise _unreadable_time(value, str(error)) from None


def _offset(written: str | None) -> timezone | None:
    if written is None or written in "Zz":
        return UTC if written else None
    minutes = int(written[-2:])
    if minutes > 59:  # noqa: PLR2004 - minutes of an hour
        raise ValueError("timezone minute value is outside expected range of 0-59")
    offset = timedelta(hours=int(written[1:3]), minutes=minutes)
    return timezone(-offset if written[0] == "-" else offset)


def _no_epoch_time(value: Any, reason: str) -> RefusedError:
    return refused("datetime_parsing", f"Input should be a valid datetime, {reason}", value, error=reason)


def _unreadable_time(value: str, reason: str) -> RefusedError:
    message = f"Input should be a valid datetime or date, {reason}"
    return refused("datetime_from_date_parsing", message, value, error=reason)
