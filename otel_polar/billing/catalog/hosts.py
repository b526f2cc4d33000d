"""Which provider was really called: the address of the server, where it says something else than the span's name.

The ``openai`` client is pointed at DeepSeek, Groq or OpenRouter, and its instrumentation goes on calling the provider
``openai``. A host that is nobody's known one, a proxy, a company's gateway or a local stub, is taken to pass the call
on, which makes the price approximate: what answers under another name than the provider's models has none anyway.
"""

from __future__ import annotations

import re
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genai_prices.types import Provider

MAX_HOSTS: Final = 1024

_HOST: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(\[[^\]]*\]|[^/:]*)(?::\d*)?(?:/.*)?")
AS_IF_CALLED_DIRECTLY: Final = "as if called directly"
"""How a host that is nobody's known one is priced."""

_READABLE: Final = re.compile(r"[a-z0-9._:-]{1,253}")
_MORE_PATTERNS: Final = {
    # Hosts that the patterns of genai-prices 0.2.3 leave out.
    "openai": r"https://[a-z]+\.api\.openai\.com/",
    "aws": r"https://(?:[^/]+\.)?bedrock(?:-runtime|-mantle)?(?:-fips)?\.[^/]*\.?amazonaws\.com/",
}
_OTHER_PRICES: Final = (
    # Hosts at which a provider's list price is known not to hold.
    (re.compile(r"\.us-gov-"), "AWS GovCloud costs more than the list says"),
    (re.compile(r"\.azure\.us$"), "Azure Government costs more than the list says"),
    (re.compile(r"\.(?:amazonaws\.com|azure)\.cn$"), "regions in China have price lists of their own"),
)
_UPLIFTS: Final = (
    # Hosts at which newer models cost a surcharge that the list does not have.
    (re.compile(r"^(?!global)[a-z]+\.api\.openai\.com$"), "OpenAI's regional endpoints may cost 10 % more"),
    (re.compile(r"^(?!aiplatform)[^.]+-aiplatform\.googleapis\.com$"), "regional endpoints may cost 10 % more"),
)


def host_of(server_address: str) -> str:
    """The host in *server_address* (a host with or without a port, an IPv6 address, or a URL), in lower case.

    What cannot be one, such as the path of a socket, is ``unreadable``: it may hold anything, and is shown in logs.
    """
    address = server_address.strip().lower()
    with suppress(ValueError):
        return str(ip_address(address.strip("[]")))
    found = _HOST.fullmatch(address)
    host = "" if found is None else found[1].strip("[]").rstrip(".")
    return host if _READABLE.fullmatch(host) else "unreadable"


class Place(NamedTuple):
    """Where a call went: ``provider`` is an id of genai-prices, ``None`` for a host that is nobody's known one.

    ``is_self_hosted`` if the user says so. ``why_other`` says why no list price holds there, and
    ``notes`` why it may be off.
    """

    host: str
    provider: str | None
    is_self_hosted: bool
    why_other: str | None = None
    notes: tuple[str, ...] = ()


class Hosts:
    """The addresses of the providers in one price list, and of the user's own gateways."""

    def __init__(
        self,
        providers: Iterable[Provider],
        gateways: Sequence[str] = (),
        self_hosted: Sequence[str] = (),
    ) -> None:
        self._patterns = [(provider.id, re.compile(provider.api_pattern)) for provider in providers]
        self._patterns += [(name, re.compile(pattern)) for name, pattern in _MORE_PATTERNS.items()]
        self._gateways = tuple(gateway.lower() for gateway in gateways)
        self._self_hosted = tuple(host.lower() for host in self_hosted)
        self.place = lru_cache(maxsize=MAX_HOSTS)(self._place)

    def _place(self, server_address: str) -> Place | None:
        """Where *server_address* is; ``None`` if it is a gateway, which says nothing."""
        host = host_of(server_address)
        if any(fnmatchcase(host, gateway) for gateway in self._gateways):
            return None
        provider = next((name for name, pattern in self._patterns if _is_at(pattern, host)), None)
        return Place(
            host,
            provider,
            is_self_hosted=any(fnmatchcase(host, own) for own in self._self_hosted),
            why_other=next((why for pattern, why in _OTHER_PRICES if pattern.search(host)), None),
            notes=(
                *(why for pattern, why in _UPLIFTS if pattern.search(host)),
                *(() if provider is not None else (f"through {host}, {AS_IF_CALLED_DIRECTLY}",)),
            ),
        )


def _is_at(pattern: re.Pattern[str], host: str) -> bool:
    # Some of the patterns want the slash, some go on into the path, which a span does not have.
    found = pattern.match(f"{_SCHEME}{host}/")
    if found is None:
        return False
    # Most do not say where the host ends: api.openai.com.example is somebody else's.
    return found.end() >= len(_SCHEME) + len(host) or pattern.pattern.endswith(_OPEN_END)


_SCHEME: Final = "https://"
_OPEN_END: Final = r"\."
