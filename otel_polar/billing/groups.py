"""Groups of spans that tell of one call, and what may not come together in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.billing.customer import Customer
from otel_polar.billing.response_id import issuer, tells_apart
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_polar.billing.call import ModelCall


class Groups:
    """Disjoint sets of positions in a sequence of spans."""

    def __init__(self, calls: Sequence[ModelCall], known: Mapping[int, object]) -> None:
        self._calls = calls
        self._parent = list(range(len(calls)))
        self._members = [[position] for position in range(len(calls))]
        self._names: list[object] = [known.get(position) for position in range(len(calls))]
        first: dict[object, int] = {}
        for position, name in known.items():
            self._join(first.setdefault(name, position), position)

    def all(self) -> list[list[int]]:
        """Every group, its positions in order."""
        return [sorted(self._members[root]) for root in range(len(self._calls)) if self._parent[root] == root]

    def are_one(self, one: int, other: int) -> bool:
        """Whether two positions are in one group."""
        return self._root(one) == self._root(other)

    def unite(self, one: int, other: int) -> None:
        """Say that two are one call, unless they were decided to be two or their ids say so."""
        if self._may_unite(one, other):
            self._join(one, other)

    def unite_answer(self, one: int, other: int) -> None:
        """Say that two have one response id."""
        if self._have_one_name(one, other):
            self._join(one, other)

    def unite_nested(self, outer: int, inner: int) -> None:
        """Say that one is the other seen from a layer above, unless either is matched in that layer already."""
        if self.are_one(outer, inner) or not self._may_unite(outer, inner):
            return
        if self._scopes(outer).isdisjoint(self._scopes(inner)) and self._tell_the_same(outer, inner):
            self._join(outer, inner)

    def _tell_the_same(self, one: int, other: int) -> bool:
        """Whether no two spans in two groups tell of other tokens, however either group came together."""
        usages = [[self._calls[member].usage for member in self._members[self._root(place)]] for place in (one, other)]
        mine, its = ([usage for usage in group if isinstance(usage, TokenUsage)] for group in usages)
        return all(have_same_tokens(usage, another) for usage in mine for another in its)

    def name_two_customers(self, one: int, other: int) -> bool:
        """Whether two groups name two customers; by what their spans say, and not a person."""
        members = (*self._members[self._root(one)], *self._members[self._root(other)])
        customers = (self._calls[member].customer for member in members if not self._calls[member].is_assigned)
        ids = {(who.customer_id, who.external_customer_id) for who in customers if isinstance(who, Customer)}
        return len(ids) > 1

    def _may_unite(self, one: int, other: int) -> bool:
        return self._have_one_name(one, other) and not _contradict(self._ids(one), self._ids(other))

    def _have_one_name(self, one: int, other: int) -> bool:
        mine, its = self._names[self._root(one)], self._names[self._root(other)]
        return mine is None or its is None or mine == its

    def _scopes(self, position: int) -> set[str]:
        return {self._calls[member].scope_name for member in self._members[self._root(position)]}

    def _ids(self, position: int) -> set[str]:
        calls = (self._calls[member] for member in self._members[self._root(position)])
        ids = (call.response_id for call in calls)
        return {response_id for response_id in ids if response_id is not None and tells_apart(response_id)}

    def _root(self, position: int) -> int:
        while self._parent[position] != position:
            self._parent[position] = self._parent[self._parent[position]]
            position = self._parent[position]
        return position

    def _join(self, one: int, other: int) -> None:
        root, joined = sorted((self._root(one), self._root(other)))
        if root != joined:
            self._parent[joined] = root
            self._members[root] += self._members[joined]
            self._members[joined] = []
            if self._names[root] is None:
                self._names[root] = self._names[joined]


def _contradict(ids: set[str], others: set[str]) -> bool:
    """Whether two sets of ids, each of which can tell answers apart, are of two answers.

    Ids of different issuers do not contradict: litellm mints ids in OpenAI's form for the answers of others.
    """
    if not ids or not others or ids & others:
        return False
    return not {issuer(response_id) for response_id in ids}.isdisjoint(issuer(response_id) for response_id in others)


def have_same_tokens(one: TokenUsage, other: TokenUsage) -> bool:
    """Whether two spans can tell of one call by their totals."""
    if one.input_tokens != other.input_tokens:
        return False
    # Some leave reasoning out of the output (OpenLLMetry's for Gemini, langchain-google).
    outputs = {one.output_tokens, one.output_tokens - one.reasoning_tokens}
    return not outputs.isdisjoint({other.output_tokens, other.output_tokens - other.reasoning_tokens})
