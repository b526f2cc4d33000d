"""What Polar accepts as the metadata of an event, and how what comes from outside is made to fit.

Documented limits of ``POST /v1/events/ingest`` (polarsource/polar, server/polar/event/schemas.py).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.call import TagValue

MAX_METADATA_KEYS: Final = 50
MAX_KEY_CHARACTERS: Final = 40
MAX_VALUE_CHARACTERS: Final = 500
MAX_INTEGER_BITS: Final = 63

# NUL is refused by Polar, and a lone surrogate cannot be encoded at all.
UNSENDABLE: Final = re.compile("[\x00\ud800-\udfff]")

MetadataValue: TypeAlias = "str | int | float | bool | Mapping[str, str | int]"
Metadata: TypeAlias = "Mapping[str, MetadataValue]"

_CONTRACT_KEYS: Final = frozenset(
    {
        *("cost_nanos", "cost_currency", "price_source", "price_model", "price_approximate", "charge_nanos"),
        *("generation_id", "service_name", "estimated"),
    },
)
"""Keys that are ours even on an event that happens to lack them."""


def sanitise_metadata(metadata: Mapping[Any, object], *, max_keys: int = MAX_METADATA_KEYS) -> dict[str, TagValue]:
    """What Polar accepts of *metadata*.

    At most *max_keys* keys of 40 characters; text of 1 to 500 characters without NUL and lone surrogates; numbers that
    are finite and whole ones of at most 63 bits; lists of names joined by commas; nothing nested. What cannot be made
    to fit is left out. Dots in keys become underscores; leading underscores are Polar's own and go.
    """
    result: dict[str, TagValue] = {}
    for raw_key, raw_value in metadata.items():
        if len(result) >= max_keys:
            break
        key = _sanitise_key(raw_key)
        value = _sanitise_value(raw_value)
        if key and value is not None:
            result.setdefault(key, value)
    return result


def add_tags(contract: Metadata, tags: Mapping[str, TagValue]) -> Metadata:
    """The contract's metadata, then the tags that still fit.

    A tag whose key belongs to the contract is written as ``tag_<key>``: no tag can pass for a token count or a cost.
    """
    if not tags:
        return contract
    metadata = dict(contract)
    for key, value in sanitise_metadata(tags, max_keys=MAX_METADATA_KEYS - len(contract)).items():
        is_taken = key in contract or key in _CONTRACT_KEYS
        metadata[f"tag_{key}"[:MAX_KEY_CHARACTERS] if is_taken else key] = value
    return metadata


def sanitise_text(value: str, max_characters: int) -> str:
    """Text that Polar accepts: without NUL and lone surrogates, cut to *max_characters* code points."""
    if len(value) <= max_characters and value.isascii() and "\0" not in value:
        # Almost any.
        return value
    return UNSENDABLE.sub("", value)[:max_characters]


def _sanitise_key(key: object) -> str:
    if not isinstance(key, str):
        return ""
    return sanitise_text(key, MAX_KEY_CHARACTERS).replace(".", "_").lstrip("_")


def _sanitise_value(value: object) -> TagValue | None:
    if isinstance(value, (list, tuple)):
        value = ",".join(item for item in value if isinstance(item, str))
    if isinstance(value, str):
        return sanitise_text(value, MAX_VALUE_CHARACTERS) or None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_INTEGER_BITS else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None
