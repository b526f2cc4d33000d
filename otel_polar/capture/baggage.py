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
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from opentelemetry.context import Context

_HIDES_KEY: Final = context.create_key("otel-polar-hides-members")
_ALWAYS: Final = CustomerKeys().all | {SIGNED_MEMBER}


class _InUse:
    rules = BaggageRules()
    guarded: frozenset[str] = _ALWAYS
    tags: frozenset[str] = frozenset()


def use_baggage_rules(rules: BaggageRules) -> None:
    """Let ``bill_to`` write what the last processor made reads, and guard what any of them does."""
    _InUse.rules = rules
    _InUse.guarded |= rules.keys.all
    _InUse.tags |= frozenset(rules.tags)


def forget_baggage_rules() -> None:
    """As if no processor had been made."""
    _InUse.rules, _InUse.guarded, _InUse.tags = BaggageRules(), _ALWAYS, frozenset()


def baggage_rules() -> BaggageRules:
    """The rules in use."""
    return _InUse.rules


def identity_members() -> frozenset[str]:
    """Members that could name a customer here, or in another service that has its own settings."""
    return _InUse.guarded


def billing_members(current: Context | None) -> frozenset[str]:
    """The members in a context that say who pays, or are tags."""
    members = baggage.get_all(current)
    if not members:
        return frozenset()
    told = told_identity(get_current() if current is None else current)
    return (_InUse.guarded | told.told_tags.keys() | _InUse.tags) & members.keys()


def believed_members(incoming: Mapping[str, object], *, trusts: bool) -> Mapping[str, object]:
    """What of the members that came from outside may stay: all, or what says nothing of who pays, or what is signed."""
    if trusts:
        return incoming
    is_signed = _InUse.rules.signatures is not None and SIGNED_MEMBER in incoming
    # A wrong signature has to be seen, too: its call is held. The tags that count are signed with it.
    refused = _InUse.tags if is_signed else _InUse.guarded | _InUse.tags
    return {key: value for key, value in incoming.items() if key not in refused}


def hides_members(current: Context) -> bool:
    """Whether who pays is to be kept from whoever is called."""
    return current.get(_HIDES_KEY) is True


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
        return current if hides_members(current) else context.set_value(_HIDES_KEY, True, current)  # noqa: FBT003 - a value
    identity = identity_in(current, _InUse.rules) or NO_IDENTITY
    settled = context.set_value(IDENTITY_KEY, identity._replace(is_settled=True), without_members(current, hidden))
    return context.set_value(_HIDES_KEY, True, settled)  # noqa: FBT003 - a value


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
