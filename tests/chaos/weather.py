"""What a Polar in trouble answers, request by request: a storm, decided by its seed.

A trouble comes for a while, because a server that is down is down for more than one request, and because what makes the
difference to a sender is what it remembers between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_JSON: Final = {"Content-Type": "application/json"}
_HTML: Final = {"Content-Type": "text/html"}
_PAGE: Final = b"<!doctype html><title>Please stand by</title>"

A_DATE: Final = "(a date in a second)"
"""Stands for a date in a header, which only the moment of the answer can say."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens to one request. ``body`` is ``None`` where it is the true answer."""

    kind: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    body: bytes | None = None
    commits: bool = True
    """Whether the events are stored, whatever is answered."""

    delay_s: float = 0.0
    cut: Literal["", "before reading", "no answer", "in the answer"] = ""
    off_by: int = 0
    """The answer counts so many events more than there were."""

    clock_is_behind: bool = False
    """One event, which has just ended, seems to come from the future."""

    outage_s: float = 0.0
    """The door is closed for so long: connections are refused."""

    kills: bool = False
    """An application dies at this moment, between what Polar has stored and what it answers."""


FAIR: Final = Turn("fair")


def _json(kind: str, status: int, body: bytes, **headers: str) -> Turn:
    return Turn(kind, status, {**_JSON, **headers}, body, commits=False)


def _page(kind: str, status: int) -> Turn:
    return Turn(kind, status, _HTML, _PAGE, commits=False)


def _limited(kind: str, retry_after: str | None) -> Turn:
    # Polar's own has an empty body and no content type.
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Turn(kind, 429, headers, b"", commits=False)


TROUBLES: Final = (
    # The network.
    Turn("connections refused", commits=False, cut="before reading", outage_s=0.4),
    Turn("reset before reading", commits=False, cut="before reading"),
    Turn("cut without committing", commits=False, cut="no answer"),
    Turn("cut after committing", cut="no answer"),
    Turn("cut in the answer", cut="in the answer"),
    Turn("hangs", commits=False, delay_s=0.6, cut="no answer"),
    Turn("hangs after committing", delay_s=0.6),
    Turn("slow", delay_s=0.15),
    # A server that is not well.
    Turn("500", 500, {"Content-Type": "text/plain"}, b"Internal Server Error", commits=False),
    Turn("500 after committing", 500, {"Content-Type": "text/plain"}, b"Internal Server Error"),
    _page("502", 502),
    _page("503", 503),
    Turn("504 after committing", 504, _HTML, _PAGE),
    # A limit.
    _limited("429 in seconds", "1"),
    _limited("429 at once", "0"),
    _limited("429 until a date", A_DATE),
    _limited("429 with garbage", "soon, I hope"),
    _limited("429 with a number that is none", "nan"),
    _limited("429 for a year", "31536000"),
    _limited("429 without a word", None),
    # A token that is refused for a while, and a firewall that dislikes something.
    _json("401", 401, b'{"error":"invalid_token","detail":"The access token is invalid."}'),
    _json("403", 403, b'{"error":"insufficient_scope","detail":"The scope is insufficient."}'),
    _json("404", 404, b'{"detail":"Not Found"}'),
    _page("403 of a firewall", 403),
    _page("404 of a proxy", 404),
    # A limit on bytes.
    _json("413", 413, b'{"error":"RequestBodyTooLarge","detail":"Too large."}'),
    _json("411", 411, b'{"error":"LengthRequired","detail":"A length is required."}'),
    # Nonsense.
    _page("200 with HTML", 200),
    Turn("200 with HTML after committing", 200, _HTML, _PAGE),
    Turn("200 with nothing", 200, _JSON, b"", commits=False),
    Turn("200 with a list", 200, _JSON, b"[]"),
    Turn("200 with one more", off_by=1),
    Turn("200 with one fewer", off_by=-1, commits=False),
    Turn("302", 302, {"Location": "/elsewhere"}, b"", commits=False),
    Turn("204", 204, {}, b"", commits=False),
    _page("422 with HTML", 422),
    _json("422 about the request", 422, b'{"error":"RequestValidationError","detail":[{"loc":["body",11],"msg":"?"}]}'),
    _json(
        "422 about an event that is not there",
        422,
        b'{"error":"RequestValidationError","detail":[{"loc":["body","events",100000,"name"],"msg":"?"}]}',
    ),
    Turn("422 by a clock behind", clock_is_behind=True, commits=False),
)

MAX_REQUESTS_IN_A_ROW: Final = 6


def storm(seed: int) -> Iterator[Turn]:
    """The turns of one storm, without end: fair ones and some kinds of trouble, each for a few requests.

    Two kinds are sure to come, and early; other ones with each seed, so that twenty in a row have them all.
    """
    random = Random(f"{seed}/weather")
    sure = [TROUBLES[(2 * seed + index) % len(TROUBLES)] for index in (0, 1)]
    kinds = [*sure, *random.sample(TROUBLES, k=random.randint(2, 12))]
    trouble = random.uniform(0.2, 0.7)
    deaths = random.choice((0.0, 0.02, 0.1))
    for turn in sure:
        yield from (turn, FAIR)
    while True:
        turn = random.choice(kinds) if random.random() < trouble else FAIR
        for _ in range(random.randint(1, MAX_REQUESTS_IN_A_ROW)):
            yield replace(turn, kills=random.random() < deaths)
            if turn.outage_s:
                break
