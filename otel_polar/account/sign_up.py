"""``ensure_customer``: what an application's sign-up code calls, before the new user's first call to a model."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from otel_polar.account.customers import Ensured, EnsuredCustomer, ensure
from otel_polar.account.earlier import NOT_BILLED, earlier_usage
from otel_polar.billing.customer import InvalidIdError, check_id
from otel_polar.delivery.notices import logger
from otel_polar.errors import ConfigError, PolarError, PolarRateLimitedError
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.client import MAX_TIMEOUT_S, PolarApi
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from otel_polar.options import Options

DEFAULT_TIMEOUT_S: Final = 30.0


def ensure_customer(
    user_id: object,
    *,
    email: str,
    name: str | None = None,
    metadata: Mapping[str, str | int | float | bool] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    **options: Unpack[Options],
) -> EnsuredCustomer:
    """Make sure that Polar has a customer whose external id is *user_id*, the one that is given to ``bill_to``.

    It asks Polar and waits for the answers, so it belongs into sign-up code and not into a request that calls a model;
    in asynchronous code, into a thread (``await asyncio.to_thread(ensure_customer, ...)``). Doing it again is safe, and
    changes nothing. A customer that has the email already and no external id is given this one: call it with emails
    that their users have confirmed, or whoever signs up with another's email gets that customer's account on Polar.
    Any thread may call it, in any process.

    Args:
        user_id: text of 1 to 200 characters, a whole number or a UUID.
        email: which Polar must not have with another external id.
        name: of a customer that is created.
        metadata: of a customer that is created.
        timeout_s: seconds for all of it; a request that is under way then is not cut short.
        **options: those of :class:`~otel_polar.Settings`; the environment for the rest. The token needs the scopes
            ``customers:read`` and ``customers:write``, and with ``events:read`` usage is found, and warned of, that
            came before the customer and is never billed.

    Raises:
        ConfigError: if an option, the id or the email cannot be one, or name and metadata cannot be written as JSON.
        PolarRefusedError: if the email is another customer's, or Polar does not take it.
        PolarError: if Polar cannot be asked: ask again later.
    """
    external_id = checked_id(user_id)
    email = checked_email(email)
    _check_writable(name, metadata)
    settings = Settings.load(**options)
    patience = _Patience(timeout_s)
    with PolarApi(
        settings,
        budget=_budget_of(settings),
        timeout_s=min(settings.request_timeout_s, timeout_s, MAX_TIMEOUT_S),
        is_patient=True,
        sleep=patience.sleep,
    ) as api:
        ensured = ensure(api, external_id, email=email, name=name, metadata=metadata)
        if ensured.how is not Ensured.THERE:
            _warn_of_earlier_usage(api, external_id)
    return ensured


def _check_writable(name: object, metadata: object) -> None:
    try:
        json.dumps([name, metadata], allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the customer's name or metadata cannot be sent to Polar: {error}") from None


def checked_id(user_id: object) -> str:
    """The id as Polar gets it.

    Raises:
        ConfigError: if it cannot be one.
    """
    try:
        return check_id(user_id)
    except InvalidIdError as error:
        raise ConfigError(f"the user's id cannot be a customer's: {error}") from None


def checked_email(email: object) -> str:
    """The email without white space around it; whether there is such a one, Polar finds out.

    Raises:
        ConfigError: if it cannot be one.
    """
    text = email.strip() if isinstance(email, str) else ""
    user, _, host = text.rpartition("@")
    if not user or not host or not text.isprintable() or " " in text:
        raise ConfigError("the user's email is not an address, without which Polar creates no customer")
    return text


class _Patience:
    """Waits, but not for longer than somebody who signs up does."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            PolarRateLimitedError: if it would be for too long.
        """
        if time.monotonic() + seconds > self._deadline:
            raise PolarRateLimitedError(
                f"it was not done within timeout_s ({self._timeout_s:g}): Polar or the budget of requests asks to wait"
                f" another {seconds:.1f} s",
                retry_after_s=seconds,
            )
        time.sleep(seconds)


class _SharedBudget(Budget):
    """For several threads. What the delivery spends in this process is not in it."""

    def __init__(self, requests_per_minute: float) -> None:
        super().__init__(requests_per_minute)
        self._lock = threading.Lock()

    def wait_s(self, monotonic: float) -> float:
        with self._lock:
            return super().wait_s(monotonic)

    def spend(self, monotonic: float) -> None:
        with self._lock:
            super().spend(monotonic)


_budgets: Final[dict[tuple[int, str | None, float], _SharedBudget]] = {}


def _budget_of(settings: Settings) -> Budget:
    # By process: after a fork the lock may be one that a thread of the parent holds.
    key = (os.getpid(), settings.access_token, settings.budget_per_minute)
    return _budgets.setdefault(key, _SharedBudget(settings.budget_per_minute))


def _warn_of_earlier_usage(api: PolarApi, external_id: str) -> None:
    try:
        earlier = earlier_usage(api, external_id)
    except PolarError:
        # Whoever signs up does not wait for it, and the customer is there.
        return
    if earlier is not None:
        logger.warning(
            "%d events ($%s) came before their customer. %s: create customers when they sign up",
            earlier.events,
            f"{earlier.cost_usd:f}",
            NOT_BILLED,
        )
