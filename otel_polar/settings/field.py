"""One option: a dataclass field that knows its variable, its unit and what it is for."""

from __future__ import annotations

from dataclasses import field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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


def settings_in(table: type) -> dict[str, Mapping[str, Any]]:
    """What is known of each option of a table, by its name."""
    return {each.name: each.metadata for each in fields(table) if "convert" in each.metadata}


def load_values(
    table: type, options: Mapping[str, Any], environ: Mapping[str, str], *, prefix: str = ""
) -> dict[str, Any]:
    """The checked values of a table's options: from *options* and, where those are ``None``, from the environment.

    *prefix* comes before the names in messages. What is in neither is left out.

    Raises:
        ConfigError: if a value cannot be used.
    """
    values: dict[str, Any] = {}
    for name, metadata in settings_in(table).items():
        variable: str = metadata["variable"]
        value = options.get(name)
        if value is None and variable:
            value = environ.get(variable, "").strip() or None
        if value is not None:
            shown = f"{prefix}{name} ({variable})" if variable else f"{prefix}{name}"
            values[name] = metadata["convert"](shown, value)
    return values
