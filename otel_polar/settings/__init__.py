"""``Settings``: every option, its unit, its default and its environment variable, in tables of one kind each.

A keyword argument wins over its variable, the variable over the default; an empty variable counts as not set, as
everywhere in OpenTelemetry. A value that cannot be used is one :class:`~otel_polar.errors.ConfigError` that names the
option, the variable, the value and the limit.

::

    polar.py     where Polar is, and what it is sent     prices.py    what a call costs
    identity.py  who pays                                 capture.py   which spans there are
    delivery.py  from disk to Polar                       field.py     what one option is
    serve.py     the service's own options                file.py      all of them from a file
    credits.py   the balance guard's own options
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from otel_polar.billing.catalog.options import CatalogOptions
from otel_polar.billing.customer import CustomerKeys
from otel_polar.settings.capture import CaptureSettings
from otel_polar.settings.delivery import DeliverySettings
from otel_polar.settings.field import load_values, settings_in
from otel_polar.settings.identity import IdentitySettings
from otel_polar.settings.polar import PolarSettings
from otel_polar.settings.prices import PriceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.options import Options

DEFAULT_REQUESTS_PER_MINUTE: Final[Mapping[str, float]] = {
    # The whole organization's limits (polarsource/polar, docs/api-reference/introduction.mdx).
    "production": 500.0,
    "sandbox": 100.0,
}
DAY_S: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Settings(DeliverySettings, CaptureSettings, PriceSettings, IdentitySettings, PolarSettings):
    """All options. Build one with :meth:`load`, which reads the environment and checks every value."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **options: Unpack[Options]) -> Settings:
        """Settings from keyword options and, where those are ``None``, from environment variables.

        Raises:
            ConfigError: if a value cannot be used.
            TypeError: if an option does not exist.
        """
        environ = os.environ if environ is None else environ
        known = settings_in(cls)
        if unknown := options.keys() - known.keys():
            raise TypeError(f"unknown option {min(unknown)!r}; the options are {', '.join(sorted(known))}")
        values = load_values(cls, options, environ)
        if "outbox_dir" not in values:
            values["outbox_dir"] = _default_outbox_dir(environ)
        return cls(**values)

    @property
    def customer_keys(self) -> CustomerKeys:
        """The lists of identity keys as one value."""
        return CustomerKeys(
            internal=tuple(self.customer_id_keys),
            external=tuple(self.external_customer_id_keys),
            member=tuple(self.member_id_keys),
            other_systems=tuple(self.user_id_attributes),
        )

    @property
    def catalog_options(self) -> CatalogOptions:
        """How far the catalogue goes."""
        return CatalogOptions(tuple(self.gateways), tuple(self.self_hosted), self.approximate_models)

    @property
    def budget_per_minute(self) -> float:
        """Requests a minute, from the option or from the server's own limit."""
        return self.requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE[self.server]

    @property
    def retention_s(self) -> float:
        """``retention_days`` in seconds."""
        return self.retention_days * DAY_S


def _default_outbox_dir(environ: Mapping[str, str]) -> Path | None:
    # The XDG Base Directory Specification: a path that is not absolute is to be ignored.
    if (state_home := Path(environ.get("XDG_STATE_HOME", ""))).is_absolute():
        return state_home / "otel-polar"
    if home := environ.get("HOME"):
        return Path(home).absolute() / ".local" / "state" / "otel-polar"
    return None
