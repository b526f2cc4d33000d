r"""Text of strangers, made fit to be shown: no control characters, nothing that turns a line around, no endless names.

What cannot be seen is written as its code point (``\u202e``), so that two names that differ do not look alike.
"""

from __future__ import annotations

import unicodedata
from hashlib import sha256
from typing import Final

MAX_NAME_CHARACTERS: Final = 80
MAX_KEPT_CHARACTERS: Final = 500
"""As long as a text on an event may be, and an id is shorter."""

MAX_TEXT_CHARACTERS: Final = 2_000
_MARK_CHARACTERS: Final = 8

# Control, format (such as the overrides of direction), surrogates, private use, unassigned, and both separators.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_text(text: str, *, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """*text* in at most about *limit* characters; its lines stay lines."""
    cut = text if len(text) <= limit else text[:limit] + "\u2026"
    return "".join(character if character == "\n" else _visible(character) for character in cut)


def shown_name(name: str) -> str:
    """*name* on one line. A long one is cut, with a mark at its end that tells it from others that begin alike."""
    if len(name) > MAX_NAME_CHARACTERS:
        mark = sha256(name.encode(errors="backslashreplace")).hexdigest()[:_MARK_CHARACTERS]
        name = f"{name[:MAX_NAME_CHARACTERS]}\u2026 #{mark}"
    return "".join(_visible(character) for character in name)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x1_0000 else f"\\U{number:08x}"  # noqa: PLR2004 - as Python writes them


def fitting(name: str) -> str:
    """*name* as it can be kept in memory: no two are the same that were not before."""
    if len(name) <= MAX_KEPT_CHARACTERS:
        return name
    return name[:MAX_NAME_CHARACTERS] + sha256(name.encode(errors="backslashreplace")).hexdigest()
