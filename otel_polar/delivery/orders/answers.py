"""What became of the calls that an order named, as the owner of an outbox tells whoever gave the order.

Each owner answers for the calls that it found in its own file, in a file of its own, which is replaced as a whole as
the work goes on. A call is done with when any answer tells of it. What an answer that is complete does not tell of was
not there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.delivery.orders.order import MAX_ROWS, VERSION
from otel_polar.errors import OrderError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_REASON_CHARACTERS: Final = 300


class Outcome(StrEnum):
    """What became of one call."""

    DONE = "done"
    """It is as it was ordered to be."""

    HELD = "held"
    """It was ordered, and is held or rejected all the same, for another reason or once more."""

    CHANGED = "changed meanwhile"
    """It was not any more as it had been shown, and was left alone."""

    IMPOSSIBLE = "not possible"
    """It was left as it was, because what was ordered cannot be done."""


class Result(NamedTuple):
    """What became of one call: its ``state`` now (``None`` if it is gone), and ``why``, where that needs to be said."""

    outcome: Outcome
    state: str | None = None
    why: str | None = None


@dataclass(slots=True)
class Answer:
    """What one owner has found. ``results`` are by the call's place in the order.

    ``left`` is how many calls still wait to be sent there, ``why_left`` what they wait for; for an order to send.
    """

    results: dict[int, Result] = field(default_factory=dict)
    is_complete: bool = False
    left: int | None = None
    why_left: str | None = None

    def dump(self) -> str:
        """One line of JSON. What became the same stands together."""
        places: defaultdict[Result, list[int]] = defaultdict(list)
        for place, result in self.results.items():
            places[result].append(place)
        return json.dumps(
            {
                "version": VERSION,
                "is_complete": self.is_complete,
                "left": self.left,
                "why_left": self.why_left,
                "results": [
                    {"outcome": result.outcome.value, "state": result.state, "why": result.why, "calls": these}
                    for result, these in places.items()
                ],
            }
        )


def load_answer(text: str) -> Answer:
    """What :meth:`Answer.dump` wrote.

    Raises:
        OrderError: if the text is no answer.
    """
    try:
        fields = json.loads(text)
        if fields["version"] != VERSION:
            raise OrderError(f"an answer of another version than {VERSION}")
        left, is_complete = fields["left"], fields["is_complete"]
        if not isinstance(is_complete, bool) or not (left is None or _is_count(left)):
            raise OrderError("not an answer")
        results = {
            place: Result(Outcome(group["outcome"]), _text(group["state"]), _text(group["why"]))
            for group in fields["results"]
            for place in _places(group["calls"])
        }
        return Answer(results, is_complete, left, _text(fields["why_left"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OrderError("not an answer") from error


def _places(value: object) -> Iterable[int]:
    if not isinstance(value, list) or not all(_is_count(place) and place < MAX_ROWS for place in value):
        raise OrderError("not an answer")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OrderError("not an answer")
    return value
