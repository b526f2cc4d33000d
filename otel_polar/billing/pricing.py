"""Who says what a call costs: price resolvers, asked one after the other until one knows.

::

    cost the provider reported (trusted_costs) ─▶ your functions (price_resolvers) ─▶ your rate card ─▶ catalogue

A resolver answers a :class:`Price`, or ``None`` for "not mine", or :class:`Unpriced` for "mine, and not known". The
last one ends the search: a list price is no answer to a call that has another price, which is not known just now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from otel_polar.billing.call import NO_TAGS
from otel_polar.billing.customer import Customer
from otel_polar.billing.money import why_not_a_cost
from otel_polar.billing.service_tier import STANDARD_TIERS
from otel_polar.billing.usage import Unmetered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_polar.billing.call import ModelCall, TagValue
    from otel_polar.billing.rates import Rates
    from otel_polar.billing.usage import TokenUsage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# Neither is a dataclass: one is made for every call that is priced, and a tuple is made in a third of the time.
class PriceQuery(NamedTuple):
    """What a price can depend on.

    ``provider`` is the canonical name on the event; ``at`` is when the call started, in UTC. ``service_tier`` is what
    the provider said it answered in, in lower case and ``None`` for the ordinary one; ``requested_service_tier`` was
    asked for where nothing says which one answered. ``reported_cost_usd`` is what a trusted span said, as text.
    """

    provider: str | None
    request_model: str | None
    response_model: str | None
    usage: TokenUsage
    at: datetime
    operation: str = "chat"
    service_tier: str | None = None
    requested_service_tier: str | None = None
    server_address: str | None = None
    customer_id: str | None = None
    external_customer_id: str | None = None
    reported_cost_usd: str | None = None
    tags: Mapping[str, TagValue] = NO_TAGS

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for."""
        return self.response_model or self.request_model


class Price(NamedTuple):
    """What a call cost the one who made it.

    ``usd`` is in exact US dollars, at least 0 and below 1 000. ``source`` says whose price list and which version of
    it, ``matched`` which entry of that, such as ``openai/gpt-4o-mini``. ``is_approximate``: the list is known not to
    be made for exactly this call, and ``notes`` say why. ``rates`` is what it was worked out with, if that is known.
    """

    usd: Decimal
    source: str
    matched: str = ""
    is_approximate: bool = False
    notes: tuple[str, ...] = ()
    rates: Rates | None = None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """No price is known. ``reason`` says for what; it is never written as a cost of 0.

    ``may_recover`` is true where the reason may be over in a moment, such as a price service that does not answer.
    ``wants_entry`` is true where an entry on a rate card would be a price, and ``host`` is set where it should hold for
    calls to that host only.
    """

    reason: str
    may_recover: bool = False
    wants_entry: bool = True
    host: str | None = None


class PriceResolver(Protocol):
    """Anything that can price a call; a function is one."""

    def __call__(self, query: PriceQuery, /) -> Price | Unpriced | None:
        """The price of a call, or why there is none, or ``None`` to ask the next.

        It is called in the delivery thread, never in the application's, and may take a moment; while it does, nothing
        else is delivered. What it raises holds the call back as unpriced, to be tried again.
        """
        ...


def query_of(call: ModelCall) -> PriceQuery:
    """What the price of *call* can depend on.

    Raises:
        ValueError: if the call has no usage, or starts in no calendar.
    """
    usage, customer = call.usage, call.customer
    if isinstance(usage, Unmetered):
        raise ValueError(usage.reason)  # noqa: TRY004 - the type is right, the call cannot be priced
    try:
        at = _EPOCH + timedelta(microseconds=call.start_time_unix_nano // 1_000)
    except OverflowError as error:
        raise ValueError(f"it starts in no calendar ({call.start_time_unix_nano} ns since 1970)") from error
    customer_id = external_customer_id = None
    if isinstance(customer, Customer):
        customer_id, external_customer_id = customer.customer_id, customer.external_customer_id
    tier = None if call.service_tier is None else _special(call.service_tier)
    asked = call.requested_service_tier
    return PriceQuery(
        call.provider,
        call.request_model,
        call.response_model,
        usage,
        at,
        call.operation,
        tier,
        None if asked is None or call.service_tier is not None else _special(asked),
        call.server_address,
        customer_id,
        external_customer_id,
        call.reported_cost_usd,
        call.tags,
    )


def resolve(query: PriceQuery, resolvers: Iterable[PriceResolver]) -> Price | Unpriced:
    """The answer of the first resolver that has one; never raises.

    An answer that is none, a negative price or one that Polar could not take is :class:`Unpriced`: asking the next one
    would bill a list price where somebody said that another one holds.
    """
    for resolver in resolvers:
        try:
            answer: object = resolver(query)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a user's function may raise anything
            reason = f"price resolver {_name(resolver)} raised {type(error).__name__}"
            return Unpriced(reason, may_recover=True, wants_entry=False)
        if answer is not None:
            return _checked(answer, resolver)
    return Unpriced(f"no price of {query.model!r} of {query.provider!r} is known")


def price_call(call: ModelCall, resolvers: Iterable[PriceResolver]) -> Price | Unpriced:
    """What *call* cost; never raises."""
    try:
        query = query_of(call)
    except ValueError as error:
        return Unpriced(str(error))
    return resolve(query, resolvers)


def unknown_tier(query: PriceQuery) -> Unpriced:
    """Why a list has no price for a call whose service tier was only asked for."""
    asked = query.requested_service_tier
    return Unpriced(
        f"service tier {asked!r} was asked for and the span does not say which one answered (provider"
        f" {query.provider!r}, model {query.model!r})",
    )


def _checked(answer: object, resolver: PriceResolver) -> Price | Unpriced:
    if isinstance(answer, Unpriced):
        return answer
    if not isinstance(answer, Price) or not isinstance(answer.usd, Decimal):
        what = "a Price whose usd is a Decimal" if isinstance(answer, Price) else "a Price, an Unpriced or None"
        got = type(answer.usd if isinstance(answer, Price) else answer).__name__
        return Unpriced(f"price resolver {_name(resolver)} must answer {what}, not {got}", wants_entry=False)
    why_not = why_not_a_cost(answer.usd)
    return answer if why_not is None else Unpriced(f"{answer.source} gave {why_not}", wants_entry=False)


def _special(tier: str) -> str | None:
    lowered = tier.strip().lower()
    return None if not lowered or lowered in STANDARD_TIERS else lowered


def _name(resolver: PriceResolver) -> str:
    return getattr(resolver, "__qualname__", type(resolver).__name__)
