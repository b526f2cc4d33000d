"""Whether an entry of the list is certainly the one for a model's name.

Most entries are matched by whole names. Some are matched by a fragment, so that dated snapshots need no entry of their
own; what the name has besides the fragment must then be such a thing, a date, a version, a region, a path, and not a
word that makes another model of it, such as ``-8b`` or ``-cyber``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
)

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic

_BEFORE: Final = re.compile(r"(?:.*[/:])?(?:(?:us|eu|apac|global|jp|au|ca|us-gov)\.)?(?:[a-z0-9]+\.)?")
_BEHIND: Final = re.compile(
    r"""(?:[-@:._]?(?:
        preview | exp | experimental | latest | beta | stable | customtools | instruct | maas |
        \d{8} | \d{4}-\d{2}-\d{2} | \d{2}-\d{4} | \d{2}-\d{2} | \d{6} | \d{3,4} |  # dates, and versions such as 002
        v\d{1,2} | (?<=:)\d{1,2} | (?<=:)\d{1,4}k | v0\.\d  # Bedrock's -v1:0 and :48k, Mistral's -v0.1
    ))*""",
    re.VERBOSE,
)
_FINE_TUNED: Final = ("ft:", ".ft-")


def is_certain(clause: MatchLogic, name: str) -> bool:
    """Whether *clause*, which an entry is matched by, means the model of this *name* (in lower case)."""
    match clause:
        case ClauseOr():
            return any(is_certain(part, name) for part in clause.or_)
        case ClauseAnd():
            return all(is_certain(part, name) for part in clause.and_)
        case ClauseEquals() | ClauseRegex():
            return clause.is_match(name)
        case ClauseStartsWith():
            return name.startswith(start := clause.starts_with.lower()) and _may_follow(start, name[len(start) :])
        case ClauseEndsWith():
            return name.endswith(end := clause.ends_with.lower()) and _may_precede(name[: len(name) - len(end)])
        case ClauseContains():
            before, found, behind = name.partition(part := clause.contains.lower())
            return bool(found) and _may_precede(before) and _may_follow(part, behind)


def _may_precede(before: str) -> bool:
    return _BEFORE.fullmatch(before) is not None


def _may_follow(fragment: str, behind: str) -> bool:
    # Behind a fine-tuned model's base stand the names its owner gave it.
    if any(mark in fragment for mark in _FINE_TUNED):
        return True
    if behind[:1].isdigit():
        # The fragment ends within a number: gemini-2.0-flash-0 in gemini-2.0-flash-001.
        whole = fragment.rstrip("0123456789")
        behind = fragment[len(whole) :] + behind
    return _BEHIND.fullmatch(behind) is not None
