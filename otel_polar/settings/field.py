"""One option: a dataclass field that knows its variable, its unit and what it is for."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def setting(
    default: Any,
    *,
    variable: str,
    unit: str,
    about: str,
    convert: Callable[[str, Any], Any],
    is_secret: bool = False,
) -> Any:
    """A field; ``convert`` takes the option's name, as messages show it, and a value, and answers the checked value."""
    metadata = {"variable": variable, "unit": unit, "about": about, "convert": convert}
    return field(default=default, repr=not is_secret, metadata=metadata)
