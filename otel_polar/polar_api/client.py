"""``PolarApi``: one request to Polar's API, and its answer as JSON or as an error that says what to do.

Never for an application's own threads, except where a function says that it asks Polar. A change is sent once: what may
have happened is not tried again here, but said.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode, urlsplit

import httpx
from polar.base import PolarNetworkError

from otel_polar.errors import ConfigError, PolarRateLimitedError, PolarUnreachableError
from otel_polar.polar_api.answers import error_of, read_json
from otel_polar.polar_api.bounded import BoundedClient
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.polar_clock import PolarClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import TypeAlias

    from otel_polar.settings import Settings

    Parameters: TypeAlias = Mapping[str, str | int | bool | Sequence[str]]

# Those of polar.v2026_10.client, whose import takes a second. A test compares them.
SERVERS: Final = {"production": "https://api.polar.sh", "sandbox": "https://sandbox-api.polar.sh"}
VERSION: Final = "2026-10"

_EXTERNAL_ID: Final = re.compile(r"/external/[^/]+")

PATIENT_TRIES: Final = 5
FIRST_WAIT_S: Final = 0.5
MAX_TIMEOUT_S: Final = 10.0
"""Somebody waits for the answer: not as long as for a batch of events."""


class PolarApi:
    """Polar's API, for one thread at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        budget: Budget | None = None,
        timeout_s: float | None = None,
        is_patient: bool = False,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect when the first request is made.

        Args:
            settings: of which it takes the token, the server and its address.
            budget: requests a minute, shared with others of this process; by the settings if left out, and a quarter
                of that at once.
            timeout_s: seconds for a request as a whole; ``request_timeout_s``, but at most 10, if left out.
            is_patient: wait for the budget, for a rate limit, and (reading only) for a Polar that fails for a moment.
            sleep: how it waits.
            monotonic: the clock it waits by.

        Raises:
            ConfigError: if there is no access token.
        """
        if not settings.access_token:
            raise ConfigError("access_token (POLAR_ACCESS_TOKEN) is not set: Polar answers nobody without one")
        base_url = settings.base_url or SERVERS[settings.server]
        parts = urlsplit(base_url)
        self.address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        """Where requests go, without a password that may be in it."""
        timeout_s = min(settings.request_timeout_s, MAX_TIMEOUT_S) if timeout_s is None else timeout_s
        self._client = BoundedClient(base_url, VERSION, settings.access_token, timeout_s)
        self._http = self._client._client  # noqa: SLF001 - the SDK has no other way to a request of one's own
        self._budget = _budget_of_a_command(settings) if budget is None else budget
        self._is_patient = is_patient
        self._sleep = sleep
        self._monotonic = monotonic
        self.clock = PolarClock()
        """What Polar's answers say about the time."""
        self.requests = 0
        """How many were made."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Read what is at *path*, such as ``/v1/meters/``.

        Raises:
            PolarError: one of its kinds, by what can be done.
        """
        return self._ask("GET", path, parameters=parameters)

    def post(self, path: str, body: object) -> Any:
        """Send *body* as JSON, and answer what Polar made of it.

        Raises:
            PolarError: one of its kinds; after :class:`PolarUnreachableError` it may have happened.
        """
        return self._ask("POST", path, body=body)

    def patch(self, path: str, body: object) -> Any:
        """Change what is at *path*. Errors as for :meth:`post`."""
        return self._ask("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        """Remove what is at *path*; ``None`` if Polar has nothing to say. Errors as for :meth:`post`."""
        return self._ask("DELETE", path)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, method: str, path: str, *, parameters: Parameters | None = None, body: object = None) -> Any:
        # As Polar writes it in its documentation: an id of yours may not stand in a log.
        asked = f"{method} {_EXTERNAL_ID.sub('/external/{external_id}', path)}"
        for number in range(1, PATIENT_TRIES + 1):
            is_last = not self._is_patient or number == PATIENT_TRIES
            try:
                self._keep_budget(asked)
                return self._once(asked, method, path, parameters, body)
            except PolarRateLimitedError as error:
                if is_last:
                    raise
                self._sleep(error.retry_after_s)
            except PolarUnreachableError:
                if is_last or method != "GET":
                    raise
                self._sleep(FIRST_WAIT_S * 2 ** (number - 1))
        raise AssertionError("the last try returns or raises")

    def _keep_budget(self, asked: str) -> None:
        wait_s = self._budget.wait_s(self._monotonic())
        if wait_s > 0:
            if not self._is_patient:
                raise PolarRateLimitedError(
                    f"{asked} was not asked: the budget of requests (requests_per_minute,"
                    f" OTEL_POLAR_REQUESTS_PER_MINUTE) is used up for {wait_s:.1f} s",
                    retry_after_s=wait_s,
                )
            self._sleep(wait_s)
        self._budget.spend(self._monotonic())

    def _once(self, asked: str, method: str, path: str, parameters: Parameters | None, body: object) -> Any:
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        self.requests += 1
        try:
            request = self._http.build_request(method, f"{path}{query}", json=body, headers={"Accept-Encoding": "gzip"})
            answer = self._client.send_request(request)
        except (PolarNetworkError, httpx.InvalidURL, httpx.HTTPError) as error:
            cause = error.__cause__ or error
            raise PolarUnreachableError(
                f"Polar at {self.address} cannot be reached ({asked}: {type(cause).__name__}: {cause}): check the"
                " network, POLAR_SERVER and POLAR_BASE_URL",
                may_have_happened=not isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout),
            ) from error
        if not answer.is_success:
            raise error_of(asked, answer)
        # Not of refusals: anybody on the way may make them in Polar's place.
        self.clock.hear(answer.headers.get("date"), time.monotonic())
        return self._content(asked, answer)

    def _content(self, asked: str, answer: httpx.Response) -> Any:
        if not answer.content:
            return None
        content = read_json(answer.content)
        if not isinstance(content, dict | list):
            raise PolarUnreachableError(
                f"what is at {self.address} answered {asked} with something that is not Polar's: check POLAR_BASE_URL"
            )
        return content


def _budget_of_a_command(settings: Settings) -> Budget:
    # A command makes a few dozen requests, and then none for hours: Polar counts by the minute.
    return Budget(settings.budget_per_minute, burst_requests=settings.budget_per_minute / 4)
