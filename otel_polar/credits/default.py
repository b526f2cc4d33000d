"""One guard for the whole process, made from the environment when it is first needed, and short names for it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from otel_polar.credits.guard import CreditGuard
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings
from otel_polar.settings.credits import CreditSettings
from otel_polar.settings.field import load_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from otel_polar.credits.decisions import Amount, Reservation
    from otel_polar.credits.figures import Balance

METER: Final = "OTEL_POLAR_CREDITS_METER"


class _Default:
    guard: CreditGuard | None = None
    lock = threading.RLock()


def _after_fork_in_child() -> None:
    # A thread that does not exist here may have been making one.
    _Default.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def default_guard() -> CreditGuard:
    """The guard of this process.

    Raises:
        ConfigError: if the environment names no meter, or something else cannot be used.
    """
    with _Default.lock:
        if _Default.guard is None:
            _Default.guard = from_environment(os.environ)
        return _Default.guard


def use(guard: CreditGuard) -> None:
    """Have :func:`require` and :func:`balance` ask this one."""
    with _Default.lock:
        _Default.guard = guard


def from_environment(environ: Mapping[str, str]) -> CreditGuard:
    """A guard by the variables of :class:`CreditSettings`. Errors as for :func:`default_guard`."""
    told = load_values(CreditSettings, {}, environ)
    if "meter" not in told:
        raise ConfigError(f"{METER} is not set: it names the meter on Polar whose credits are guarded")
    return CreditGuard(**told, settings=Settings.load(environ))


def balance(customer: str) -> Balance:
    """As :meth:`CreditGuard.balance`."""
    return default_guard().balance(customer)


def require(customer: str, estimate: Amount) -> Reservation:
    """As :meth:`CreditGuard.require`."""
    return default_guard().require(customer, estimate)


def arequire(customer: str, estimate: Amount) -> AbstractAsyncContextManager[Reservation]:
    """As :meth:`CreditGuard.arequire`."""
    return default_guard().arequire(customer, estimate)
