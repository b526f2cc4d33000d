"""The provider's own id of an answer, and whether it is one: minted at random, so that no two answers share it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_CHARACTERS: Final = 16
_DISTINCT_CHARACTERS: Final = 8
_SAFE: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_SEPARATORS: Final = re.compile(r"[_.:\-]")
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


@lru_cache(maxsize=1024)
def is_strong_id(response_id: str) -> bool:
    """Whether a response id was minted at random: a UUID, or a run of at least 16 letters and digits mixed.

    A short or constant-looking id (Ollama mints ``chatcmpl-0`` to ``chatcmpl-998``) would make two calls one.
    """
    if not is_safe(response_id) or response_id.startswith(_MINTED_BY_FRAMEWORKS):
        return False
    if (uuid := _UUID.search(response_id)) is not None:
        return len(set(uuid[0])) >= _DISTINCT_CHARACTERS
    return any(_is_random(part) for part in _SEPARATORS.split(response_id))


def is_safe(name: str) -> bool:
    """Whether *name* can be a part of Polar's ``external_id`` as it is."""
    return _SAFE.fullmatch(name) is not None


def issuer(response_id: str) -> str | None:
    """Who mints ids that begin like this; ``None`` if that is not known."""
    for beginning, name in _ISSUERS.items():
        if response_id.startswith(beginning):
            return name
    return None


def _is_random(part: str) -> bool:
    if len(part) < _CHARACTERS or len(set(part)) < _DISTINCT_CHARACTERS or not part.isalnum():
        return False
    # Without a digit it may be made of words, as constants in stand-ins are. One of 170 random runs of 29 has none,
    # too; its call is then known by its span, which is safe.
    return any(character.isdigit() for character in part) and any(character.isalpha() for character in part)
