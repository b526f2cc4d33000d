"""Whether Polar answers: when it last took events, and what was wrong when it last did not, in our own words.

Not in those of an answer or an exception: a page shows it, and those may hold anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, RateLimited, TooLarge

if TYPE_CHECKING:
    from otel_polar.delivery.outcome import Outcome


class Trouble(NamedTuple):
    """What was wrong, and when (Unix seconds). ``is_over`` is whether Polar has taken events since.

    ``is_lasting``: a refused token or address, or nobody there; that does not mend itself while a person looks on, as a
    rate limit or a server's moment of weakness may.
    """

    at: float
    text: str
    is_over: bool = False
    is_lasting: bool = False


class PolarAnswers:
    """Written by the delivery thread, read by any: each of its values is replaced as a whole."""

    def __init__(self) -> None:
        self.last_success_at: float | None = None
        self.last_trouble: Trouble | None = None

    def saw(self, outcome: Outcome, *, status: int | None, error_type: str | None, now: float) -> None:
        """A request has ended; *error_type* is a word for what was wrong."""
        text = _what_is_wrong(outcome, status, error_type)
        if text is not None:
            self.last_trouble = Trouble(now, text, is_lasting=_is_lasting(outcome, status))
            return
        self.last_success_at = now
        if self.last_trouble is not None and not self.last_trouble.is_over:
            self.last_trouble = self.last_trouble._replace(is_over=True)

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong now, as far as is known."""
        trouble = self.last_trouble
        return None if trouble is None or trouble.is_over else trouble


def _is_lasting(outcome: Outcome, status: int | None) -> bool:
    return isinstance(outcome, Denied) or (isinstance(outcome, Failed) and status is None)


def _what_is_wrong(  # noqa: PLR0911 - a table, one line for each outcome
    outcome: Outcome, status: int | None, error_type: str | None
) -> str | None:
    match outcome:
        case Accepted():
            return None
        case Invalid():
            return f"Polar answered, and refused {len(outcome.reasons) + len(outcome.early)} events of a request"
        case TooLarge():
            return "a request was too large for Polar, or for a proxy on the way; it is sent again in parts"
        case RateLimited():
            return f"Polar's rate limit is reached; events wait {outcome.retry_after_s:.0f} s"
        case Denied():
            return (
                f"Polar refuses the access token, its scope or the address (HTTP {status}): check POLAR_ACCESS_TOKEN"
                " (scope events:write), POLAR_SERVER and POLAR_BASE_URL"
            )
        case Failed() if status is not None:
            return f"Polar, or a proxy on the way, answered HTTP {status} with nothing that makes sense; tried again"
    return (
        f"Polar cannot be reached ({error_type or 'no answer'}); tried again. If it never could be, see POLAR_BASE_URL"
    )
