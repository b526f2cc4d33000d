"""Objects and lists: rules combined from rules, collecting every problem as pydantic does.

A `Member` table describes an object; `read_object` walks it and either returns the parsed members or raises one
`RefusedError` with all problems, each at its own place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox.scalars import Problem, RefusedError, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_polar.sandbox.scalars import Rule


class _Required:
    """The mark of a member without a default."""


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its rule, and what stands for it when it is absent."""

    rule: Rule
    default: Any = REQUIRED


def read_object(value: Any, members: Mapping[str, Member]) -> dict[str, Any]:
    """Return the members named in the table; members outside of it are ignored.

    Raises:
        RefusedError: if the value is no object, a required member is absent, or a rule refuses.
    """
    if not isinstance(value, dict):
        raise not_an_object(value)
    parsed: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, member in members.items():
        try:
            parsed[name] = _read_member(value, name, member)
        except RefusedError as error:
            problems += [problem.below(name) for problem in error.problems]
    if problems:
        raise RefusedError(*problems)
    return parsed


def _read_member(source: dict[str, Any], name: str, member: Member) -> Any:
    if name in source:
        return member.rule(source[name])
    if member.default is REQUIRED:
        raise refused("missing", "Field required", source)
    return member.default


def not_an_object(value: Any) -> RefusedError:
    """Build pydantic's refusal of a value where its model stands."""
    message = "Input should be a valid dictionary or object to extract fields from"
    return refused("model_attributes_type", message, value)


def list_of(rule: Callable[[Any], Any]) -> Rule:
    """Build the rule for an array whose every item obeys *rule*."""

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise refused("list_type", "Input should be a valid list", value)
        return _read_items(value, rule)

    return read


def _read_items(items: Sequence[Any], rule: Rule) -> list[Any]:
    parsed: list[Any] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        try:
            parsed.append(rule(item))
        except RefusedError as error:
            problems += [problem.below(index) for problem in error.problems]
    if problems:
        raise RefusedError(*problems)
    return parsed


def one_of(*values: str) -> Rule:
    """Build the rule for one of a few words."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            expected = ", ".join(repr(word) for word in values)
            raise refused("literal_error", f"Input should be {expected}", value, expected=expected)
        return value

    return read
