"""Small files beside the outbox files of one server and token: what other processes there have to know.

::

    options.json   by which options events are made there: `outbox reprice` must not make them by others
    doubted.json   list prices that moved too far to be believed: a restart must not forget that
    orders/        what a person wants done with calls in them (see ``orders``)
    customers.known  customers that are on Polar for sure, see known_customers
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_polar.settings import Settings

_OPTIONS: Final = "options.json"
_DOUBTED: Final = "doubted.json"

COMPARED: Final = (
    *("event_name", "map_metadata", "price_resolvers", "markup"),
    *("gateways", "self_hosted", "approximate_models", "on_unpriced", "catalog_update_hours", "catalog_accepted_moves"),
)
"""Options that shape an event or its price."""


def options_in_words(settings: Settings) -> dict[str, str]:
    """The options that shape an event, each in words; a function and a card made in code only say that they are."""
    words = {name: _in_words(getattr(settings, name)) for name in COMPARED}
    card = settings.rate_card
    words["rate_card"] = "none" if card is None else _file_in_words(card) if isinstance(card, Path) else "made in code"
    return words


def write_options(directory: Path, settings: Settings) -> None:
    """Leave word of the options of this process; what cannot be written is left out."""
    _write(directory / _OPTIONS, options_in_words(settings))


def other_options(directory: Path, settings: Settings, *, with_new_prices: bool = False) -> list[str]:
    """How the options of the last process there differ from *settings*, in words; empty if they do not.

    *with_new_prices*: it is about calls without a price, for which somebody has written one on a rate card.
    """
    there, here = _read(directory / _OPTIONS), options_in_words(settings)
    if not isinstance(there, dict):
        return []
    cards = (str(there.get("rate_card")), here["rate_card"])
    is_new_card = with_new_prices and all(card.startswith(("none", _FILE)) for card in cards)
    names = [name for name in here if name in there and (name != "rate_card" or not is_new_card)]
    differing = [name for name in names if there[name] != here[name] or _IN_CODE in str(there[name])]
    return [f"{name} is {there[name]}, here {here[name]}" for name in differing]


def write_doubted(directory: Path, source: str, entries: frozenset[str]) -> None:
    """Leave word of the entries of a list (its *source*) whose price has moved too far."""
    _write(directory / _DOUBTED, {"source": source, "entries": sorted(entries)})


def read_doubted(directory: Path, source: str) -> frozenset[str]:
    """The entries whose price had moved too far from the list of that *source*; of another one nothing is known."""
    told = _read(directory / _DOUBTED)
    if not isinstance(told, dict) or told.get("source") != source or not isinstance(told.get("entries"), list):
        return frozenset()
    return frozenset(str(entry) for entry in told["entries"])


_IN_CODE: Final = "in code"
_FILE: Final = "a file"
_DIGITS: Final = 8


def _file_in_words(path: Path) -> str:
    """By what is in it: two cards of one name have two prices of one model."""
    try:
        return f"{_FILE} ({sha256(path.read_bytes()).hexdigest()[:_DIGITS]})"
    except OSError:
        return f"{_FILE} that cannot be read"


def _in_words(value: object) -> str:
    if callable(value) or (isinstance(value, tuple) and any(map(callable, value))):
        return f"a function, which is only {_IN_CODE}"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, content: object) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.new")
    with suppress(OSError):
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.chmod(0o600)
        temporary.replace(path)
