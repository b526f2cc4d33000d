"""The variables: what is wrong in them, misspelt, missing, or of another kind than it looks."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from otel_polar.checkup.finding import Finding, note, problem, warning, well
from otel_polar.errors import ConfigError
from otel_polar.polar_api.client import SERVERS
from otel_polar.settings import DEFAULT_REQUESTS_PER_MINUTE, Settings
from otel_polar.settings.credits import CreditSettings
from otel_polar.settings.field import settings_in
from otel_polar.settings.serve import KafkaSettings, ServeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OURS: Final = "OTEL_POLAR_"
_POLARS: Final = "POLAR_"
_LIKE_ENOUGH: Final = 0.7
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_BY_OTHER_NAMES: Final[Mapping[str, str]] = {
    # What other libraries and Polar's own examples call them.
    "POLAR_API_KEY": "POLAR_ACCESS_TOKEN",
    "POLAR_API_TOKEN": "POLAR_ACCESS_TOKEN",
    "POLAR_TOKEN": "POLAR_ACCESS_TOKEN",
    "POLAR_ENV": "POLAR_SERVER",
    "POLAR_ENVIRONMENT": "POLAR_SERVER",
    "POLAR_MODE": "POLAR_SERVER",
    "POLAR_API_URL": "POLAR_BASE_URL",
    "POLAR_SERVER_URL": "POLAR_BASE_URL",
}

ORGANIZATION_TOKEN: Final = "polar_oat_"  # noqa: S105 - the public prefix of every such token
_OTHER_TOKENS: Final[Mapping[str, str]] = {
    "polar_pat_": "a personal access token",
    "polar_at_": "an OAuth token of a user",
    "polar_cst_": "a customer's session token",
    "polar_whs_": "the secret of a webhook",
    "polar_cs_": "the secret of an OAuth client",
}


def known_variables() -> frozenset[str]:
    """Every variable that this package reads."""
    tables = (Settings, ServeSettings, KafkaSettings, CreditSettings)
    return frozenset(metadata["variable"] for table in tables for metadata in settings_in(table).values()) - {""}


def variable_findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong in the variables themselves; nothing else needs to be looked at for that."""
    yield from _unusable(environ)
    yield from _misspelt(environ)
    yield from _switched_off(environ)
    yield from _sampled(environ)


def setting_findings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the settings, usable as they are, mean."""
    yield _token(settings.access_token)
    if settings.base_url is not None:
        yield from _base_url(settings.base_url)
    elif not environ.get("POLAR_SERVER", "").strip() and settings.server == "sandbox":
        yield note(
            "settings.server",
            "usage goes to Polar's sandbox, because POLAR_SERVER is not set",
            why="Nothing there is real: no customer pays for it.",
            do=("export POLAR_SERVER=production    # with a token of production, once it is to be real",),
        )
    else:
        yield well("settings.server", f"usage goes to Polar's {settings.server} server ({SERVERS[settings.server]})")
    limit = DEFAULT_REQUESTS_PER_MINUTE[settings.server]
    if settings.requests_per_minute is not None and settings.requests_per_minute > limit and settings.base_url is None:
        yield warning(
            "settings.budget",
            f"requests_per_minute is {settings.requests_per_minute:g}, and Polar allows {limit:g}",
            why="Polar refuses what is more for a minute, to every program of the organization.",
            do=("unset OTEL_POLAR_REQUESTS_PER_MINUTE",),
        )


def _unusable(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every value that cannot be used: the application is told of the first one only."""
    found = False
    for name, metadata in settings_in(Settings).items():
        if (error := _error_of(name, metadata, environ)) is not None:
            found = True
            yield problem(
                "settings.value",
                str(error),
                why="An application with this setting does not start its billing.",
                do=(f"export {metadata['variable']}=...    # {metadata['unit']}",),
            )
    if not found:
        yield well("settings.value", "every variable that is set can be used")


def _error_of(name: str, metadata: Mapping[str, Any], environ: Mapping[str, str]) -> ConfigError | None:
    value = environ.get(metadata["variable"], "").strip()
    if not value:
        return None
    try:
        metadata["convert"](f"{name} ({metadata['variable']})", value)
    except ConfigError as error:
        return error
    return None


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = known_variables()
    for name in sorted(environ):
        if name in known or not name.startswith((_OURS, _POLARS)) or not environ[name].strip():
            continue
        near = _BY_OTHER_NAMES.get(name) or _nearest(name, known)
        if near is None and name.startswith(_POLARS):
            # Somebody's own, such as POLAR_ORGANIZATION_ID.
            continue
        if name.startswith(_POLARS) and near is not None and environ.get(near, "").strip():
            continue
        yield warning(
            "settings.name",
            f"{name} is set, and nothing reads it" + ("" if near is None else f": {near} is meant, perhaps"),
            why="The option has its default instead of what you have set.",
            do=(f"unset {name}",) if near is None else (f'export {near}="${name}"; unset {name}',),
        )


def _nearest(name: str, known: frozenset[str]) -> str | None:
    """The variable that is nearly called so; what they all begin with makes none alike."""
    by_rest = {each.removeprefix(_OURS).removeprefix(_POLARS): each for each in known}
    rest = name.removeprefix(_OURS).removeprefix(_POLARS)
    found = difflib.get_close_matches(rest, by_rest, n=1, cutoff=_LIKE_ENOUGH)
    return by_rest[found[0]] if found else None


def _switched_off(environ: Mapping[str, str]) -> Iterator[Finding]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield problem(
            "settings.sdk_disabled",
            "OTEL_SDK_DISABLED is true",
            why="OpenTelemetry makes no spans then, so no model call is billed.",
            do=("unset OTEL_SDK_DISABLED",),
        )


def _sampled(environ: Mapping[str, str]) -> Iterator[Finding]:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    share = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if sampler.endswith(("traceidratio", "always_off")):
        told = f"{sampler}, {share}" if share and not sampler.endswith("always_off") else sampler
        yield warning(
            "settings.sampler",
            f"OTEL_TRACES_SAMPLER is {told}: only a part of all calls has spans",
            why="What is not sampled is billed by PolarInstrumentor only, not by PolarSpanProcessor alone.",
            do=("otel-polar doctor --app module:function    # whether it is in place",),
        )


def _token(token: str | None) -> Finding:
    if token is None:
        return problem(
            "settings.token",
            "there is no access token (POLAR_ACCESS_TOKEN)",
            why="Without one nothing is recorded and nobody is billed.",
            do=(
                "# in Polar: Settings, Developers, New token, with the scope events:write",
                "export POLAR_ACCESS_TOKEN=polar_oat_...",
            ),
        )
    if token.startswith(ORGANIZATION_TOKEN):
        return well("settings.token", "the access token is one of an organization")
    kind = next((kind for prefix, kind in _OTHER_TOKENS.items() if token.startswith(prefix)), None)
    why = "Events must come with the token of the organization that they belong to; Polar refuses them otherwise."
    do = ("# in Polar: Settings, Developers, New token", "export POLAR_ACCESS_TOKEN=polar_oat_...")
    if kind is not None:
        return problem("settings.token", f"POLAR_ACCESS_TOKEN is {kind}, not of an organization", why=why, do=do)
    return warning("settings.token", "POLAR_ACCESS_TOKEN does not begin with polar_oat_", why=why, do=do)


def _base_url(base_url: str) -> Iterator[Finding]:
    parts = urlsplit(base_url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    server = next((server for server, url in SERVERS.items() if urlsplit(url).hostname == parts.hostname), None)
    if parts.path.rstrip("/").endswith("/v1"):
        yield problem(
            "settings.base_url",
            f"base_url (POLAR_BASE_URL) ends with /v1: {address}",
            why="/v1 is put behind it, so Polar is asked for what it does not have.",
            do=(f"export POLAR_BASE_URL={address.rstrip('/').removesuffix('/v1')}",),
        )
    elif server is not None:
        yield warning(
            "settings.base_url",
            f"base_url (POLAR_BASE_URL) is Polar's own address of its {server} server",
            why="Outbox directory and rate limit go by POLAR_SERVER, which may be set to the other one.",
            do=(f"export POLAR_SERVER={server}; unset POLAR_BASE_URL",),
        )
    elif parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        yield warning(
            "settings.base_url",
            f"base_url (POLAR_BASE_URL) is {address}, without TLS",
            why="Whoever is on the way reads the access token and whom each call is for.",
            do=("export POLAR_BASE_URL=https://...",),
        )
    else:
        yield note(
            "settings.base_url",
            f"usage goes to {address} (POLAR_BASE_URL), not to a server of Polar's own",
            why="That is right for `otel-polar sandbox` or a proxy of yours, and nowhere else.",
        )
