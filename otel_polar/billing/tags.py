"""Tags: what else an event says of a call, such as the plan of its customer.

They come from anywhere, and must never cost the call: what cannot be written is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.span import Attributes

MAX_TAG_BITS: Final = 63
MAX_TAG_CHARACTERS: Final = 500
"""What Polar takes of a text; more than that must not fill the disk."""


def read_tags(attributes: Attributes, tag_keys: Iterable[str]) -> dict[str, TagValue]:
    """The tags a span has under these keys."""
    return build_tags({key: attributes[key] for key in tag_keys if key in attributes})


def build_tags(values: Mapping[str, object]) -> dict[str, TagValue]:
    """Tags as metadata can hold them; what cannot be written is left out, as it must not cost the call."""
    written = {key: _tag_value(value) for key, value in values.items()}
    return {key: value for key, value in written.items() if value is not None}


def _tag_value(value: object) -> TagValue | None:
    if isinstance(value, str):
        return value[:MAX_TAG_CHARACTERS]
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_TAG_BITS else None
    if value is None:
        return None
    try:
        text = ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
    except Exception:  # noqa: BLE001 - how a value is written is the user's code
        return None
    return text[:MAX_TAG_CHARACTERS]
