"""Which entry of the list a call is priced by, and how certain that is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.catalog.doubts import is_free, is_of_media, may_be_doubtful, why_approximate, why_other_region
from otel_polar.billing.catalog.hosts import Hosts
from otel_polar.billing.catalog.matching import is_certain
from otel_polar.billing.catalog.names import (
    REQUEST_MODEL_FIRST,
    fine_tuned_base,
    provider_id,
    spellings,
    with_dashed_date,
    without_date,
)
from otel_polar.billing.pricing import Unpriced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genai_prices.types import ModelInfo, Provider

    from otel_polar.billing.catalog.options import CatalogOptions

MAX_CACHED_NAMES: Final = 1024
_ARN: Final = "arn:"


class Entry(NamedTuple):
    """Which entry a call is priced by: ``owner`` is in whose list it stands, ``name`` by which it was found.

    ``notes`` say why its price may be off. ``is_certain``: it is this model's, not only one's of a like name.
    ``may_be_doubtful``: there is something known about one of its prices. ``is_of_media``: it is made for audio or
    images. ``matched`` is its name, ``provider/model``.
    """

    provider: Provider
    owner: Provider
    model: ModelInfo
    name: str
    notes: tuple[str, ...]
    is_certain: bool
    may_be_doubtful: bool
    is_of_media: bool
    matched: str


class Entries:
    """Looks entries up by what is on spans. What is remembered is bounded, what was not found included."""

    def __init__(self, providers: Sequence[Provider], source: str, options: CatalogOptions) -> None:
        self._providers = list(providers)
        self._by_id = {provider.id: provider for provider in providers}
        self._source = source
        self._options = options
        self._hosts = Hosts(providers, options.gateways, options.self_hosted)
        self.find = lru_cache(maxsize=MAX_CACHED_NAMES)(self._find)

    def _find(
        self,
        provider_name: str | None,
        request_model: str | None,
        response_model: str | None,
        server_address: str | None,
    ) -> Entry | Unpriced:
        """The entry for a call, or why there is none."""
        if provider_name is None:
            return Unpriced("the span names no provider (gen_ai.provider.name)")
        called = provider_id(provider_name)
        notes: tuple[str, ...] = ()
        host: str | None = None
        place = None if server_address is None else self._hosts.place(server_address)
        if server_address is None and self._options.self_hosted:
            notes = ("the span does not say which host was called (self_hosted)",)
        if place is not None:
            if place.why_other is not None:
                return Unpriced(f"{self._source} has no price for calls to {place.host}: {place.why_other}")
            if place.is_self_hosted:
                why = f"the call went to {place.host}, which is self-hosted: only a rate card has its price"
                return Unpriced(why, host=place.host)
            if place.provider != called:
                host = place.host
            called = place.provider or called
            notes = place.notes
        provider = self._by_id.get(called or "")
        if provider is None:
            return Unpriced(f"{self._source} has no provider {provider_name!r}", host=host)
        # Whose it is by the host, where that is somebody else.
        whose = repr(provider_name) if host is None else f"{provider.id!r} ({host})"
        found = self._find_model(provider, whose, (request_model, response_model), notes)
        return found if isinstance(found, Entry) or host is None else replace(found, host=host)

    def _find_model(
        self,
        provider: Provider,
        whose: str,
        models: tuple[str | None, str | None],
        notes: tuple[str, ...],
    ) -> Entry | Unpriced:
        request_model, response_model = models
        first, second = models if provider.id in REQUEST_MODEL_FIRST else (response_model, request_model)
        found = self._named(provider, first, notes)
        is_own = provider.id in REQUEST_MODEL_FIRST and (first or "").startswith(_ARN)
        if found is None and is_own:
            return Unpriced(
                f"{self._source} has no price for {first!r}: what is provisioned, imported or behind a profile of one's"
                " own has another than the model that answers",
            )
        if not _is_sure(found) and (not first or provider.id in REQUEST_MODEL_FIRST):
            found = self._named(provider, second, notes) or found
        elif not _is_sure(found) and first and second and without_date(first.strip().lower()) == second.strip().lower():
            # A new snapshot of the very model that was asked for; any other name may be another model.
            asked = self._named(provider, second, (*notes, f"{first!r} taken for {second!r}, which was asked for"))
            found = asked or found
        if found is None:
            return Unpriced(
                f"{self._source} has no model {response_model or request_model!r} of provider {whose}",
            )
        if isinstance(found, Unpriced) or found.is_certain or self._options.approximate_models == "price":
            return found
        return Unpriced(
            f"{self._source} has no model {response_model or request_model!r} of provider {whose}, only"
            f" {found.matched}, which may cost something else (approximate_models, OTEL_POLAR_APPROXIMATE_MODELS)",
        )

    def _named(self, provider: Provider, name: str | None, notes: tuple[str, ...]) -> Entry | Unpriced | None:
        """The entry for one name in any of its spellings, a certain one if there is one."""
        nearly: Entry | None = None
        for spelling in spellings(name or "", provider.id):
            if (why_not := why_other_region(provider.id, spelling)) is not None:
                return Unpriced(f"{self._source} has no price for {spelling!r}: {why_not}")
            entry = self._match(provider, spelling, notes) or self._nearly_match(provider, spelling, notes)
            if entry is not None and entry.is_certain:
                return entry
            nearly = nearly or entry
        return nearly

    def _match(self, provider: Provider, name: str, notes: tuple[str, ...]) -> Entry | None:
        """The entry that genai-prices takes for *name*."""
        model = provider.find_model(name, all_providers=self._providers)
        if model is None:
            return None
        others = (self._by_id.get(other) for other in provider.fallback_model_providers or ())
        lists = (provider, *(other for other in others if other is not None))
        owner = next((who for who in lists if any(model is own for own in who.models)), provider)
        # A compact date in a name is found as a dashed one.
        spelled = name if model.is_match(name) else with_dashed_date(name)
        is_sure = is_free(owner.id, model.id) or is_certain(model.match, spelled)
        taken = notes if is_sure else _taken_for(name, model.id, notes)
        return _entry(provider, owner, model, name, notes=taken, is_certain=is_sure)

    def _nearly_match(self, provider: Provider, name: str, notes: tuple[str, ...]) -> Entry | None:
        """The entry for a name without its date, or for the base of a fine-tuned model."""
        base = fine_tuned_base(name)
        if base is not None:
            # Only another fine-tuned one: they cost more than what they are made of.
            model = next((model for model in provider.models if model.id == base), None)
            if model is None:
                return None
            return _entry(provider, provider, model, name, notes=_taken_for(name, base, notes), is_certain=False)
        undated = without_date(name)
        entry = None if undated is None else self._match(provider, undated, notes)
        if entry is None or not entry.is_certain:
            return None
        return entry._replace(name=name, notes=_taken_for(name, entry.model.id, entry.notes), is_certain=False)


def _entry(
    provider: Provider,
    owner: Provider,
    model: ModelInfo,
    name: str,
    *,
    notes: tuple[str, ...],
    is_certain: bool,
) -> Entry:
    why = why_approximate(provider.id, owner.id, name)
    return Entry(
        provider,
        owner,
        model,
        name,
        notes=notes if why is None else (*notes, why),
        is_certain=is_certain,
        may_be_doubtful=may_be_doubtful(provider.id, owner.id, model.id, name),
        is_of_media=is_of_media(model.id),
        matched=f"{owner.id}/{model.id}",
    )


def _is_sure(found: Entry | Unpriced | None) -> bool:
    return isinstance(found, Unpriced) or (found is not None and found.is_certain)


def _taken_for(name: str, model: str, notes: tuple[str, ...]) -> tuple[str, ...]:
    return (*notes, f"{name!r} taken for {model!r}")
