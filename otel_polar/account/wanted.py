"""What there is to be on Polar before the first call is billed: meters over the events of calls, a product, credits.

Each kind of meter sums one number of the event. ``cost`` and ``charge`` sum billionths of a dollar, which are whole
numbers, so that no cent is lost in adding; Polar shows a thousand million of them as one dollar.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.money import EXACT
from otel_polar.errors import ConfigError
from otel_polar.polar_api.meters import Counting, Unit
from otel_polar.polar_api.products import MAX_PLACES, MAX_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NANOS_PER_USD: Final = 1_000_000_000
_PLACES_OF_A_CENT_PER_NANO: Final = 7
MAX_DIGITS: Final = 17
"""Of an amount in cents a unit, with its places (polarsource/polar, server/polar/product/schemas.py)."""

TOKENS: Final = Unit("token")
DOLLARS: Final = Unit("custom", label="USD", multiplier=NANOS_PER_USD)
CALLS: Final = Unit("custom", label="call", multiplier=1)
DEFAULT_PREFIX: Final = "LLM"
INTERVALS: Final = ("day", "week", "month", "year")
_LIKE: Final = "*"


class Kind(NamedTuple):
    """A number of every event that can be summed: its key, the words for it, and how people read it."""

    key: str
    words: str
    unit: Unit


KINDS: Final[Mapping[str, Kind]] = {
    "input_tokens": Kind("input_tokens", "input tokens", TOKENS),
    "output_tokens": Kind("output_tokens", "output tokens", TOKENS),
    "total_tokens": Kind("total_tokens", "tokens", TOKENS),
    "cost": Kind("cost_nanos", "cost", DOLLARS),
    "calls": Kind("requests", "calls", CALLS),
    # Only with a markup there is one: asked for by name.
    "charge": Kind("charge_nanos", "charge", DOLLARS),
}
DEFAULT_KINDS: Final = ("input_tokens", "output_tokens", "total_tokens", "cost", "calls")


@dataclass(frozen=True, slots=True)
class WantedMeter:
    """A meter that there is to be. ``kind`` is a key of :data:`KINDS`, or ``None`` for a sum of another number."""

    name: str
    counting: Counting
    unit: Unit
    kind: str | None = None
    model: str | None = None

    @property
    def is_in_nanos(self) -> bool:
        """Whether a unit of it is a billionth of a dollar."""
        return self.counting.sums in {"cost_nanos", "charge_nanos"}


@dataclass(frozen=True, slots=True)
class WantedProduct:
    """A product that costs so many cents for each unit of a meter, and nothing else."""

    name: str
    meter: WantedMeter
    cents_per_unit: Decimal
    interval: str = "month"
    currency: str = "usd"


@dataclass(frozen=True, slots=True)
class WantedCredits:
    """A benefit that credits units of a meter."""

    description: str
    meter: WantedMeter
    units: int
    has_rollover: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that there is to be. The credits come with the product, if there is one."""

    meters: tuple[WantedMeter, ...]
    product: WantedProduct | None = None
    credits: WantedCredits | None = None

    def __post_init__(self) -> None:
        """Refuse what would be made twice, or could not be told apart.

        Raises:
            ConfigError: if two meters have one name, or count the same.
        """
        if not self.meters:
            raise ConfigError("no meter is wanted")
        for what, values in (("called", self._names), ("over", [in_words(meter.counting) for meter in self.meters])):
            for value in values:
                if values.count(value) > 1:
                    raise ConfigError(f"two meters {what} {value!r} are wanted")

    @property
    def _names(self) -> list[str]:
        return [meter.name for meter in self.meters]

    def meter(self, reference: str) -> WantedMeter:
        """The meter of that name, or the only one of that kind.

        Raises:
            ConfigError: if there is none, or there are several.
        """
        named = [meter for meter in self.meters if meter.name == reference]
        of_kind = [meter for meter in self.meters if meter.kind == reference]
        general = [meter for meter in of_kind if meter.model is None]
        found = named or general or of_kind
        if len(found) != 1:
            several = "several meters are" if found else "no meter is"
            raise ConfigError(f"{several} {reference!r}; the meters are {', '.join(map(repr, self._names))}")
        return found[0]


def wanted_meter(
    kind: str, *, event_name: str, model: str | None = None, name: str | None = None, prefix: str = DEFAULT_PREFIX
) -> WantedMeter:
    """The meter of a *kind*, of all models or of one; a *model* with ``*`` at its end is any whose name contains it.

    Raises:
        ConfigError: if there is no such kind, or the model or the name is none.
    """
    if kind not in KINDS:
        raise ConfigError(f"{kind!r} is no kind of meter: the kinds are {', '.join(KINDS)}")
    found = KINDS[kind]
    words = f"{prefix} {found.words}" if model is None else f"{prefix} {found.words} of {model.removesuffix(_LIKE)}"
    clauses = [] if model is None else [model_clause(model)]
    return WantedMeter(
        name=check_name("a meter's name", words if name is None else name),
        counting=sum_of(found.key, event_name=event_name, clauses=clauses),
        unit=found.unit,
        kind=kind,
        model=model,
    )


def sum_of(key: str, *, event_name: str, clauses: Sequence[Mapping[str, object]] = ()) -> Counting:
    """The sum of a number of the events of that name that fit every clause."""
    named = {"property": "name", "operator": "eq", "value": event_name}
    return Counting.of({"conjunction": "and", "clauses": [named, *clauses]}, {"func": "sum", "property": key})


def model_clause(model: str) -> dict[str, object]:
    """The events of a model.

    Raises:
        ConfigError: if it is empty, or has a ``*`` anywhere but at its end.
    """
    text = model.removesuffix(_LIKE)
    if not text or _LIKE in text:
        raise ConfigError(f"a model is its name, or a part of it followed by {_LIKE!r}, not {model!r}")
    return {"property": "model", "operator": "eq" if text == model else "like", "value": text}


def cents_per_unit(meter: WantedMeter, *, per_unit: Decimal | None = None, per_usd: Decimal | None = None) -> Decimal:
    """What a unit of the meter costs, in cents.

    Args:
        meter: the meter.
        per_unit: cents a unit.
        per_usd: dollars for each dollar that the meter counts; for one in billionths of a dollar.

    Raises:
        ConfigError: if not exactly one of them is given, or Polar cannot keep the amount exactly.
    """
    if per_unit is not None and per_usd is None:
        return check_cents(per_unit)
    if per_usd is None or per_unit is not None:
        raise ConfigError("a product needs a price: either price_per_unit (cents) or price_per_usd (dollars), not both")
    if not meter.is_in_nanos:
        raise ConfigError(f"{meter.name!r} counts no dollars: give price_per_unit, in cents")
    # In powers of ten, which lose no digit.
    return check_cents(EXACT.scaleb(per_usd, -_PLACES_OF_A_CENT_PER_NANO), because="price_per_usd may have 5 places")


def check_cents(cents: Decimal, *, because: str = "") -> Decimal:
    """An amount that Polar keeps as it is: above 0, at most 12 places and 17 digits. Raises ConfigError otherwise."""
    if not cents.is_finite() or cents <= 0:
        raise ConfigError("a price must be above 0: a product that costs nothing has none")
    plain = EXACT.normalize(cents)
    places = max(0, -int(plain.as_tuple().exponent))
    if places > MAX_PLACES or plain.adjusted() + 1 > MAX_DIGITS - MAX_PLACES:
        said = f"; {because}" if because else ""
        raise ConfigError(
            f"{plain} cents a unit: Polar keeps at most {MAX_PLACES} places and {MAX_DIGITS - MAX_PLACES} digits"
            f" before them{said}"
        )
    return plain


def check_units(units: object, meter: WantedMeter) -> int:
    """Units that one credit may have. Raises ConfigError otherwise."""
    if isinstance(units, int) and not isinstance(units, bool) and 1 <= units <= MAX_UNITS:
        return units
    dollars = f", which is ${Decimal(MAX_UNITS) / NANOS_PER_USD} of {meter.name!r}" if meter.is_in_nanos else ""
    raise ConfigError(f"credits of {units} units: Polar credits whole units, 1 to {MAX_UNITS:,}{dollars}")


def check_name(what: str, name: object, *, longest: int = 255) -> str:
    """A name that Polar takes, without the white space around it. Raises ConfigError otherwise."""
    text = name.strip() if isinstance(name, str) else ""
    if not 3 <= len(text) <= longest or not text.isprintable():  # noqa: PLR2004 - Polar's
        raise ConfigError(f"{what} is {name!r}: it must be text of 3 to {longest} characters")
    return text


def in_words(counting: Counting) -> str:
    """What a meter counts, for people."""
    aggregation, clauses, conjunction = counting.parts
    function, key = aggregation.get("func"), aggregation.get("property")
    counted = "the events" if function == "count" else f"the {function} of {key}"
    if any("clauses" in clause for clause in clauses):
        return f"{counted} where {counting.filter}"
    said = f" {conjunction} ".join(f"{each['property']} {each['operator']} {each['value']!r}" for each in clauses)
    return f"{counted} where {said}" if said else f"{counted}, all of them"
