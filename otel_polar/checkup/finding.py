"""``Finding``: what was found, why it matters, and what to type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Level(StrEnum):
    """How much a finding matters."""

    WELL = "well"
    """As it should be."""

    NOTE = "note"
    """Good to know; nothing to do."""

    WARNING = "warning"
    """Somebody may not be billed, or wrongly, under circumstances that are named."""

    PROBLEM = "problem"
    """Somebody is not billed, or something waits for a person."""

    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        check: what was looked at, for programs: a section and a name, such as ``polar.token``. They stay.
        level: how much it matters.
        what: what was found, in one sentence.
        why: why it matters; empty where nothing is wrong.
        do: what to type or to change, a line each.
    """

    check: str
    level: Level
    what: str
    why: str = ""
    do: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The part of the check-up it belongs to."""
        return self.check.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "section": self.section,
            "check": self.check,
            "level": self.level.value,
            "what": self.what,
            "why": self.why,
            "do": list(self.do),
        }

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Finding:
        """What :meth:`as_json` made.

        Raises:
            KeyError, ValueError, TypeError: if it is nothing of the kind.
        """
        return cls(item["check"], Level(item["level"]), item["what"], item["why"], tuple(item["do"]))


def well(check: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Level.WELL, what)


def note(check: str, what: str, *, why: str = "", do: Iterable[str] = ()) -> Finding:
    """It is good to know."""
    return Finding(check, Level.NOTE, what, why, tuple(do))


def warning(check: str, what: str, *, why: str, do: Iterable[str] = ()) -> Finding:
    """Somebody may not be billed."""
    return Finding(check, Level.WARNING, what, why, tuple(do))


def problem(check: str, what: str, *, why: str, do: Iterable[str] = ()) -> Finding:
    """Somebody is not billed, or something waits for a person."""
    return Finding(check, Level.PROBLEM, what, why, tuple(do))


def unknown(check: str, what: str, *, why: str = "", do: Iterable[str] = ()) -> Finding:
    """It could not be looked at."""
    return Finding(check, Level.UNKNOWN, what, why, tuple(do))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, in the order in which it was looked at. As text it is for people."""

    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        lines: list[str] = []
        section = ""
        for finding in self.findings:
            if finding.section != section:
                section = finding.section
                lines.append(section)
            lines += [f"  {line}" for line in lines_of(finding)]
        lines.append(self.summary)
        return "\n".join(lines)

    @property
    def is_well(self) -> bool:
        """Whether there is no problem, and everything could be looked at."""
        return not self.count(Level.PROBLEM) and not self.count(Level.UNKNOWN)

    @property
    def summary(self) -> str:
        """How many of each, in words."""
        counts = ((self.count(level), level.value) for level in (Level.PROBLEM, Level.WARNING, Level.UNKNOWN))
        told = [
            f"{count} {word}" + ("s" if count > 1 and word != Level.UNKNOWN else "") for count, word in counts if count
        ]
        return f"{', '.join(told)}." if told else "Nothing is wrong."

    def count(self, level: Level) -> int:
        """How many findings of that level there are."""
        return sum(finding.level is level for finding in self.findings)


LEVEL_WIDTH = max(len(level.value) for level in Level)


def lines_of(finding: Finding) -> list[str]:
    """A finding as lines of text: what, and where something is to be said, why and what to do."""
    indent = " " * (LEVEL_WIDTH + 2)
    lines = [f"{finding.level.value:<{LEVEL_WIDTH}}  {finding.what}"]
    if finding.why:
        lines.append(f"{indent}{finding.why}")
    lines += [f"{indent}> {line}" for line in finding.do]
    return [_printable(line) for line in lines]


def counted(count: int, one: str) -> str:
    """``1 call``, ``2,000 calls``."""
    return f"{count:,} {one}" + ("" if count == 1 else "s")


def _printable(text: str) -> str:
    # Names of models come from spans, so from anybody; a terminal would obey some of what may be in them.
    return "".join(character if character.isprintable() else "?" for character in text)
