"""``Form``: one form of a provider's export, as a table of its columns."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_polar.errors import OtelPolarError
from otel_polar.reconciliation.usage import COST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Row: TypeAlias = Mapping[str, Any]

NANOS_PER_USD: Final = 1_000_000_000
_MAY_HOLD_USAGE: Final = re.compile(r"token|request|amount|cost|quantity|price|num_", re.IGNORECASE)
_DAY: Final = timedelta(days=1)
_TOO_MANY: Final = 10**18
_GROUPED: Final = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
"""1,234.5; but 1.234,5 and 0,25 are other numbers where they were written, and are none here."""


class ExportFormatError(OtelPolarError):
    """A file is no export in a known form, or not a whole one. The message names the file and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Columns of a form; of nested JSON, keys joined by dots.

    Args:
        provider: as the ledger names it.
        name: in words.
        required: by these it is recognised.
        counts: columns that add up to each count, by its name; a column may add to several.
        passed_over: known columns that hold no usage, or parts of what others tell.
        dimensions: known columns by which rows are told apart.
        begin: the column of the time at which a row's time begins.
        end: of its end; ``None`` if it is a day.
        model_of: the model of a row; ``None`` if it names none.
        nanos_per_unit: of money.
        currency: the column of the currency, which has to be dollars.
        told_apart: columns of which a value that is not 0 is said to a person.
    """

    provider: str
    name: str
    required: frozenset[str]
    counts: Mapping[str, tuple[str, ...]]
    passed_over: frozenset[str] = frozenset()
    dimensions: frozenset[str] = frozenset()
    begin: str
    end: str | None
    model_of: Callable[[Row], str | None]
    nanos_per_unit: int = NANOS_PER_USD
    currency: str | None = None
    told_apart: frozenset[str] = frozenset()

    @property
    def columns(self) -> frozenset[str]:
        """All that are known."""
        counted = {column for columns in self.counts.values() for column in columns}
        more = {self.begin, *filter(None, (self.end, self.currency))}
        return self.required | counted | more | self.passed_over | self.dimensions | self.told_apart

    def unknown(self, columns: set[str]) -> tuple[list[str], list[str]]:
        """Columns that are not known: those that may hold usage, and the others."""
        unknown = sorted(columns - self.columns)
        risky = [column for column in unknown if _MAY_HOLD_USAGE.search(column)]
        return risky, [column for column in unknown if column not in risky]

    def day(self, row: Row) -> date:
        """The day (UTC) of a row.

        Raises:
            ValueError: if it has none, or reaches into another.
        """
        begin = _moment(row.get(self.begin))
        if self.end is None:
            return begin.date()
        end = _moment(row.get(self.end))
        midnight = datetime.combine(begin.date(), datetime.min.time(), UTC) + _DAY
        if not begin <= end <= midnight:
            raise ValueError(
                f"a row from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC) is not within one day: export by day,"
                " hour or minute"
            )
        return begin.date()

    def read(self, row: Row) -> Counter[str]:
        """The counts of a row.

        Raises:
            ValueError: if one is no number, is negative, or is money but not dollars.
        """
        found: Counter[str] = Counter()
        for count, columns in self.counts.items():
            found[count] = sum(self._amount(column, row.get(column), count) for column in columns)
        if self.currency is not None and found[COST] and str(row.get(self.currency)).lower() != "usd":
            raise ValueError(f"{self.currency} is {row.get(self.currency)!r}: only dollars (usd) can be compared")
        return found

    def _amount(self, column: str, value: Any, count: str) -> int:
        if value is None or value == "":
            return 0
        text = str(value).strip()
        try:
            number = Decimal(text.replace(",", "") if _GROUPED.fullmatch(text) else text)
        except InvalidOperation as error:
            raise ValueError(f"{column} is {value!r}, which is no number") from error
        if count == COST:
            if not number.is_finite() or abs(number) >= _TOO_MANY:
                raise ValueError(f"{column} is {value!r}, which is no amount")
            return round(number * self.nanos_per_unit)
        # The dashboard writes 3.0 for three requests.
        if not number.is_finite() or not 0 <= number < _TOO_MANY or number != int(number):
            raise ValueError(f"{column} is {value!r}, which is no count")
        return int(number)


def _moment(value: Any) -> datetime:
    """A time in Unix seconds or ISO 8601; without an offset it is UTC."""
    text = str(value).strip()
    try:
        if re.fullmatch(r"\d{1,11}(\.0+)?", text):
            return datetime.fromtimestamp(int(float(text)), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{value!r} is no time") from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
