"""What Polar says: whether the token is good, for which organization and what, what time it is, and what counts usage.

Nothing is changed. What a token may do is found out by asking for what cannot be: an empty batch of events is stored
as nothing (polarsource/polar, server/polar/event/service.py), and a list where an object has to be is refused before
anything is looked at, but after the token's scopes are (FastAPI resolves its dependencies first).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_polar.checkup.finding import Finding, note, problem, unknown, warning, well
from otel_polar.checkup.meters import meter_findings
from otel_polar.checkup.reaching import unreachable
from otel_polar.errors import (
    PolarDeniedError,
    PolarError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from otel_polar.polar_api import fields
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.client import PolarApi
from otel_polar.polar_api.meters import Meter, list_meters
from otel_polar.polar_api.organization import read_organizations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_polar.settings import Settings

INGEST: Final = "/v1/events/ingest"
MAX_AHEAD_S: Final = 2.0
"""Polar tells the time in whole seconds, and refuses an event that is later than its clock."""

MAX_APART_S: Final = 3_600.0
_AT_ONCE: Final = 60_000.0
"""Somebody waits, and it is about ten requests."""

_UNAUTHORIZED: Final = 401
_OTHER: Final[Mapping[str, str]] = {"sandbox": "production", "production": "sandbox"}


@dataclass(frozen=True, slots=True)
class _Scope:
    name: str
    is_for: str
    ask: Callable[[PolarApi], object]


_NO_OBJECT: Final[list[object]] = []
_SCOPES: Final = (
    _Scope("meters:read", "doctor, reconcile, credits", lambda api: api.get("/v1/meters/", {"limit": 1})),
    _Scope("customers:read", "doctor --customer, credits", lambda api: api.get("/v1/customers/", {"limit": 1})),
    _Scope(
        "customers:write",
        "customers ensure, ensure_customers",
        lambda api: api.post("/v1/customers/", _NO_OBJECT),
    ),
    _Scope("meters:write", "setup", lambda api: api.post("/v1/meters/", _NO_OBJECT)),
    _Scope("products:write", "setup with a product", lambda api: api.post("/v1/products/", _NO_OBJECT)),
    _Scope("benefits:write", "setup with credits", lambda api: api.post("/v1/benefits/", _NO_OBJECT)),
)


class PolarLook:
    """Polar, as one token sees it. After :meth:`findings` its ``meters`` are known, if the token may read them.

    Args:
        settings: with an access token.
        addresses: of Polar's servers.
    """

    def __init__(self, settings: Settings, addresses: Mapping[str, str]) -> None:
        self._settings = settings
        self._addresses = addresses
        self.api = _api(settings, addresses[settings.server])
        self.is_usable = False
        """Whether it answers, and knows the token."""
        self.meters: list[Meter] | None = None

    def findings(self) -> Iterator[Finding]:
        """Ask it."""
        yield from self._first()
        if not self.is_usable:
            return
        yield from clock_findings(self.api.clock.now(time.monotonic()), time.time())
        yield from self._organization()
        yield from self._scopes()
        try:
            self.meters = list_meters(self.api)
        except PolarDeniedError:
            # It is among the scopes that are missing.
            return
        except PolarError as error:
            yield unknown("polar.meters", str(error))
            return
        yield from meter_findings(self.meters, self._settings.event_name)

    def _first(self) -> Iterator[Finding]:
        address = self.api.address
        try:
            # Anything may answer with 200 at a wrong address; only Polar says this.
            fields.whole(self.api.post(INGEST, {"events": []}), "inserted")
        except PolarDeniedError as error:
            if error.status == _UNAUTHORIZED:
                yield self._unknown_token(error)
                return
            self.is_usable = True
            yield _may_not_send(error)
            return
        except PolarRefusedError:
            # It was looked at, which is all that was wanted.
            pass
        except PolarNotFoundError:
            yield problem(
                "polar.reach",
                f"what answers at {address} knows no {INGEST}",
                why="Calls wait on disk, and nobody is billed.",
                do=("# see POLAR_BASE_URL, of which no path is a part",),
            )
            return
        except PolarRateLimitedError as error:
            yield unreachable(address, error)
            return
        except PolarUnreachableError as error:
            yield unreachable(address, error)
            return
        self.is_usable = True
        yield well("polar.reach", f"{address} answers, and takes events with this token")

    def _unknown_token(self, error: PolarDeniedError) -> Finding:
        here = self._settings.server
        there = _OTHER[here]
        if self._settings.base_url is None and self._is_known_at(there):
            return problem(
                "polar.server",
                f"the access token is of Polar's {there} server, and POLAR_SERVER is {here}",
                why="They have tokens, customers and meters of their own; nothing arrives.",
                do=(f"export POLAR_SERVER={there}    # or a token of the {here} server",),
            )
        return problem(
            "polar.token",
            f"Polar does not know the access token ({self.api.address}: {error.status})",
            why="It is wrong, revoked or expired, so nothing arrives; calls wait on disk.",
            do=(
                "# in Polar: Settings, Developers, New token, with the scope events:write",
                "export POLAR_ACCESS_TOKEN=polar_oat_...",
            ),
        )

    def _is_known_at(self, server: str) -> bool:
        settings = replace(self._settings, base_url=self._addresses[server])
        with _api(settings, self._addresses[server]) as api:
            try:
                api.post(INGEST, {"events": []})
            except PolarDeniedError as error:
                return error.status != _UNAUTHORIZED
            except PolarError:
                return False
        return True

    def _organization(self) -> Iterator[Finding]:
        try:
            organizations = read_organizations(self.api)
        except PolarDeniedError:
            yield note(
                "polar.organization",
                "whose token it is cannot be told: it lacks the scope organizations:read",
                why="Usage needs no such scope. To be sure, compare the token with those in Polar's settings.",
            )
            return
        except PolarError as error:
            yield unknown("polar.organization", str(error))
            return
        names = ", ".join(f"{each.name} ({each.slug})" for each in organizations)
        if len(organizations) == 1:
            yield well("polar.organization", f"the organization is {names}")
        else:
            yield problem(
                "polar.organization",
                f"the token is for {len(organizations)} organizations: {names or 'none'}",
                why="Events have to come with the token of one organization.",
                do=("export POLAR_ACCESS_TOKEN=polar_oat_...    # of one organization",),
            )

    def _scopes(self) -> Iterator[Finding]:
        held, missing = [], []
        for scope in _SCOPES:
            try:
                scope.ask(self.api)
            except PolarRefusedError:
                held.append(scope)
            except PolarDeniedError:
                missing.append(scope)
            except PolarUnreachableError as error:
                # Each of the others might take as long to fail.
                yield unknown("polar.scopes", f"{scope.name}: {error}")
                break
            except PolarError as error:
                yield unknown("polar.scopes", f"{scope.name}: {error}")
            else:
                held.append(scope)
        if held:
            yield well("polar.scopes", f"it also has the scopes {', '.join(scope.name for scope in held)}")
        if missing:
            told = "; ".join(f"{scope.name} ({scope.is_for})" for scope in missing)
            yield note(
                "polar.scopes",
                f"it lacks {told}",
                why="Sending usage needs none of them. Commands that do say so: give those a token of their own.",
            )


def clock_findings(polar_now: float | None, now: float) -> Iterator[Finding]:
    """How far this machine's clock is from Polar's, both in Unix seconds; ``None`` if Polar did not say."""
    if polar_now is None:
        return
    ahead_s = now - polar_now
    if abs(ahead_s) >= MAX_APART_S:
        yield problem(
            "polar.clock",
            f"the clock of this machine is {_span(ahead_s)} Polar's",
            why="Prices and periods go by it, and nothing that was never sent is tidied up meanwhile.",
            do=("timedatectl set-ntp true",),
        )
    elif ahead_s > MAX_AHEAD_S:
        yield warning(
            "polar.clock",
            f"the clock of this machine is {_span(ahead_s)} Polar's",
            why="Polar refuses events of the future, so each of them waits that long.",
            do=("timedatectl set-ntp true",),
        )
    else:
        yield well("polar.clock", "the clocks agree")


def _span(ahead_s: float) -> str:
    return f"{abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'}"


def _may_not_send(error: PolarDeniedError) -> Finding:
    return problem(
        "polar.events_write",
        "the access token may not send usage: it lacks the scope events:write"
        if error.scope
        else f"the access token may not send usage: {error}",
        why="Calls wait on disk, and nobody is billed.",
        do=("# in Polar: Settings, Developers: add events:write to the token, or make another one",),
    )


def _api(settings: Settings, address: str) -> PolarApi:
    told: dict[str, Any] = {} if settings.base_url is not None else {"base_url": address}
    return PolarApi(replace(settings, **told), budget=Budget(_AT_ONCE))
