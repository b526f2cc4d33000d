"""Every exception of otel-polar, by what the reader can do about it.

::

    OtelPolarError
    ├── ConfigError          a setting is wrong: correct it and start again
    ├── OutboxError          an outbox file cannot be used: mend the disk; calls are kept in memory meanwhile
    │   └── OutboxDamagedError   its content is not an outbox; it is put aside for a person to look at
    ├── OrderError           an order left for an application, or its answer, is none: it is put aside
    ├── UserFunctionError    a function you gave raised or answered what cannot be used: its call is held
    ├── SpansFormatError     a file or a request holds no spans in a known form (otel_polar.service)
    ├── PolarError           Polar did not do what it was asked, outside of the delivery
    │   ├── PolarUnreachableError   no answer, or none that makes sense: try again
    │   ├── PolarDeniedError        the token or its scope: mend that
    │   ├── PolarNotFoundError      there is no such thing
    │   ├── PolarRefusedError       what was asked cannot be: ask otherwise
    │   └── PolarRateLimitedError   too often: wait
    └── InsufficientCredits  a customer's credits do not cover what is about to be used (otel_polar.credits)

None of them ever leaves a span processor's callback: ``on_start`` and ``on_end`` raise nothing at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


class OtelPolarError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(OtelPolarError):
    """A setting has an unusable value. The message names the option, its variable, the value and the limit."""


class OutboxError(OtelPolarError):
    """An outbox file cannot be used. The message names the file and the operating system's reason."""


class OutboxDamagedError(OutboxError):
    """An outbox file is not an SQLite file, or a broken one."""


class OrderError(OtelPolarError):
    """What was left for an application as an order, or by it as an answer, is none. The message says why."""


class UserFunctionError(OtelPolarError):
    """A function such as ``event_name``, ``map_metadata`` or ``markup`` raised, or answered what cannot be used."""


class PolarError(OtelPolarError):
    """Polar did not do what it was asked. The message says what was asked, what came back, and what to do."""


class PolarUnreachableError(PolarError):
    """There was no answer, or none that makes sense. ``may_have_happened``: Polar may have done it all the same."""

    def __init__(self, message: str, *, may_have_happened: bool = True) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class PolarDeniedError(PolarError):
    """The access token or its scope is wrong. ``status`` is 401 or 403, ``scope`` what the token lacks, if told."""

    def __init__(self, message: str, *, status: int, scope: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.scope = scope


class PolarNotFoundError(PolarError):
    """There is no such thing, or it belongs to another organization."""


class PolarRefusedError(PolarError):
    """What was asked cannot be. ``fields`` are the dotted paths of what Polar named, ``reasons`` its words for each."""

    def __init__(
        self, message: str, *, status: int, fields: tuple[str, ...] = (), reasons: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields
        self.reasons = reasons


class PolarRateLimitedError(PolarError):
    """The organization's requests of this minute are used up. ``retry_after_s`` is how long Polar asks to wait."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InsufficientCredits(OtelPolarError):  # noqa: N818 - what has happened, as application code reads it
    """A customer's credits do not cover what is about to be used. The message has the numbers, not the customer.

    ``reason`` is ``insufficient``, ``unknown`` (no such customer, or no credits for this meter) or ``unreachable``
    (nobody can tell). ``available`` and ``estimate`` are in the meter's units; ``None`` where nothing is known.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "insufficient",
        available: Decimal | None = None,
        estimate: Decimal | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.available = available
        self.estimate = estimate
