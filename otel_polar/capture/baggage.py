"""Which members of baggage say who pays, and how they are kept from those who need not know.

Baggage is a header that an instrumented HTTP client sends to every host it calls (open-telemetry/opentelemetry-
specification #1633): the provider of a model would learn whom each of its calls is for.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import baggage, context
from opentelemetry.context import get_current

from otel_polar.billing.customer import CustomerKeys
from otel_polar.capture.blocks import current_context
from otel_polar.capture.identity import (
    IDENTITY_KEY,
    NO_IDENTITY,
    SIGNED_MEMBER,
    BaggageRules,
    identity_in,
    told_identity,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from opentelemetry.context import Context

_ALWAYS: Final = CustomerKeys().all | {SIGNED_MEMBER}


class _InUse:
    rules = BaggageRules()


def use_baggage_rules(rules: BaggageRules) -> None:
    """Let ``bill_to`` write, and the propagator and the hooks guard, the members that the last processor made reads."""
    _InUse.rules = rules


def baggage_rules() -> BaggageRules:
    """The rules in use."""
    return _InUse.rules


def identity_members() -> frozenset[str]:
    """Members that could name a customer here, or in another service that has its own settings."""
    return _InUse.rules.keys.all | _ALWAYS


def billing_members(current: Context | None) -> frozenset[str]:
    """The members in a context that say who pays, or are tags."""
    members = baggage.get_all(current)
    if not members:
        return frozenset()
    told = told_identity(get_current() if current is None else current)
    return (identity_members() | told.told_tags.keys() | frozenset(_InUse.rules.tags)) & members.keys()


def keeps_signed(current: Context) -> bool:
    """Whether a signature is asked for, and there is one to look at."""
    return _InUse.rules.signatures is not None and baggage.get_baggage(SIGNED_MEMBER, current) is not None


def without_members(current: Context | None, keys: AbstractSet[str]) -> Context:
    """The context without these members of baggage."""
    current = get_current() if current is None else current
    for key in keys & baggage.get_all(current).keys():
        current = baggage.remove_baggage(key, current)
    return current


def with_members_first(current: Context | None, keys: AbstractSet[str]) -> Context:
    """The context with these members before all others: what does not fit into a header is cut off its end."""
    members = baggage.get_all(current)
    if keys >= members.keys():
        return get_current() if current is None else current
    ordered = baggage.clear(current)
    for key in sorted(members, key=lambda key: key not in keys):
        ordered = baggage.set_baggage(key, members[key], ordered)
    return ordered


def without_billing_members(current: Context) -> Context:
    """The context without members that say who pays, and without the tags; calls in it are billed as before."""
    hidden = billing_members(current)
    if not hidden:
        return current
    identity = identity_in(current, _InUse.rules) or NO_IDENTITY
    return context.set_value(IDENTITY_KEY, identity._replace(is_settled=True), without_members(current, hidden))


@contextmanager
def hide_billing_baggage() -> Iterator[None]:
    """Make requests without the baggage that says who pays; model calls inside are billed as outside.

    ::

        with hide_billing_baggage():
            anthropic.messages.create(...)  # whatever instruments HTTP does not tell Anthropic who your user is

    The hooks of the ``openai`` client do this by themselves.
    """
    token = context.attach(without_billing_members(current_context()))
    try:
        yield
    finally:
        context.detach(token)
