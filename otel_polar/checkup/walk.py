"""Every section in its order. A section that goes wrong itself is a finding, and the others go on."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_polar.checkup.environment import setting_findings, variable_findings
from otel_polar.checkup.finding import Finding, problem, unknown
from otel_polar.checkup.left_out import SETUP_DO
from otel_polar.checkup.sections import DEFAULT_WAIT_S, INSIDE
from otel_polar.checkup.versions import version_findings
from otel_polar.delivery.forks import owns_files
from otel_polar.delivery.notices import describe
from otel_polar.errors import ConfigError
from otel_polar.polar_api.client import SERVERS
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from otel_polar.checkup.polar import PolarLook
    from otel_polar.delivery.disk.outbox import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to look at.

    Args:
        environ: the variables.
        settings: those of a running application; from the variables if left out.
        provider: the tracer provider of a running application; left out, it is not looked at.
        own: outboxes that this process has open.
        sections: the sections that are wanted; all if empty.
        customer: your id of a customer to look for.
        sends_test: whether to send a test event.
        wait_s: how long to wait for that.
        addresses: of Polar's servers.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    settings: Settings | None = None
    provider: Any = None
    own: tuple[Outbox, ...] = ()
    sections: Collection[str] = ()
    customer: str | None = None
    sends_test: bool = False
    wait_s: float = DEFAULT_WAIT_S
    addresses: Mapping[str, str] = field(default_factory=lambda: SERVERS)

    @property
    def may_read_outbox(self) -> bool:
        """Whether no outbox file is open in this process, also of another provider's: SQLite shares what it opened."""
        return not self.own and not owns_files()

    def wants(self, section: str) -> bool:
        """Whether that section is to be looked at."""
        if section in INSIDE and self.provider is None:
            return False
        return not self.sections or section in self.sections


def walk(asked: Asked) -> Iterator[Finding]:
    """Look at everything that is wanted, and tell each finding when it is there."""
    if asked.wants("versions"):
        yield from _guarded("versions", version_findings)
        if asked.provider is None:
            # A running application is not to import what it has no use for.
            yield from _guarded("versions", _imports)
    if asked.wants("settings"):
        yield from _guarded("settings", lambda: variable_findings(asked.environ))
    settings = asked.settings
    if settings is None:
        try:
            settings = Settings.load(asked.environ)
        except ConfigError as error:
            if not asked.wants("settings"):
                yield problem("settings.value", str(error), why="An application with it does not start its billing.")
            yield unknown("settings.rest", "the rest cannot be looked at before the settings are right")
    if settings is not None:
        yield from _by(settings, asked)
    yield from _inside(settings, asked)


def _by(settings: Settings, asked: Asked) -> Iterator[Finding]:
    """What can be looked at with settings that can be used."""
    if asked.wants("settings"):
        yield from _guarded("settings", lambda: setting_findings(settings, asked.environ))
    if any(map(asked.wants, ("polar", "customers", "trial"))):
        if settings.access_token is not None:
            yield from _guarded("polar", lambda: _polar(settings, asked))
        elif not asked.wants("settings"):
            do = ("export POLAR_ACCESS_TOKEN=polar_oat_...",)
            yield unknown("polar.left_out", "nothing was asked of Polar: there is no access token", do=do)
    if asked.wants("outbox"):
        yield from _guarded("outbox", lambda: _outbox(settings, asked))
    if asked.wants("prices"):
        yield from _guarded("prices", lambda: _prices(settings, asked))


def _polar(settings: Settings, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.polar import PolarLook  # noqa: PLC0415 - a second for polar-sdk
    from otel_polar.checkup.reaching import proxy_findings  # noqa: PLC0415 - as above

    look = PolarLook(settings, asked.addresses)
    with look.api, _without_spans():
        found = list(proxy_findings(asked.environ)) if settings.base_url is None else []
        for finding in _guarded("polar", look.findings):
            if asked.wants("polar"):
                yield from found
                found = []
                yield finding
        if look.is_usable:
            yield from _guarded("customers", lambda: _customers(settings, look, asked))
            yield from _guarded("trial", lambda: _trial(look, asked))
        elif not asked.wants("polar"):
            yield unknown("polar.reach", "Polar does not answer, or does not know the token: look at section polar")


def _customers(settings: Settings, look: PolarLook, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.customers import customer_findings  # noqa: PLC0415 - see _polar
    from otel_polar.checkup.meters import counts_name  # noqa: PLC0415 - as above
    from otel_polar.checkup.outbox import sent_to  # noqa: PLC0415 - as above

    user, name = asked.customer, settings.event_name
    if user is None or not asked.wants("customers"):
        return
    counting = None
    if look.meters is not None and isinstance(name, str):
        counting = [meter for meter in look.meters if counts_name(meter, name)]
    sent = sent_to(settings, user) if asked.may_read_outbox else 0
    yield from customer_findings(look.api, user, counting=counting, sent=sent)


def _trial(look: PolarLook, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.trial import trial_findings  # noqa: PLC0415 - see _polar

    if asked.sends_test and asked.wants("trial"):
        yield from trial_findings(
            look.api,
            trial_id=secrets.token_hex(8),
            user=asked.customer,
            meters=look.meters,
            timeout_s=asked.wait_s,
        )


def _outbox(settings: Settings, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.outbox import outbox_findings  # noqa: PLC0415 - not every section needs SQLite

    yield from outbox_findings(settings, time.time(), own=asked.own, may_read=asked.may_read_outbox)


def _prices(settings: Settings, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.prices import price_findings  # noqa: PLC0415 - as above

    yield from price_findings(settings, may_read_outbox=asked.may_read_outbox)


def _inside(settings: Settings | None, asked: Asked) -> Iterator[Finding]:
    from otel_polar.checkup.application import provider_findings  # noqa: PLC0415 - the SDK, not for every section
    from otel_polar.checkup.propagation import propagation_findings  # noqa: PLC0415 - as above

    if asked.wants("application"):
        yield from _guarded("application", lambda: provider_findings(asked.provider))
    if asked.wants("sampling"):
        yield from _guarded("sampling", lambda: _sampler(asked.provider))
    if asked.wants("propagation"):
        yield from _guarded("propagation", lambda: propagation_findings(settings))
    if asked.wants("instrumentations"):
        yield from _guarded("instrumentations", lambda: _instrumentations(is_inside=asked.provider is not None))


def _sampler(provider: Any) -> Iterator[Finding]:
    from otel_polar.checkup.sampling import sampler_findings  # noqa: PLC0415 - as above

    if hasattr(provider, "sampler"):
        yield from sampler_findings(provider)
    else:
        kind = type(provider).__name__
        yield unknown(
            "sampling.left_out",
            f"nothing was looked at: there is no tracer provider of opentelemetry-sdk, but {kind}",
            do=SETUP_DO,
        )


def _imports() -> Iterator[Finding]:
    from otel_polar.checkup.instrumentations import import_findings  # noqa: PLC0415 - the SDK, not for every section

    yield from import_findings()


def _instrumentations(*, is_inside: bool) -> Iterator[Finding]:
    from otel_polar.checkup import instrumentations  # noqa: PLC0415 - as above

    yield from instrumentations.instrumentation_findings(
        instrumentations.find_emitters(),
        hooks_active=instrumentations.hooks_are_active(),
        has_openai=find_spec("openai") is not None,
        is_inside=is_inside,
    )


def _guarded(section: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - what is odd here must not hide what is wrong elsewhere
        yield unknown(f"{section}.failed", f"this section could not be looked at to its end: {describe(error)}")


def _without_spans() -> Any:
    try:
        from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 - see _inside
    except ImportError:
        return nullcontext()
    return suppress_instrumentation()
