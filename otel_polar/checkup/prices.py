"""What calls cost here: the price list, the rate card, and the models that neither knows."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

from otel_polar.billing.call import ModelCall
from otel_polar.billing.card_suggestion import suggested_entry
from otel_polar.checkup.finding import Finding, counted, note, problem, unknown, well
from otel_polar.checkup.outbox import outbox_path
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.delivery.prices.card_file import CardFile
from otel_polar.errors import ConfigError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.settings import Settings

_SHOWN: Final = 10


def price_findings(settings: Settings, *, may_read_outbox: bool = True) -> Iterator[Finding]:
    """The sources of prices, and what has none. *may_read_outbox*: no outbox file is open in this process."""
    yield from _list()
    yield from _card(settings)
    if settings.catalog_update_hours:
        yield well("prices.update", f"the list is fetched every {settings.catalog_update_hours:g} hours")
    if may_read_outbox:
        yield from _unpriced(settings)


def _list() -> Iterator[Finding]:
    from otel_polar.billing.catalog.catalog import SOURCE  # noqa: PLC0415 - slow, and not every section needs it

    yield note(
        "prices.list",
        f"list prices are those of {SOURCE}",
        why="A model that came later has no price in it. OTEL_POLAR_CATALOG_UPDATE_HOURS has newer lists fetched.",
    )


def _card(settings: Settings) -> Iterator[Finding]:
    try:
        card = CardFile.of(settings)
    except ConfigError as error:
        yield problem(
            "prices.card",
            str(error),
            why="An application that starts with it does not bill; one that runs goes on with the card as it was.",
            do=("otel-polar price openai gpt-4o-mini    # says the same until it is mended",),
        )
        return
    if card is not None:
        yield well("prices.card", "the rate card (OTEL_POLAR_RATE_CARD) can be read")


def _unpriced(settings: Settings) -> Iterator[Finding]:
    path = outbox_path(settings)
    if path is None or not path.exists():
        return
    entries: dict[tuple[str | None, str | None], tuple[int, ModelCall]] = {}
    try:
        for seen in OutboxView(path).calls(Wanted(states=frozenset({State.UNPRICED}))):
            key = (seen.provider, seen.model)
            if isinstance(seen.call, ModelCall) and (key in entries or len(entries) < _SHOWN):
                count, call = entries.get(key, (0, seen.call))
                entries[key] = count + 1, call
    except (OutboxError, OSError) as error:
        yield unknown("prices.models", f"which models have no price cannot be read: {error}")
        return
    for (provider, model), (count, call) in entries.items():
        lines = suggested_entry(call).splitlines()
        who = f"{model or 'a model without a name'} of {provider or 'no provider'}"
        yield problem(
            "prices.models",
            f"{who} has no price: {counted(count, 'call')} held",
            why="An unknown price is never taken for 0. These lines on the rate card price them:",
            do=(
                *lines,
                *([f"otel-polar price {quote(provider)} {quote(model)}"] if provider and model else []),
                "otel-polar outbox reprice",
            ),
        )
