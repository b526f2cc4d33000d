"""What the applications themselves know: which calls they began, and which of them they were done with.

One file for all processes of a storm, one ``write`` for each line, so that whoever is killed has said exactly what it
had done::

    + s0l1f.2.17 user 812 512 142 -    a call begins: who pays, tokens (input, cached ones among it, output), poison
    = s0l1f.2.17                       its span has ended, and ``on_end`` has returned
    . s0l1f                            a process has come to its end by itself
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "receipts"
UNCACHED_NANOS: Final = 150
CACHED_NANOS: Final = 75
OUTPUT_NANOS: Final = 600
"""Billionths of a dollar for each token; the rate card says the same in dollars for a million."""

RATE_CARD: Final = """
version = "storm"

[[prices]]
provider = "openai"
model = "storm-1"
usd_per_million_tokens = { input = "0.15", cache_read = "0.075", output = "0.60" }
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a model as the application made it.

    ``poison`` is why Polar can never take it: the ``schema``, or for a ``semantic`` reason. Under a ``curse`` Polar
    fails on it as long as the storm lasts.
    """

    key: str
    customer: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    poison: str = "-"

    @property
    def cost_nanos(self) -> int:
        """What it costs, in billionths of a dollar."""
        uncached = self.input_tokens - self.cached_tokens
        return UNCACHED_NANOS * uncached + CACHED_NANOS * self.cached_tokens + OUTPUT_NANOS * self.output_tokens

    @property
    def process(self) -> str:
        """The name of the process that made it."""
        return self.key.rsplit(".", 2)[0]


@dataclass(slots=True)
class Receipts:
    """Everything that was said, by call and by process."""

    calls: dict[str, Call] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)


class Writer:
    """Says it. Forked children go on with the same file."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600)

    def begin(self, call: Call) -> None:
        """Its span is about to start."""
        tokens = f"{call.input_tokens} {call.cached_tokens} {call.output_tokens}"
        self._say(f"+ {call.key} {call.customer} {tokens} {call.poison}")

    def end(self, call: Call) -> None:
        """Its span has ended."""
        self._say(f"= {call.key}")

    def finish(self, process: str) -> None:
        """It ends by itself now, and all its calls have ended."""
        self._say(f". {process}")

    def _say(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())


def read_receipts(directory: Path) -> Receipts:
    """What was said in the storm that used *directory*."""
    receipts = Receipts()
    path = directory / NAME
    for line in path.read_text().splitlines() if path.exists() else ():
        sign, key, *words = line.split()
        if sign == "+":
            customer, input_tokens, cached_tokens, output_tokens, poison = words
            tokens = (int(input_tokens), int(cached_tokens), int(output_tokens))
            receipts.calls[key] = Call(key, customer, *tokens, poison)
        elif sign == "=":
            receipts.ended.add(key)
        else:
            receipts.finished.add(key)
    return receipts
