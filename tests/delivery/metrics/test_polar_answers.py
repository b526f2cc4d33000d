"""Specifies what is remembered of Polar's answers: when it last took events, and what was wrong, in our own words."""

from __future__ import annotations

import pytest

from otel_polar.delivery.metrics.polar_answers import PolarAnswers, Trouble
from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, Outcome, RateLimited, TooLarge

SECRET = "https://user:sk-secret@proxy.internal"


@pytest.mark.parametrize(
    ("outcome", "status", "error_type", "words"),
    [
        (Denied(SECRET), 401, "401", "refuses the access token, its scope or the address (HTTP 401)"),
        (Failed(SECRET, answered=True), 502, "502", "answered HTTP 502"),
        (Failed(SECRET, answered=False), None, "ConnectError", "cannot be reached (ConnectError)"),
        (Failed(SECRET, answered=False), None, None, "cannot be reached (no answer)"),
        (RateLimited(7.0), 429, "429", "rate limit is reached; events wait 7 s"),
        (TooLarge(), 413, "413", "too large"),
        (Invalid({0: SECRET}, early=frozenset({1})), 422, "422", "refused 2 events"),
    ],
)
def test_what_is_wrong_is_said_in_our_own_words(
    outcome: Outcome, status: int | None, error_type: str | None, words: str
) -> None:
    """A page shows it, and an exception's words may hold an address with a password."""
    answers = PolarAnswers()

    answers.saw(outcome, status=status, error_type=error_type, now=5.0)

    assert answers.last_success_at is None
    assert answers.last_trouble is not None
    assert words in answers.last_trouble.text
    assert "secret" not in answers.last_trouble.text
    assert (answers.last_trouble.at, answers.last_trouble.is_over) == (5.0, False)


def test_a_success_ends_a_trouble_that_stays_to_be_read() -> None:
    """Whoever looks an hour later wants to know what it was."""
    answers = PolarAnswers()
    answers.saw(RateLimited(7.0), status=429, error_type="429", now=5.0)

    answers.saw(Accepted(1, 0), status=200, error_type=None, now=6.0)

    assert answers.last_success_at == 6.0
    assert answers.last_trouble == Trouble(5.0, "Polar's rate limit is reached; events wait 7 s", is_over=True)
