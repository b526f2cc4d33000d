"""From what a keyword or an environment variable holds to a checked value, or one clear :class:`ConfigError`.

Every converter takes the option's name, as the message should show it, and the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from otel_polar.errors import ConfigError

MAX_EVENT_NAME_CHARACTERS: Final = 128
MAX_FACTOR_DIGITS: Final = 24
MIN_SECRET_CHARACTERS: Final = 16


def text(name: str, value: object) -> str:
    """Text that is not empty, without the white space around it."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name} is {value!r}: it must be text that is not empty")
    return value.strip()


def token(name: str, value: object) -> str:
    """An access token. It is a secret, so the message never repeats it."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, not {type(value).__name__}")
    checked = text(name, value)
    if not checked.isascii() or not checked.isprintable() or " " in checked:
        raise ConfigError(f"{name} has characters that no access token has (spaces, line breaks or non-ASCII)")
    return checked


def url(name: str, value: object) -> str:
    """A URL with scheme http or https, without a slash at its end."""
    checked = text(name, value)
    try:
        parts = urlsplit(checked)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in checked):
        raise ConfigError(
            f"{name} is {checked!r}: it must be a URL that begins with http:// or https:// and names a host"
        )
    return checked.rstrip("/")


def event_name(name: str, value: object) -> object:
    """An event name of 1 to 128 characters, or a function that answers one."""
    return value if callable(value) else name_of_event(name, value)


def name_of_event(name: str, value: object) -> str:
    """An event name of 1 to 128 characters."""
    checked = text(name, value)
    if len(checked) > MAX_EVENT_NAME_CHARACTERS:
        raise ConfigError(f"{name} has {len(checked)} characters: Polar takes at most {MAX_EVENT_NAME_CHARACTERS}")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in checked):
        raise ConfigError(f"{name} is {checked!r}: it contains NUL or half a character, which Polar refuses")
    return checked


def function(name: str, value: object) -> object:
    """Any function; what it answers is checked when it answers."""
    if not callable(value):
        raise ConfigError(f"{name} is {value!r}: it must be a function of the call and its metadata")
    return value


def functions(name: str, value: object) -> tuple[object, ...]:
    """One function, or several; what they answer is checked when they answer."""
    several = (value,) if callable(value) or not isinstance(value, Iterable) else tuple(value)
    for each in several:
        if not callable(each):
            raise ConfigError(f"{name} is {value!r}: it must be a function of a PriceQuery, or several")
    return several


def span_rules(name: str, value: object) -> tuple[object, ...]:
    """One rule, or several."""
    several = (value,) if hasattr(value, "matches") or not isinstance(value, Iterable) else tuple(value)
    for each in several:
        if not hasattr(each, "matches"):
            raise ConfigError(f"{name} is {value!r}: it must be a SpanRule, or several")
    return several


def rate_card(name: str, value: object) -> object:
    """The file of a rate card, or a card itself; its content is checked when it is read."""
    if isinstance(value, (str, Path)):
        return directory(name, value)
    if not isinstance(value, Mapping) and not callable(value):
        raise ConfigError(f"{name} is {value!r}: it must be a file, a mapping or a RateCard")
    return value


def pairs(name: str, value: object) -> tuple[tuple[str, str], ...]:
    """``provider=attribute``, several separated by commas, or a mapping."""
    told = value
    if isinstance(value, str):
        value = {key.strip(): text.strip() for key, _, text in (pair.partition("=") for pair in value.split(","))}
    texts = [text for pair in value.items() for text in pair] if isinstance(value, Mapping) else [None]
    if not isinstance(value, Mapping) or not all(isinstance(text, str) and text for text in texts):
        raise ConfigError(f"{name} is {told!r}: it must be provider=attribute, several separated by commas")
    return tuple(value.items())


def factor(minimum: int, maximum: int) -> Callable[[str, object], Decimal]:
    """A converter that takes exact factors from *minimum* to *maximum*; a float stands for its 15 exact digits."""

    def convert(name: str, value: object) -> Decimal:
        try:
            found = Decimal(format(value, ".15g") if isinstance(value, float) else str(value).strip())
        except InvalidOperation:
            found = Decimal("NaN")
        if isinstance(value, bool) or not found.is_finite() or not minimum <= found <= maximum:
            raise ConfigError(f"{name} is {value!r}: it must be a number from {minimum} to {maximum}")
        if len(found.as_tuple().digits) > MAX_FACTOR_DIGITS:
            raise ConfigError(f"{name} is {value!r}: it has more than {MAX_FACTOR_DIGITS} digits")
        return found

    return convert


def markup(name: str, value: object) -> object:
    """A factor of 0 to 1000, or a function."""
    return value if callable(value) else factor(0, 1_000)(name, value)


def keys(name: str, value: object) -> tuple[str, ...]:
    """One key, several separated by commas, or an iterable of keys."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name} is {value!r}: it must be one key, or several separated by commas")
    found = tuple(key.strip() if isinstance(key, str) else key for key in value)
    if any(not isinstance(key, str) or not key for key in found):
        raise ConfigError(f"{name} is {value!r}: every key must be text that is not empty")
    return found


def hosts(name: str, value: object) -> tuple[str, ...]:
    """Names of hosts, ``*`` for any text, without scheme, port and path."""
    found = keys(name, value)
    for host in found:
        is_named_port = host.count(":") == 1 and host.rpartition(":")[2].isdigit()
        if "/" in host or "@" in host or is_named_port or any(character.isspace() for character in host):
            raise ConfigError(f"{name} is {host!r}: it must be the name of a host, without scheme, port and path")
    return found


def directory(name: str, value: object) -> Path:
    """An absolute path; ``~`` stands for the home directory."""
    path = value if isinstance(value, Path) else Path(text(name, value))
    try:
        if "\0" in str(path):
            raise ConfigError(f"{name} is {str(path)!r}: a path cannot contain NUL")
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{name} is {str(path)!r}: {error}") from error


def switch(name: str, value: object) -> bool:
    """``true`` or ``false``, in words or as a truth value."""
    words = {"true": True, "false": False}
    told = words.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(told, bool):
        raise ConfigError(f"{name} is {value!r}: it must be 'true' or 'false'")
    return told


def secret(name: str, value: object) -> str:
    """A secret of at least 16 characters; the message never repeats it."""
    if not isinstance(value, str) or len(value.strip()) < MIN_SECRET_CHARACTERS:
        raise ConfigError(f"{name} must be text of at least {MIN_SECRET_CHARACTERS} characters")
    return value.strip()


def estimate(name: str, value: object) -> object:
    """``off``, ``bytes``, or a function of a model and a text."""
    if callable(value):
        return value
    return None if one_of("off", "bytes")(name, value) == "off" else "bytes"


def one_of(*choices: str) -> Callable[[str, object], str]:
    """A converter that takes exactly the *choices*."""

    def convert(name: str, value: object) -> str:
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}: it must be {' or '.join(repr(choice) for choice in choices)}")
        return str(value)

    return convert


def number(minimum: float, maximum: float) -> Callable[[str, object], float]:
    """A converter that takes numbers from *minimum* to *maximum*, also written as text."""

    def convert(name: str, value: object) -> float:
        try:
            number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not minimum <= number <= maximum:
            raise ConfigError(f"{name} is {_shown(value)}: it must be a number from {minimum:g} to {maximum:g}")
        return number

    return convert


def whole(minimum: int, maximum: int) -> Callable[[str, object], int]:
    """The same of whole numbers."""
    in_range = number(minimum, maximum)

    def convert(name: str, value: object) -> int:
        found = in_range(name, value)
        if found != int(found):
            raise ConfigError(f"{name} is {value!r}: it must be a whole number")
        return int(found)

    return convert


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        # Python refuses to write a number of more than 4300 digits.
        return f"a {type(value).__name__} too long to write"
