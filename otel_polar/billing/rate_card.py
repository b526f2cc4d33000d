"""``RateCard``: your own prices, for whatever the catalogue does not know or you pay otherwise.

::

    version = "2026-11"                    # optional; it is written on events

    [[prices]]
    provider = "openai"                    # as on the event; * and ? stand for any text
    model = "gpt-4o-mini*"
    usd_per_million_tokens = { input = "0.15", cache_read = "0.075", output = "0.60" }
    usd_per_request = "0.001"              # the rest is optional
    from = 2026-07-01                      # UTC; included
    until = 2027-01-01                     # UTC; not included
    customer = "user_42"                   # for this customer only
    service_tier = "flex"                  # "*" for any; if left out, the ordinary tier
    server_address = "llm.internal"        # for calls to this host only; * and ? stand for any text

    [[prices.tiers]]                       # for all tokens of calls with more input than this
    above_input_tokens = 200_000
    usd_per_million_tokens = { input = "0.30", output = "1.20" }

A customer's own entry comes before one for all, the model that answered before the one that was asked for, an exact
name before a pattern, of one name that for a host before one for all, and patterns in the order they stand in. A card
that is wrong anywhere is refused as a whole: half a card would bill the other half at list prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.card_format import read_entries
from otel_polar.billing.card_source import CardSource
from otel_polar.billing.catalog.hosts import host_of
from otel_polar.billing.catalog.names import candidates, provider_id, without_date
from otel_polar.billing.pricing import Price, Unpriced, unknown_tier
from otel_polar.billing.provider import canonical_provider
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.billing.card_format import CardEntry
    from otel_polar.billing.pricing import PriceQuery

ANY: Final = "*"

_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
_FINGERPRINT_DIGITS: Final = 8
_ALL_HOSTS: Final = 2


class _Names(NamedTuple):
    """By which names an entry is found: the provider's canonical one, and the model's in lower case."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class _Entry:
    names: _Names
    entry: CardEntry

    @property
    def is_exact(self) -> bool:
        return not _is_pattern(self.names.provider) and not _is_pattern(self.names.model)

    def holds(self, query: PriceQuery) -> bool:
        """Whether it is for that time and that host, at whichever tier."""
        entry = self.entry
        if not (entry.since or _ALWAYS) <= query.at < (entry.until or _FOR_EVER):
            return False
        if entry.server_address is None:
            return True
        host = None if query.server_address is None else host_of(query.server_address)
        return host is not None and _fits(host, entry.server_address)

    def is_for_tier(self, query: PriceQuery) -> bool:
        tier = self.entry.service_tier
        return tier == ANY or (query.requested_service_tier is None and tier == query.service_tier)

    def generality(self) -> tuple[int, bool]:
        """Of two entries of one name the lower one is the more special: for a host, for some hosts, then for a tier."""
        address = self.entry.server_address
        of_host = _ALL_HOSTS if address is None else int(_is_pattern(address))
        return of_host, self.entry.service_tier == ANY

    def overlaps(self, other: _Entry) -> bool:
        """Whether both could be meant by one call, and nothing says which."""
        one, two = self.entry, other.entry
        if (one.customer, one.service_tier) != (two.customer, two.service_tier):
            return False
        if one.server_address != two.server_address:
            return False
        begin = max(one.since or _ALWAYS, two.since or _ALWAYS)
        return begin < min(one.until or _FOR_EVER, two.until or _FOR_EVER)


class RateCard:
    """Prices of your own, as a price resolver. Not to be changed once made."""

    def __init__(
        self,
        card: Mapping[str, object],
        *,
        name: str = "rate card",
        source: CardSource | None = None,
    ) -> None:
        """A card as a mapping of the form above.

        Also taken is the mapping of ai-billing's object resolver, of models to US dollars per *token*:
        ``{"gpt-4o": {"promptTokens": 2.5e-6, "completionTokens": 1e-5}}``.

        Args:
            card: the card.
            name: what to call it in messages and on events.
            source: the text it was read from, for the lines of messages.

        Raises:
            ConfigError: if anything in it is wrong; the message names the field, and the line if *source* is given.
        """
        content = read_entries(card, source or CardSource(name))
        self._exact: dict[_Names, list[_Entry]] = {}
        self._patterns: dict[_Names, list[_Entry]] = {}
        for entry in content.entries:
            self._add(entry, source or CardSource(name))
        self.customers = frozenset(entry.customer for entry in content.entries if entry.customer is not None)
        self.content = _fingerprint(card)
        """A fingerprint of all that stands in it."""
        self.source = f"{name} {content.version or self.content}"
        """What it is called on events: its name, and its version or a fingerprint of its content."""

    @classmethod
    def from_text(cls, text: str, name: str) -> RateCard:
        """A card in TOML, or in JSON if *name* ends in ``.json``.

        Raises:
            ConfigError: if anything in it is wrong; the message names line and field.
        """
        source = CardSource(name, text)
        return cls(source.read(), name=name, source=source)

    def __call__(self, query: PriceQuery) -> Price | Unpriced | None:
        """The price that this card has for a call; ``None`` if it has none."""
        at_other_tiers: _Entry | None = None
        for found in self._matching(query):
            if found.is_for_tier(query):
                return self._price(query, found)
            at_other_tiers = at_other_tiers or found
        if at_other_tiers is None:
            return None
        # Not the catalogue's: whoever has a price of their own for the ordinary tier has one for the others, too.
        if query.requested_service_tier is not None:
            return unknown_tier(query)
        tier = "the ordinary tier" if query.service_tier is None else f"tier {query.service_tier!r}"
        return Unpriced(f"{self.source} has {_label(at_other_tiers)}, but not at {tier}")

    def _price(self, query: PriceQuery, found: _Entry) -> Price | Unpriced:
        rates = found.entry.rates
        usd = rates.cost_usd(query.usage)
        if usd is None:
            missing = ", ".join(rates.missing(query.usage))
            return Unpriced(f"{self.source} has no price for {missing} in its entry {_label(found)}", wants_entry=False)
        return Price(usd, self.source, _label(found), rates=rates)

    def _matching(self, query: PriceQuery) -> Iterator[_Entry]:
        customers = self.customers & {query.customer_id, query.external_customer_id} if self.customers else ()
        for customer in (*customers, None):
            for found in self._named(query):
                if found.entry.customer == customer and found.holds(query):
                    yield found

    def _named(self, query: PriceQuery) -> Iterator[_Entry]:
        provider = (None if query.provider is None else canonical_provider(query.provider)) or ""
        listed = provider_id(provider) or ""
        for models in _model_names(listed, query):
            for model in models:
                yield from self._exact.get(_Names(provider, model), ())
            for names, entries in self._patterns.items():
                is_providers = _fits(provider, names.provider) or _fits(listed, names.provider)
                if is_providers and any(_fits(model, names.model) for model in models):
                    yield from entries

    def _add(self, entry: CardEntry, source: CardSource) -> None:
        provider = entry.provider.lower()
        if not _is_pattern(provider):
            canonical = canonical_provider(provider)
            if canonical is None:
                raise source.error(entry.position, "provider", f"{provider!r} is a framework, which is paid nothing")
            provider = canonical
        added = _Entry(_Names(provider, entry.model.strip().lower()), entry)
        others = (self._exact if added.is_exact else self._patterns).setdefault(added.names, [])
        for other in others:
            if added.overlaps(other):
                before = source.place(other.entry.position)
                why = f"it holds for the same calls as {before}: give them dates that do not overlap"
                raise source.error(entry.position, "", why)
        others.append(added)
        others.sort(key=_Entry.generality)


def _model_names(provider: str, query: PriceQuery) -> list[list[str]]:
    """By which names a call's model is looked for: what answered first, for an alias may stand for anything.

    A dated snapshot of what was asked for is that model, and both names are of one rank.
    """
    names = list(candidates(provider, query.request_model, query.response_model)) or [""]
    asked = (query.request_model or "").strip().lower()
    if asked in names and without_date(names[0]) == asked:
        return [names]
    return [[name] for name in names]


def as_rate_card(card: object, *, name: str = "rate card") -> RateCard:
    """A card, or a mapping as one.

    Raises:
        ConfigError: if it is neither, or wrong.
    """
    if isinstance(card, RateCard):
        return card
    if isinstance(card, Mapping):
        return RateCard(card, name=name)
    raise ConfigError(f"{name} must be a RateCard, a mapping or a file, not {type(card).__name__}")


def _label(found: _Entry) -> str:
    # Without the customer: it is shown in logs, and groups events.
    return f"{found.names.provider}/{found.names.model}"


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _fits(text: str, pattern: str) -> bool:
    # Only * and ? stand for something else.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _fingerprint(card: Mapping[str, object]) -> str:
    return sha256(repr(_sorted(card)).encode(errors="backslashreplace")).hexdigest()[:_FINGERPRINT_DIGITS]


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return sorted((str(key), _sorted(each)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return [_sorted(each) for each in value]
    return str(value)
