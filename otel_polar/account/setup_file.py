"""What there is to be on Polar, from a TOML file.

::

    event_name = "llm_usage"        that of the application, if it is another one

    [[meters]]                      without any: the usual ones
    kind = "cost"                   input_tokens, output_tokens, total_tokens, cost, charge or calls
    name = "AI usage"               what customers read on invoices; may be left out
    model = "gpt-4o-mini*"          of these calls only; may be left out

    [[meters]]
    sum = "pages"                   any other number of the events
    name = "Pages"
    where = { plan = "pro" }        of the events with this metadata only; may be left out

    [product]
    name = "Pay as you go"
    meter = "cost"                  by its kind or its name
    price_per_usd = "1.3"           dollars for each dollar of cost; or price_per_unit, in cents
    interval = "month"

    [credits]
    description = "A million tokens a month"
    meter = "total_tokens"
    units = 1_000_000
    rollover = false

What is not known here is refused, because a misspelt word would be a meter that counts nothing.
"""

from __future__ import annotations

import tomllib
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from otel_polar.account.wanted import (
    DEFAULT_KINDS,
    DEFAULT_PREFIX,
    INTERVALS,
    Wanted,
    WantedCredits,
    WantedMeter,
    WantedProduct,
    cents_per_unit,
    check_name,
    check_units,
    model_clause,
    sum_of,
    wanted_meter,
)
from otel_polar.errors import ConfigError
from otel_polar.polar_api.meters import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_PRODUCT_NAME: Final = 64
MAX_DESCRIPTION: Final = 42
"""Of a benefit (polarsource/polar, server/polar/benefit/strategies/base/schemas.py)."""

_MAX_PRICE_CHARACTERS: Final = 40
_INT32: Final = range(-(2**31), 2**31)
_TOP: Final = frozenset({"event_name", "meters", "product", "credits"})
_METER: Final = frozenset({"kind", "sum", "name", "model", "where", "unit"})
_PRODUCT: Final = frozenset({"name", "meter", "price_per_unit", "price_per_usd", "interval", "currency"})
_CREDITS: Final = frozenset({"description", "meter", "units", "rollover"})
_UNITS: Final[Mapping[str, Unit]] = {"scalar": Unit(), "token": Unit("token")}


def read_setup_file(path: Path, *, event_name: str, prefix: str = DEFAULT_PREFIX) -> Wanted:
    """What the file asks for. *event_name* is that of the settings, where the file names none.

    Raises:
        ConfigError: if it cannot be read, or asks for what cannot be.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    try:
        return _read(found, event_name=event_name, prefix=prefix)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def price_of(name: str, value: object) -> Decimal | None:
    """A price as an exact number, from text or a whole number; ``None`` stays.

    Raises:
        ConfigError: if it is anything else: 1.1 in TOML is not 1.1 any more.
    """
    if value is None:
        return None
    if isinstance(value, int | str) and not isinstance(value, bool) and len(str(value)) <= _MAX_PRICE_CHARACTERS:
        with suppress(InvalidOperation):
            return Decimal(value)
    raise ConfigError(f'{name} is {value!r}: it must be a number in quotes, such as "1.3"')


def _read(found: Mapping[str, Any], *, event_name: str, prefix: str) -> Wanted:
    _check_keys("the file", found, _TOP)
    event_name = found.get("event_name", event_name)
    if not isinstance(event_name, str) or not event_name:
        raise ConfigError(f"event_name is {event_name!r}: it must be text")
    tables = found.get("meters")
    if tables is None:
        meters = tuple(wanted_meter(kind, event_name=event_name, prefix=prefix) for kind in DEFAULT_KINDS)
    elif isinstance(tables, list) and all(isinstance(table, dict) for table in tables):
        meters = tuple(_read_meter(table, event_name=event_name, prefix=prefix) for table in tables)
    else:
        raise ConfigError("meters must be tables: [[meters]]")
    wanted = Wanted(meters)
    return Wanted(meters, product=_read_product(found, wanted), credits=_read_credits(found, wanted))


def _read_meter(table: Mapping[str, Any], *, event_name: str, prefix: str) -> WantedMeter:
    _check_keys("[[meters]]", table, _METER)
    kind, key, model = table.get("kind"), table.get("sum"), table.get("model")
    if model is not None and not isinstance(model, str):
        raise ConfigError(f"[[meters]] model is {model!r}: it must be text")
    if (kind is None) == (key is None):
        raise ConfigError("[[meters]] needs either a kind or the key that it is the sum of, not both")
    if kind is not None:
        if "where" in table or "unit" in table:
            raise ConfigError("[[meters]] where and unit go with sum, not with a kind")
        return wanted_meter(str(kind), event_name=event_name, model=model, name=table.get("name"), prefix=prefix)
    if not isinstance(key, str) or not key or "." in key:
        raise ConfigError(f"[[meters]] sum is {key!r}: it must be a key of the event's metadata, without a dot")
    unit = table.get("unit", "scalar")
    if unit not in _UNITS:
        raise ConfigError(f"[[meters]] unit is {unit!r}: it must be one of {', '.join(_UNITS)}")
    clauses = [] if model is None else [model_clause(model)]
    return WantedMeter(
        name=check_name("[[meters]] name", table.get("name")),
        counting=sum_of(key, event_name=event_name, clauses=[*clauses, *_where(table.get("where", {}))]),
        unit=_UNITS[unit],
        model=model,
    )


def _where(found: object) -> list[dict[str, object]]:
    if not isinstance(found, dict):
        raise ConfigError('[[meters]] where must be a table, such as { plan = "pro" }')
    for key, value in found.items():
        is_short = isinstance(value, str) and 1 <= len(value) <= 1000  # noqa: PLR2004 - Polar's
        # A float that Polar takes for a filter does not exist (polarsource/polar, server/polar/meter/filter.py).
        if not is_short and not (isinstance(value, int) and value in _INT32):
            raise ConfigError(f"[[meters]] where {key} is {value!r}: it must be text or a whole number of 32 bits")
    return [{"property": key, "operator": "eq", "value": value} for key, value in found.items()]


def _read_product(found: Mapping[str, Any], wanted: Wanted) -> WantedProduct | None:
    table = _table(found, "product", _PRODUCT)
    if table is None:
        return None
    meter = wanted.meter(str(table.get("meter", "cost")))
    interval, currency = table.get("interval", "month"), table.get("currency", "usd")
    if interval not in INTERVALS:
        raise ConfigError(f"[product] interval is {interval!r}: it must be one of {', '.join(INTERVALS)}")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha():  # noqa: PLR2004 - ISO 4217
        raise ConfigError(f"[product] currency is {currency!r}: it must be three letters, such as usd")
    return WantedProduct(
        name=check_name("[product] name", table.get("name"), longest=MAX_PRODUCT_NAME),
        meter=meter,
        cents_per_unit=cents_per_unit(
            meter,
            per_unit=price_of("[product] price_per_unit", table.get("price_per_unit")),
            per_usd=price_of("[product] price_per_usd", table.get("price_per_usd")),
        ),
        interval=interval,
        currency=currency.lower(),
    )


def _read_credits(found: Mapping[str, Any], wanted: Wanted) -> WantedCredits | None:
    table = _table(found, "credits", _CREDITS)
    if table is None:
        return None
    meter = wanted.meter(str(table.get("meter", "total_tokens")))
    rollover = table.get("rollover", False)
    if not isinstance(rollover, bool):
        raise ConfigError(f"[credits] rollover is {rollover!r}: it must be true or false")
    return WantedCredits(
        description=check_name("[credits] description", table.get("description"), longest=MAX_DESCRIPTION),
        meter=meter,
        units=check_units(table.get("units"), meter),
        has_rollover=rollover,
    )


def _table(found: Mapping[str, Any], name: str, known: frozenset[str]) -> Mapping[str, Any] | None:
    table = found.get(name)
    if table is None:
        return None
    if not isinstance(table, dict):
        raise ConfigError(f"{name} must be a table: [{name}]")
    _check_keys(f"[{name}]", table, known)
    return table


def _check_keys(where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := table.keys() - known:
        raise ConfigError(f"{where} has an unknown {min(unknown)!r}; there may be {', '.join(sorted(known))}")
