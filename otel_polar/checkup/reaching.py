"""Why Polar cannot be reached, in words: the name, the connection, the certificate, or what answers there."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from otel_polar.checkup.finding import Finding, note, problem
from otel_polar.errors import PolarRateLimitedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_polar.errors import PolarError

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")

_WHY: Final = "Calls wait on disk until Polar can be reached; they are not lost."


def proxy_findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Proxies that every request goes through, because the environment says so."""
    if (name := next((name for name in _PROXIES if environ.get(name, "").strip()), None)) is not None:
        # Without a scheme it is an address all the same; with a password it must not be shown.
        host = environ[name].strip().rpartition("://")[2].rpartition("@")[2].partition("/")[0]
        yield note("polar.proxy", f"requests to Polar go through the proxy {host} ({name})")


def unreachable(address: str, error: PolarError) -> Finding:
    """The finding for a Polar that did not answer, or with nothing that makes sense."""
    if isinstance(error, PolarRateLimitedError):
        return problem(
            "polar.rate",
            str(error),
            why="The requests of this minute are used up, by all programs of the organization together.",
            do=("# wait a minute, and see what else asks Polar",),
        )
    what, do = _in_words(error)
    return problem("polar.reach", f"{address} cannot be reached: {what}", why=_WHY, do=do)


def _in_words(error: BaseException) -> tuple[str, tuple[str, ...]]:
    causes = list(_causes(error))
    for kinds, what, do in _WORDS:
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            told = getattr(found, "verify_message", None) or found
            return what.format(told), do
    return str(error), ("# see to the network, POLAR_SERVER and POLAR_BASE_URL",)


# The most particular first.
_WORDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, tuple[str, ...]], ...]] = (
    (
        socket.gaierror,
        "its name cannot be resolved (DNS)",
        ("# see to the name servers of this machine, and POLAR_BASE_URL",),
    ),
    (
        ssl.SSLCertVerificationError,
        "its certificate is not believed ({})",
        (
            "# behind a proxy that reads TLS: export SSL_CERT_FILE=/path/to/its/ca.pem",
            "# otherwise see to the clock of this machine",
        ),
    ),
    (
        ssl.SSLError,
        "what answers there does not speak TLS",
        ("# see POLAR_BASE_URL: http:// or https://, and the port",),
    ),
    (
        ConnectionRefusedError,
        "nobody listens there",
        ("# see POLAR_BASE_URL; `otel-polar sandbox` has to be running",),
    ),
    (
        (TimeoutError, httpx.TimeoutException),
        "it does not answer in time",
        ("# see to the firewall and the proxy of this machine",),
    ),
    (httpx.ProxyError, "the proxy refuses ({})", ("# see HTTPS_PROXY and NO_PROXY",)),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
