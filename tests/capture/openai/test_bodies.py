"""Specifies what the application sees of a stream, and what is learned from it, however it is cut into pieces."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.capture.openai import bodies
from otel_polar.capture.openai.bodies import EventFilter


class Heard:
    """Stands for an exchange."""

    def __init__(self, *, hides_usage: bool, hears: bool = False) -> None:
        self.hides_usage = hides_usage
        self.hears = hears
        self.is_read = False
        self.events: list[Any] = []

    def hear(self, data: Any) -> None:
        self.events.append(data)

    @property
    def usage(self) -> Any:
        return next((event["usage"] for event in self.events if isinstance(event, dict) and event.get("usage")), None)


def through(body: bytes, heard: Heard, *, piece: int = 1 << 20) -> bytes:
    events = EventFilter(heard)  # type: ignore[arg-type] # all that it uses of one
    seen = b"".join(events.feed(body[at : at + piece]) for at in range(0, len(body), piece))
    return seen + events.rest()


def frame(data: object) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


USAGE: Final = {"prompt_tokens": 5, "completion_tokens": 2}
WORDS: Final = [{"id": "c", "choices": [{"delta": {"content": word}}]} for word in ("Hello", ' "usage":null, ', "é🙂")]
ASKED: Final = b"".join(
    [*(frame({**word, "usage": None}) for word in WORDS), frame({"id": "c", "choices": [], "usage": USAGE})]
)
NOT_ASKED: Final = b"".join(map(frame, WORDS))
DONE: Final = b"data: [DONE]\n\n"


@given(piece=st.integers(1, 300))
def test_usage_that_was_not_asked_for_is_learned_and_not_seen(piece: int) -> None:
    """Byte for byte what the provider would have sent, wherever the network cuts it."""
    heard = Heard(hides_usage=True)

    assert through(ASKED + DONE, heard, piece=piece) == NOT_ASKED + DONE
    assert heard.usage == USAGE


@given(piece=st.integers(1, 300))
def test_usage_that_was_asked_for_is_learned_and_seen(piece: int) -> None:
    """Nothing is taken from an application that wants it."""
    heard = Heard(hides_usage=False)

    assert through(ASKED + DONE, heard, piece=piece) == ASKED + DONE
    assert heard.usage == USAGE


@pytest.mark.parametrize(
    "body",
    [
        b": keep-alive\n\n" + NOT_ASKED,
        b"event: x\r\ndata: {}\r\n\r\n",
        b'data: {not json "usage"\n\n',
        b'data: [1, "usage"]\n\n',
        b'data: {"choices":[{}],"usage":{"prompt_tokens":1}}\n\n',
        b"no end of an event",
        b"",
        b"\n\n\n\n",
        b'data: {"error":{"message":"overloaded"}}\n\n',
    ],
    ids=["comment", "CRLF", "no JSON", "no object", "beside choices", "unfinished", "empty", "blank", "error"],
)
def test_everything_else_is_seen_as_it_came(body: bytes) -> None:
    """Other vendors send other things; what is not certain to be ours stays."""
    assert through(body, Heard(hides_usage=True)) == body


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b'data: {"usage":null,"choices":[{}]}\n\n', {"choices": [{}]}),
        (b'data: {"choices":[{"usage":null}], "usage" : null}\n\n', {"choices": [{"usage": None}]}),
        (b'data: {"usage":null,"choices":[{"x":1,"usage":null}]}\n\n', {"choices": [{"x": 1, "usage": None}]}),
        (b'data: {"choices":[{}],"usage": null, "x":"\xc3\xa9"}\n\n', {"choices": [{}], "x": "é"}),
    ],
)
def test_an_unknown_usage_goes_wherever_it_stands(sent: bytes, seen: object) -> None:
    """Only that of the chunk itself: a field of the same name elsewhere is the provider's."""
    shown = through(sent, Heard(hides_usage=True))

    assert json.loads(shown.removeprefix(b"data: ")) == seen
    assert shown.endswith(b"\n\n")


def test_an_event_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed on, and not looked into."""
    monkeypatch.setattr(bodies, "MAX_EVENT_BYTES", 100)
    heard = Heard(hides_usage=True)
    body = b"data: " + b"x" * 500 + ASKED

    assert through(body, heard, piece=50) == body
    assert heard.usage is None


def test_only_what_may_hold_something_is_parsed() -> None:
    """A stream has thousands of chunks, and each of them is parsed by the client already."""
    heard = Heard(hides_usage=False)
    through(NOT_ASKED + frame({"choices": [], "usage": USAGE}), heard)
    every = Heard(hides_usage=False, hears=True)
    through(NOT_ASKED, every)

    assert [event.get("id", "usage") for event in heard.events] == ["c", "usage"]
    assert len(every.events) == len(WORDS)
