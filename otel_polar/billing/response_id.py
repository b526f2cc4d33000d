"""The provider's own id of an answer, and whether it is one: minted at random, so that no two answers share it."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

_CHARACTERS: Final = 16
_CHARACTERS_WITHOUT_DIGIT: Final = 24
_DISTINCT_CHARACTERS: Final = 8
_SAFE: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_SEPARATORS: Final = re.compile(r"[_.:\-]")
_LETTER: Final = re.compile(r"[A-Za-z]")
_DIGIT: Final = re.compile(r"[0-9]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

_MINTED_BY_FRAMEWORKS: Final = ("lc_run-", "run-")
"""LangChain's own ids, where the provider has none: no other span of the call knows them."""

_ISSUERS: Final = {
    # How ids begin -> whose they are, whatever provider the emitter names: a client of OpenAI's that talks to Azure or
    # to a proxy says "openai", the proxy "azure".
    "chatcmpl-": "openai",
    "resp_": "openai",
    "cmpl-": "openai",
    "msg_": "anthropic",
    "gen-": "openrouter",
}


@lru_cache(maxsize=16_384)
def is_strong_id(response_id: str) -> bool:
    """Whether a response id was minted at random: a UUID, or a run of at least 16 letters and digits mixed.

    A run without a digit must be longer, and small and capital letters mixed in it.

    A short or constant-looking id (Ollama mints ``chatcmpl-0`` to ``chatcmpl-998``) would make two calls one.
    """
    if not is_safe(response_id) or response_id.startswith(_MINTED_BY_FRAMEWORKS):
        return False
    if (uuid := _UUID.search(response_id)) is not None:
        return len(set(uuid[0])) >= _DISTINCT_CHARACTERS
    return any(_is_random(part) for part in _SEPARATORS.split(response_id))


def tells_apart(response_id: str) -> bool:
    """Whether another id of the same issuer is surely another answer's: both are as long as those minted at random.

    It need not be strong: what looks like words may have been minted at random.
    """
    if is_strong_id(response_id):
        return True
    return is_safe(response_id) and any(_is_long(part) for part in _SEPARATORS.split(response_id))


def is_safe(name: str) -> bool:
    """Whether *name* can be a part of Polar's ``external_id`` as it is."""
    return _SAFE.fullmatch(name) is not None


def issuer(response_id: str) -> str | None:
    """Who mints ids that begin like this; ``None`` if that is not known."""
    for beginning, name in _ISSUERS.items():
        if response_id.startswith(beginning):
            return name
    return None


def _is_long(part: str) -> bool:
    return len(part) >= _CHARACTERS and len(set(part)) >= _DISTINCT_CHARACTERS and part.isalnum()


def _is_random(part: str) -> bool:
    if not _is_long(part):
        return False
    if _LETTER.search(part) is None:
        return False
    return _DIGIT.search(part) is not None or _has_random_case(part)


def _has_random_case(part: str) -> bool:
    """Whether small and capital letters come as a coin falls.

    One of 170 ids of OpenAI's has no digit. Constants in stand-ins are made of words, where capitals are fewer; of what
    is minted at random without a digit, nine of ten pass.
    """
    count = len(part)
    capitals = sum(character.isupper() for character in part)
    changes = sum(one.isupper() != other.isupper() for one, other in pairwise(part))
    return (
        count >= _CHARACTERS_WITHOUT_DIGIT
        and 0.34 * count <= capitals <= 0.66 * count
        and 0.3 * count <= changes <= 0.7 * count
    )
